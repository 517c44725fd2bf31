"""The C files of networks compile without warnings, compute what the networks compute, and pass the sanitizers."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from string import Template
from typing import Any

import export_cases
import numpy as np
import pytest
from network_cases import refused

from fastnet import DataError, Network
from fastnet.data import Schema

if shutil.which("cc") is None:
    pytest.skip("there is no C compiler named cc", allow_module_level=True)

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "c.md"
STRICT = ["-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wdouble-promotion", "-Wshadow"]
C99 = ["cc", "-std=c99", *STRICT]
COMPILERS = {
    "c99": C99,
    "sanitizers": [*C99, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "c++": ["c++", "-std=c++11", *STRICT, "-x", "c++"],
}
N = 1000
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}  # relative to outputs above 1

# A program that reads N rows of numbers and N rows of bytes for each network, and writes the outputs and predictions.
DRIVER = Template("""\
#include <stdio.h>
int main(void)
{
    int i;
$runs
    return 0;
}
""")
RUN = Template("""\
    for (i = 0; i < 2 * $n; i++) {
        $real x[${NAME}_N_IN], out[${NAME}_N_OUT];
        unsigned char bytes[${NAME}_N_IN];
        int labels[${NAME}_N_OUT];
        if (i < $n) {
            if (fread(x, sizeof x, 1, stdin) != 1)
                return 1;
            ${name}_forward(x, out);
            $predict
        } else {
            if (fread(bytes, sizeof bytes, 1, stdin) != 1)
                return 1;
            ${name}_forward_bytes(bytes, out);
            $predict_bytes
        }
        fwrite(out, sizeof out, 1, stdout);
        fwrite(labels, sizeof labels, 1, stdout);
    }
