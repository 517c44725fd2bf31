"""Rules of the code base: which module may import which, the cost of an import, public names, and documents."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import io
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import fastnet
from fastnet import checks, insight, plots

PACKAGE = Path(fastnet.__file__).parent
CHECKOUT = Path(__file__).parents[1]
HEAVY = {"numba", "llvmlite", "matplotlib", "jinja2", "mlxtend", "sklearn", "scipy", "pandas", "tqdm", "PIL"}
HEAVY |= {"torch", "Cython", "safetensors", "tensorboard", "pyarrow"}


SELF_EXPLANATORY = {"cost_name", "dtype", "n_parameters", "numbers"}


def sources(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.py"))
    assert found, f"no sources in {folder}"
    return found


def python(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=os.sep, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imports(path: Path) -> set[str]:
    """Return the full names of all imports of a source, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def test_kernels_import_nothing_from_the_rest_of_fastnet() -> None:
    for path in sources(PACKAGE / "kernels"):
        ours = {name for name in imports(path) if name.startswith(("fastnet", "."))}
        assert {name for name in ours if not name.startswith("fastnet.kernels.")} == set(), path


OWN = {
    "numpy_backend": ("formulas", "numpy_batches", "numpy_sparse", "numpy_workspace", "philox"),
    "numba_backend": ("numba_vectors", "numba_few_rows", "numba_narrow"),
    "numba_few_rows": ("numba_vectors",),
    "numba_narrow": ("numba_vectors",),
}  # a backend's own files


def test_neither_the_contract_nor_a_backend_imports_another_backend() -> None:
    folder = PACKAGE / "kernels"
    for name in (
        *("contract", "formulas", "numpy_backend"),
        *("numba_vectors", "numba_few_rows", "numba_narrow", "numba_backend"),
    ):
        ours = {found for found in imports(folder / f"{name}.py") if found.startswith("fastnet")}
        allowed = ("fastnet.kernels.contract", *(f"fastnet.kernels.{own}" for own in OWN.get(name, ())))
        assert not {found for found in ours if not found.startswith(allowed)}
        assert name != "contract" or not ours


@pytest.mark.skipif(not (CHECKOUT / "CONTRIBUTING.md").exists(), reason="needs a checkout")
def test_the_drawing_of_the_layers_shows_every_import() -> None:
    """The drawing in CONTRIBUTING.md has three columns: layer, package, imports."""
    text = (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")
    lines = text.split("layer  package", 1)[1].split("```", 1)[0].splitlines()
    start, package = lines[0].index("imports") + len("layer  package"), ""
    drawn: dict[str, set[str]] = {}
    for line in lines[1:-1]:
        package = line[7:start].strip() or package
        drawn[package] = drawn.get(package, set()) | set(line[start:].split())
    lowest = set(lines[-1][7:start].split())
    found = {}
    for package in drawn:
        paths = (PACKAGE / package).rglob("*.py") if (PACKAGE / package).is_dir() else [PACKAGE / f"{package}.py"]
        rooms = {name.split(".")[1] for path in paths for name in imports(path) if name.startswith("fastnet.")}
        found[package] = rooms - {package} - (lowest - {"kernels"})
    assert drawn == found
    assert drawn.keys() | lowest == {path.stem for path in PACKAGE.iterdir()} - {"__init__", "__pycache__", "py"}


@pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").exists(), reason="needs a checkout")
def test_the_wheel_gets_every_package() -> None:
    told = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    roots = PACKAGE, PACKAGE / "kernels", PACKAGE / "bench"  # in a checkout the last two are links
    found = {path.parent.relative_to(PACKAGE.parent).parts for root in roots for path in root.rglob("__init__.py")}
    assert sorted(told) == sorted(".".join(parts) for parts in found)


def private_reaches(source: str) -> list[str]:
    """Return each `x._name` of a source. Names that the source defines, and self._name and cls._name, do not count."""
    tree = ast.parse(source)
    own = {"_replace", "_asdict", "_fields"}  # the public interface of a NamedTuple
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            own.add(node.attr)
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if ast.unparse(node.value) not in ("self", "cls") and node.attr not in own
    ]


# argparse has no public names for these types, and PyTorch has none for the hooks of a module.
ALLOWED = (
    *("argparse._ActionsContainer", "argparse._ArgumentGroup", "argparse._SubParsersAction"),
    *("module._forward_hooks", "module._forward_pre_hooks"),
)


