"""Coverage-guided fuzzing of one reader with Atheris (the extra `fuzz`).

If the process crashes, it saves the input in a file and prints the file's name. Give the file as FILE to try it again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fastnet", "PIL"]):
    from . import harness
    from .file_readers import READERS, Document, documents
    from .files import Program, encoded


def document_of(reader: str, content: bytes) -> Document:
    """Replace one file of a valid document. Byte 0 selects the document, byte 1 the file. The rest is its content."""
    which, part, content = content[0], content[1], content[2:]
    document = documents(reader)[which % len(documents(reader))]
    return {**document, list(document)[part % len(document)]: content}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.fuzz", description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("file", nargs="?", help="try only the input in this file, which a crash saved")
    parser.add_argument("--seconds", type=int, default=60, help="time to run (default: %(default)s)")
    arguments = parser.parse_args()
    program = Program()
    program.prepare()

    def try_one(content: bytes) -> None:
        if len(content) < 2:
            return
        document = document_of(arguments.reader, content)
        try:
            program.try_one(arguments.reader, document)
        except BaseException:
            harness.keep_reduced("files", program, {"reader": arguments.reader, "document": encoded(document)})
            raise

    with tempfile.TemporaryDirectory() as seeds:
        for which, document in enumerate(documents(arguments.reader)):
            for part, content in enumerate(document.values()):
                Path(seeds, f"{which}-{part}").write_bytes(bytes((which, part)) + (content or b""))
        where = [arguments.file] if arguments.file else [seeds, f"-max_total_time={arguments.seconds}"]
        atheris.Setup([sys.argv[0], *where, "-max_len=20000", "-rss_limit_mb=8192", "-verbosity=1"], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