""")
PREDICT = {
    "classification": "labels[0] = {name}_predict{kind}({x});",
    "multilabel": "{name}_predict{kind}({x}, labels);",
    "regression": "labels[0] = 0;",
}


def compiled(compiler: str, source: str, folder: Path, *options: str) -> Path:
    """Return a program or library made from a source. Any warning is an error."""
    (folder / "source.c").write_text(source)
    program = folder / "program"
    command = [*COMPILERS[compiler], *options, str(folder / "source.c"), "-o", str(program), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return program


def driver(nets: list[Network]) -> str:
    """Return the sources of all networks in one file, and a main function that runs each."""
    runs = ""
    for name, net in ((f"net{k}", net) for k, net in enumerate(nets)):
        predict = PREDICT[net.task]
        runs += RUN.substitute(
            name=name,
            NAME=name.upper(),
            real="float" if net.dtype == np.float32 else "double",
            n=N,
            predict=predict.format(name=name, kind="", x="x"),
            predict_bytes=predict.format(name=name, kind="_bytes", x="bytes"),
        )
    return "".join(net.to_c(name=f"net{k}") for k, net in enumerate(nets)) + DRIVER.substitute(runs=runs)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_program_computes_what_the_networks_compute(compiler: str, tmp_path: Path) -> None:
    if shutil.which(COMPILERS[compiler][0]) is None:
        pytest.skip(f"there is no compiler named {COMPILERS[compiler][0]}")
    nets = [*export_cases.covered(), *export_cases.drawn(10), Network([784, 16, 16, 10], seed=0)]
    rows = [export_cases.rows(net, N) for net in nets]
    pixels = [np.random.default_rng(3).integers(0, 256, x.shape, np.uint8) for x in rows]
    program = compiled(compiler, driver(nets), tmp_path)
    sent = b"".join(x.tobytes() + byte_rows.tobytes() for x, byte_rows in zip(rows, pixels, strict=True))
    done = subprocess.run([program], input=sent, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found, start = done.stdout, 0
    for net, x, byte_rows in zip(nets, rows, pixels, strict=True):
        n_out = net.sizes[-1]
        record = np.dtype([("out", net.dtype, (n_out,)), ("labels", np.int32, (n_out,))])
        got = np.frombuffer(found, record, 2 * N, start)
        start += got.nbytes
        for part, inputs in ((got[:N], x), (got[N:], byte_rows)):
            expected, tolerance = net.forward(inputs), TOLERANCE[net.dtype.name]
            assert np.isfinite(expected).all()
            np.testing.assert_array_less(abs(part["out"] - expected), tolerance * np.maximum(1, abs(expected)))
            if net.task != "regression":
                labels = part["labels"][:, 0] if net.is_classifier else part["labels"]
                np.testing.assert_array_equal(labels, net.predict(inputs), err_msg=net.description())
    assert start == len(found)


@pytest.mark.parametrize("dtype", export_cases.DTYPES)
@pytest.mark.parametrize("output", ["softmax", "identity", "exponential"])
def test_the_self_test_passes_and_finds_a_wrong_weight(dtype: str, output: str, tmp_path: Path) -> None:
    net = export_cases.network(
        "tanh", (output, "classification" if output == "softmax" else "regression", 3), dtype, (5,), 1
    )
    source = net.to_c(name="digits")
    program = compiled("c99", source, tmp_path, "-DDIGITS_SELF_TEST")
    assert subprocess.run([program]).returncode == 0
    net.weights[1][0, 0] += 0.1
    wrong = net.to_c(name="digits").split("DIGITS_SELF_TEST\nstatic")[0] + "DIGITS_SELF_TEST\nstatic"
    program = compiled("c99", wrong + source.split("DIGITS_SELF_TEST\nstatic")[1], tmp_path, "-DDIGITS_SELF_TEST")
    assert subprocess.run([program]).returncode == 1


@pytest.mark.parametrize("output", ["identity", "sigmoid", "exponential", "softmax"])
def test_extreme_numbers_do_not_overflow_and_keep_their_bits(output: str, tmp_path: Path) -> None:
    """exp of a large number is infinite, and its sigmoid is 1. The kernels flush denormal numbers to 0, C does not."""
    net = Network([3, 2], output=output, cost="squared_error")
    net.parameters = [1e-45, 3.4028235e38, 0.0, 1 / 3, 1.17549435e-38, 16777216, 0, 0]
    library = ctypes.CDLL(str(compiled("c99", net.to_c(), tmp_path, "-shared", "-fPIC")))
    for row in (*np.eye(3, dtype=np.float32), np.array([0, -1, -1], np.float32)):
        out = np.empty(2, np.float32)
        library.network_forward(pointer(row), pointer(out))
        if output == "identity":
            assert out.tobytes() == (net.weights[0] @ row).tobytes()
        else:
            with np.errstate(over="ignore"):
                np.testing.assert_allclose(out, net.forward(row[None])[0], rtol=1e-6, atol=1e-37)


def pointer(array: Any) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def test_names_of_classes_may_have_any_letters(tmp_path: Path) -> None:
    names = ("*/ int x; /*", "a\n??/\\", 'é"%s', "\0123", "plain (1/2)")
    net = Network([4, 6], seed=0)
    net.schema = Schema(class_names=names)
    library = ctypes.CDLL(str(compiled("c99", net.to_c(), tmp_path, "-shared", "-fPIC")))
    library.network_class_name.restype = ctypes.c_char_p
    found = [library.network_class_name(k) for k in (*range(6), -1)]
    assert found == [name.encode().split(b"\0")[0] for name in (*names, "", "")]


def test_another_file_sees_the_declarations_only(tmp_path: Path) -> None:
    source = Network([4, 1], task="multilabel").to_c(tmp_path / "network.c")
    assert (tmp_path / "network.c").read_text() == source
    user = """
    #define NETWORK_DECLARATIONS
    #include "network.c"
    int main(void) { float x[NETWORK_N_IN] = {0}; int label; network_predict(x, &label); return label; }
    """
    program = compiled("c99", user, tmp_path, str(tmp_path / "network.c"))
    assert subprocess.run([program]).returncode == 1  # a weighted sum of 0 is a label


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    net = Network([4, 3], seed=0)
    for name in ("", "9a", "a-b", "_a", "a b", "é", "a;", "a\n", None):
        refused(lambda name=name: net.to_c(name=name), "name must be")
    for value in (np.nan, np.inf, 3e38):
        net.parameters[:] = value
        refused(net.to_c, "not finite")
    net = Network([4, 3], task="regression")
    net.biases[0][0] = np.inf  # a regression's outputs are then no NaN
    refused(net.to_c, "not finite")
    (tmp_path / "old.c").write_text("old")
    refused(lambda: net.to_c(tmp_path / "old.c"), "not finite")
    assert (tmp_path / "old.c").read_text() == "old"
    with pytest.raises(DataError, match="does not exist"):
        Network([4, 3]).to_c(tmp_path / "missing" / "a.c")


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not beside tests/")
def test_the_program_of_the_page_compiles_and_runs(tmp_path: Path) -> None:
    program = re.search(r"^```c\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert program is not None
    net = Network([784, 16, 10], seed=0)
    net.to_c(tmp_path / "digits.c", name="digits")
    images = np.random.default_rng(0).integers(0, 256, (20, 784), np.uint8)
    made = compiled("c99", program[1], tmp_path, str(tmp_path / "digits.c"))
    found = [subprocess.run([made], input=image.tobytes(), capture_output=True, check=True).stdout for image in images]
    assert [int(label) for label in found] == net.predict(images).tolist()