def test_nothing_reaches_into_another_module_s_private_names() -> None:
    assert private_reaches("trainer._state = 1") == ["line 1: trainer._state"]
    folders = [folder for folder in PACKAGE.iterdir() if folder.is_dir() and folder.name not in ("kernels", "bench")]
    found = []
    for path in [*PACKAGE.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]:
        name = path.relative_to(PACKAGE).as_posix()
        reaches = private_reaches(path.read_text(encoding="utf-8"))
        found += [f"{name}, {reach}" for reach in reaches if not reach.endswith(ALLOWED)]
    assert found == []


def test_dir_lists_the_public_names() -> None:
    """dir(fastnet) includes lazy names before they are loaded."""
    code = "import fastnet; print(*dir(fastnet)); fastnet.Network; fastnet.data; print(*dir(fastnet))"
    for line in python(code).splitlines():
        assert line.split() == sorted(fastnet.__all__)


def test_no_module_hides_a_package() -> None:
    found = {path.stem.partition(".")[0] for path in PACKAGE.rglob("*") if path.suffix in (".py", ".pyx", ".so")}
    assert not found & {"numpy", "numba", "cython", "scipy", "torch", "json", "gzip"}


# The modules of the package that `import fastnet` may load: no data sets, experiments or command line.
LIGHT = {
    "backends",
    "checks",
    "errors",
    "kernels",
    "names",
    "network",
    "notebook",
    "predictor",
    "text",
    "training",
    "version",
}
LIGHT |= {"architecture", "costs", "evaluation", "network_formats", "network_outputs", "source", "source_rows"}


def test_importing_loads_nothing_heavy() -> None:
    loaded = set(python("import sys, fastnet; print(*{name.partition('.')[0] for name in sys.modules})").split())
    assert "numpy" in loaded
    assert not loaded & HEAVY


def test_the_numpy_backend_loads_nothing_heavy() -> None:
    code = (
        "import sys, numpy as np, fastnet\n"
        "t = fastnet.Trainer(fastnet.Network([3, 2]), backend='numpy')\n"
        "t.fit(np.ones((4, 3)), np.zeros(4, int), epochs=1); t.history.to_json()\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, *sys.modules)"
    )
    loaded = set(python(code).split())
    assert not loaded & HEAVY
    assert not {name for name in loaded if "kernels._cython_" in name or name.endswith("numba_backend")}


def test_importing_adds_few_modules_to_numpys() -> None:
    """The test counts modules, because the time of an import depends on the machine."""
    code = "import sys, numpy; before = set(sys.modules); import fastnet; print(*(set(sys.modules) - before))"
    added = set(python(code).split())
    ours = {name for name in added if name.startswith("fastnet")}
    assert {name.split(".")[1] for name in ours if "." in name} <= LIGHT
    kernels = {name for name in ours if name.startswith("fastnet.kernels.")}
    assert kernels <= {"fastnet.kernels.contract", "fastnet.kernels.formulas"}
    assert len(added - ours) <= 20


def test_a_command_starts_without_the_experiments() -> None:
    """`fastnet --help` and `fastnet train` do not load modules that only other commands need."""
    loaded = set(python("import sys, fastnet.cli; print(*sys.modules)").split())
    assert "fastnet.cli" in loaded
    late = HEAVY | {f"fastnet.{name}" for name in ("insight", "plots", "report", "bench")}
    assert not loaded & (late | {"concurrent.futures"})


@pytest.mark.parametrize("module", [fastnet, checks, insight, plots], ids=lambda module: module.__name__)
def test_public_names_exist_once_each(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__) > 0
    for name in module.__all__:
        assert hasattr(module, name)


@pytest.mark.parametrize("module", [fastnet, insight, plots], ids=lambda module: module.__name__)
def test_public_names_have_docstrings(module: ModuleType) -> None:
    things = {name: getattr(module, name) for name in module.__all__ if name != "__version__"}
    for name, thing in things.items():
        if isinstance(thing, insight.Recipe):  # a Recipe is documented beside its definition
            continue
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            own = [key for key, value in vars(thing).items() if inspect.isroutine(value) or isinstance(value, property)]
            missing = {key for key in own if key[0] != "_" and not inspect.getdoc(getattr(thing, key))}
            assert missing <= SELF_EXPLANATORY, name


