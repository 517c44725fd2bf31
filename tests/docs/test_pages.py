"""README.md and the pages of docs/: their Python runs, their claims hold, and their commands exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from conftest import load_backend

from fastnet.backends import selection
from fastnet.cli import bench
from fastnet.cli.entry import parser

CHECKOUT = Path(__file__).parents[2]
if not (CHECKOUT / "docs").is_dir():
    pytest.skip("docs/ is not beside tests/", allow_module_level=True)
sys.path.insert(0, str(CHECKOUT / "docs" / "_ext"))

import live_pages  # noqa: E402 - the module lies beside the pages

PAGES = {
    path.relative_to(CHECKOUT).as_posix(): path.read_text("utf-8")
    for path in [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    if not any(part.startswith("_") for part in path.relative_to(CHECKOUT).parts)
}


def commands(page: str) -> list[list[str]]:
    """Return the commands of a page's shell blocks as words, without comments and environment settings."""
    blocks = re.findall(r"^```(?:bash|text|console)\n(.*?)^```", PAGES[page], re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").replace("&&", "\n").splitlines()
    plain = [re.sub(r"^(\w+=\S* )+", "", line.strip()) for line in lines]
    return [shlex.split(line, comments=True) for line in plain if line.startswith(("fastnet ", "python "))]


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in PAGES[page]])
def test_the_blocks_of_a_page_run_and_its_claims_hold(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_backend("cython")
    packages = "matplotlib jinja2 scipy mlxtend sklearn pandas onnx onnxruntime skops joblib optuna"
    for package in packages.split():
        pytest.importorskip(package, reason="the pages need the extras of `docs`")
    monkeypatch.setattr(selection, "_registered", {})  # a page may register a backend
    live_pages.run(PAGES[page], page.removesuffix(".md"), tmp_path)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_commands_of_a_page_exist(page: str) -> None:
    for command in commands(page):
        match command:
            case ["fastnet", "bench", *options]:
                pytest.importorskip("fastnet.bench.run", reason="needs the extra bench")
                bench.parser().parse_args(options)
            case ["fastnet", name, *options]:
                assert parser().parse_args([name, *options]).command == name
            case ["python", "-m", module, *_] if module.startswith(("fastnet", "tests")):
                assert importlib.util.find_spec(module), command
        assert all((CHECKOUT / word).is_file() for word in command if word.endswith(".py")), command


def test_the_options_named_in_sentences_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = [words for text in PAGES.values() for words in re.findall(r"`fastnet ([a-z]+)([^`\n]*)`", text)]
    assert len(named) > 5
    for name, words in named:
        if name == "bench":  # the benchmark parses its own options
            continue
        with pytest.raises(SystemExit):
            parser().parse_args([name, "--help"])
        assert set(re.findall(r"--[\w-]+", words)) <= set(re.findall(r"--[\w-]+", capsys.readouterr().out)), words


def test_the_files_in_sentences_and_links_exist() -> None:
    folders = "bench|docs|examples|fastnet|kernels|tests"
    named = {CHECKOUT / path for text in PAGES.values() for path in re.findall(rf"`((?:{folders})/[\w/.-]+)`", text)}
    linked = {
        (CHECKOUT / page).parent / path for page in PAGES for path in re.findall(r"\]\(([^):#]+)[)#]", PAGES[page])
    }
    assert min(len(named), len(linked)) > 10
    assert not [path for path in sorted(named | linked) if not path.exists()]


# -- live_pages --------------------------------------------------------------------------------------------------------

PAGE = """\
```python
n = 6
print("six:", n)
```

<!-- holds: n == {claim} -->

```python
print(n + {more})
```
"""


def test_output_follows_its_block_and_claims_are_removed(tmp_path: Path) -> None:
    text = live_pages.run(PAGE.format(claim=6, more=1), "page", tmp_path)
    assert re.findall(r"^:class: output\n\n(.*)$", text, re.M) == ["six: 6", "7"]
    assert "holds" not in text


@pytest.mark.parametrize(
    ("claim", "more", "words"),
    [
        ("7", "1", r"page\.md, line 6: .*the page claims n == 7"),
        ("6", "'1'", r"page\.md, line 8: TypeError: unsupported operand"),
    ],
)
def test_a_false_claim_and_a_failing_block_are_errors(claim: str, more: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(live_pages.PageError, match=words):
        live_pages.run(PAGE.format(claim=claim, more=more), "page", tmp_path)


def test_a_picture_is_the_figure_of_the_block_above(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib (extra: plot)")
    block = "```python\nfrom matplotlib.figure import Figure\nfigure = Figure()\n```\n"
    text = live_pages.run(f"{block}\n<!-- picture: An empty one -->\n", "how-to/page", tmp_path)
    assert "```{figure} /_generated/how-to-page-1.png\n:alt: An empty one" in text
    assert (tmp_path / "how-to-page-1.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(live_pages.PageError, match="no block above left a figure"):
        live_pages.run("<!-- picture: An empty one -->\n", "page", tmp_path)


def test_a_block_may_be_skipped_only_with_a_reason(tmp_path: Path) -> None:
    block = "```python\nraise SystemError\n```\n"
    assert live_pages.run(f"<!-- not run: it fails -->\n{block}", "page", tmp_path) == block
    with pytest.raises(live_pages.PageError):
        live_pages.run(f"<!-- not run: -->\n{block}", "page", tmp_path)
