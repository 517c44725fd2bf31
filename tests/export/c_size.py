"""Prints the size of the C files of two networks, and the processor time to write and to compile them.

python -m tests.export.c_size needs a C compiler named cc.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import fastnet
from fastnet.text import layers, table


def main() -> None:
    """Print a line for each network."""
    rows = [("network", "source", "object file", "stack", "to_c", "cc -O2")]
    for sizes in ([784, 16, 16, 10], [784, 512, 512, 10]):
        net = fastnet.Network(sizes, seed=0)
        with tempfile.TemporaryDirectory() as folder:
            source, made = Path(folder, "network.c"), Path(folder, "network.o")
            start = os.times()
            net.to_c(source)
            subprocess.run(["cc", "-std=c99", "-O2", "-c", source, "-o", made], check=True)
            end = os.times()
            size = [f"{path.stat().st_size / 1e3:,.0f} kB" for path in (source, made)]
        stack = f"{2 * max(sizes[1:-1]) * net.dtype.itemsize:,} bytes"
        seconds = [f"{used:.1f} s" for used in (end.user - start.user, end.children_user - start.children_user)]
        rows.append((layers(sizes), *size, stack, *seconds))
    print(table(rows))


if __name__ == "__main__":
    main()
