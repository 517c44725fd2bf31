"""Builds the Cython kernels: one extension module for each instruction set and dtype, from one source.

Without a C compiler, fastnet installs with the Numba and NumPy backends only.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Environment variables of a build:
# FASTNET_REQUIRE_EXT=1      makes a failed build of the kernels an error
# FASTNET_ISA_BUILD=x86_v4   builds only these instruction sets, separated by commas
# FASTNET_DEBUG=1            builds without optimisation, with debug symbols and Cython's bounds checks
# FASTNET_SANITIZE=1         builds with the address and undefined-behaviour sanitizers (how to run it: CONTRIBUTING.md)
# FASTNET_SANITIZE=thread    builds with the thread sanitizer: tests/stress/races.py builds and runs it
# FASTNET_PHASES=1           builds kernels that count the time of each phase of training, for fastnet.bench.phases
SOURCE = Path("kernels/cython_backend.pyx")
GENERATED = Path("build/kernels")  # a copy of SOURCE for each module: cythonize takes one module name per source
DEBUG = os.environ.get("FASTNET_DEBUG") == "1"
SANITIZERS = {
    "1": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "thread": ["-fsanitize=thread"],
}.get(os.environ.get("FASTNET_SANITIZE", ""), [])
LEVEL = "-O0" if DEBUG else "-O1" if SANITIZERS else "-O3"  # with a sanitizer, -O3 takes twice as long to compile

# These flags keep NaN, infinity and the order of additions. With -ffast-math, GCC before 13 links code that flushes
# denormals in the whole process. -fassociative-math undoes the two-step range reduction of exp
# (docs/decisions/compiler-flags.md).
UNIX_FLAGS = [
    LEVEL,
    "-g" if DEBUG or SANITIZERS else "-g0",
    *SANITIZERS,
    "-fno-math-errno",  # sqrt becomes one instruction
    "-fno-trapping-math",  # comparisons may become selects
    "-fno-signed-zeros",
    "-ffp-contract=fast",  # a * b + c becomes one instruction
    "-fno-strict-aliasing",  # the workspace holds both integers and floats
    "-Wno-psabi",  # silences a warning that matters only for vector arguments between modules
]
# These are exactly the features that kernels/cython_dispatch.py looks for before it imports a module.
# -march=x86-64-vN would also use BMI, LZCNT and MOVBE.
SSE = ["-msse4.2", "-mpopcnt"]
AVX2 = [*SSE, "-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, *(f"-mavx512{part}" for part in ("f", "cd", "bw", "dq", "vl")), "-mprefer-vector-width=512"]
UNIX = {"x86_v2": SSE, "x86_v3": AVX2, "x86_v4": AVX512}
MSVC = {"x86_v3": ["/arch:AVX2"], "x86_v4": ["/arch:AVX512"]}
PHASES = [("FASTNET_PHASES", "1")] if os.environ.get("FASTNET_PHASES") == "1" else []
DTYPES = {"float32": PHASES, "float64": [("FASTNET_FLOAT64", "1"), *PHASES]}


def instruction_sets() -> list[str]:
    x86 = platform.machine().lower() in ("x86_64", "amd64") and "arm64" not in os.environ.get("ARCHFLAGS", "")
    wanted = [name for name in os.environ.get("FASTNET_ISA_BUILD", "").split(",") if name]
    return wanted or (list(UNIX) if x86 else ["generic"])


def module(isa: str, dtype: str) -> Extension:
    name = f"_cython_{isa}_{dtype}"
    source = GENERATED / f"{name}.pyx"
    text = SOURCE.read_text(encoding="utf-8")
    if not source.exists() or source.read_text(encoding="utf-8") != text:
        GENERATED.mkdir(parents=True, exist_ok=True)
        source.write_text(text, encoding="utf-8")
    return Extension(
        f"fastnet.kernels.{name}",
        [str(source)],
        include_dirs=["kernels"],
        depends=["kernels/vec.h", "kernels/few_rows.h", "kernels/narrow.h"],
        define_macros=DTYPES[dtype],
    )


class BuildExt(build_ext):
    """Adds the flags after setuptools has chosen the compiler, and compiles on all cores."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1  # setup()'s options do not reach an editable install

    def build_extensions(self) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        for extension in self.extensions:
            isa = extension.name.partition("_cython_")[2].rpartition("_")[0]
            extension.extra_link_args = SANITIZERS
            extension.extra_compile_args = ["/O2", *MSVC.get(isa, [])] if msvc else [*UNIX_FLAGS, *UNIX.get(isa, [])]
        super().build_extensions()


extensions = cythonize(
    [
        *(module(isa, dtype) for isa in instruction_sets() for dtype in DTYPES),
        Extension("fastnet.kernels._cyutility", ["build/cython/_cyutility.c"]),  # code that the modules share
    ],
    shared_utility_qualified_name="fastnet.kernels._cyutility",
    build_dir="build/cython",
    compiler_directives={
        "language_level": 3,
        "boundscheck": DEBUG,
        "initializedcheck": DEBUG,
        "wraparound": False,
        "cdivision": True,
        "binding": True,
        "freethreading_compatible": True,
    },
)
for extension in extensions:  # cythonize() drops this option
    extension.optional = os.environ.get("FASTNET_REQUIRE_EXT") != "1"

setup(
    ext_modules=extensions,
    cmdclass={"build_ext": BuildExt},
)