ROOMS = ("backends", "checks", "cli", "data", "training", "insight", "plots", "explore", "report", "sklearn")
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for folder in ("", *ROOMS)
    for path in sources(PACKAGE / folder)
    if path.stem != "__main__"
]


def test_modules_have_a_docstring() -> None:
    for name in MODULES:
        module: ModuleType = importlib.import_module(name)
        assert module.__doc__, name
        assert module.__doc__.splitlines()[0].strip().endswith((".", ":", ",")), name


def test_the_version_is_the_distribution_s() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?\w+)?", fastnet.__version__)
    try:
        version = importlib.metadata.version("fastnet-mlp")
    except importlib.metadata.PackageNotFoundError:
        project = CHECKOUT / "pyproject.toml"
        if not project.exists():
            pytest.skip("fastnet is neither installed nor a checkout")
        version = re.search(r'^version = "(.+)"', project.read_text(), re.M)[1]
    assert fastnet.__version__ == version


def test_type_information_is_shipped() -> None:
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", ".ci/run", ".ci/arm"]
)
def test_documents_name_no_machine_s_paths(name: str) -> None:
    path = CHECKOUT / name
    if not path.exists():
        pytest.skip(f"{name} is missing")
    assert not re.findall(r"(?<![\w./~-])/(?:home|root|work|Users|tmp|var|mnt|data)\b[/\w.-]*", path.read_text("utf-8"))


@pytest.mark.skipif(not (CHECKOUT / "kernels").is_dir(), reason="needs a checkout")
def test_the_symlink_to_the_kernels_exists() -> None:
    link = CHECKOUT / "fastnet" / "kernels"
    assert link.is_symlink()
    assert os.readlink(link) == os.path.join("..", "kernels")


# -- names of files in prose -----------------------------------------------------------------------------------

# In "python NAME.py" the file is the reader's own script, so it need not exist.
MENTIONED = re.compile(r"(?<!python )(?<![\w.*/<-])(?:[\w-]+/)*[\w-]+\.(?:py|pyx|md)\b")
HAVE_PROSE = (
    "fastnet/**/*.py",
    "kernels/*.py",
    "kernels/*.pyx",
    "kernels/*.h",
    "bench/**/*.py",
    "*.md",
    "docs/**/*.md",
)


def prose(path: Path) -> str:
    """Return the comments and docstrings of a Python source, or the whole text of another file."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(docstrings + [token.string for token in tokens if token.type == tokenize.COMMENT])


@pytest.mark.skipif(not (CHECKOUT / "kernels").is_dir(), reason="needs a checkout")
@pytest.mark.parametrize("pattern", HAVE_PROSE)
def test_files_named_in_prose_exist(pattern: str) -> None:
    paths = [path for path in CHECKOUT.glob(pattern) if "generated" not in path.parts]
    assert paths
    folders = ("fastnet", "kernels", "bench", "tests", "docs", "examples")
    there = {path.name for folder in folders for path in (CHECKOUT / folder).rglob("*.*")}
    there |= {path.name for path in CHECKOUT.iterdir()}
    for path in paths:
        for name in MENTIONED.findall(prose(path)):
            found = (CHECKOUT / name).exists() or (path.parent / name).exists() or (PACKAGE / name).exists()
            assert found if "/" in name else name in there, f"{path.relative_to(CHECKOUT)} names {name}"


@pytest.mark.skipif(not (CHECKOUT / "docs").is_dir(), reason="needs a checkout")
def test_no_generated_file_is_large() -> None:
    """Pictures and tables that a command writes are small. Folders whose names start with _ are not tracked by git."""
    kinds = {".png", ".svg", ".md", ".json", ".html", ".css"}
    found = list(CHECKOUT.glob("*.md"))
    for folder in ("bench", "docs", "examples", "fastnet", "kernels", "tests"):
        found += [path for path in (CHECKOUT / folder).rglob("*") if path.suffix in kinds]
    kept = [path for path in found if not any(part[0] in "_." for part in path.relative_to(CHECKOUT).parts)]
    assert len(kept) > 40
    assert {path: path.stat().st_size for path in kept if path.stat().st_size > 100_000} == {}
