"""Trains a network on MNIST, runs it in other programs and counts the labels that differ from its own.

python -m tests.export.everywhere needs the data set mnist, a C compiler, and the packages that it prints.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastnet

Outputs = Any  # (n, n_out)
Labels = Any  # (n,)


def in_torch(net: fastnet.Network, pixels: Any, folder: Path) -> tuple[Outputs, Labels]:
    """Return what PyTorch computes for bytes (n, n_in)."""
    import torch  # imported here, since a missing package leaves the other programs

    with torch.no_grad():
        outputs = net.to_torch()(torch.from_numpy(floats(pixels))).numpy()
    return outputs, outputs.argmax(1)


def in_sklearn(net: fastnet.Network, pixels: Any, folder: Path) -> tuple[Outputs, Labels]:
    """Return what scikit-learn computes."""
    model = net.to_sklearn()
    return model.predict_proba(floats(pixels)), model.predict(floats(pixels))


def in_c(net: fastnet.Network, pixels: Any, folder: Path) -> tuple[Outputs, Labels]:
    """Return what the C file computes."""
    net.to_c(folder / "network.c")
    files = ["network.c", "-o", "network.so"]
    subprocess.run(["cc", "-std=c99", "-O2", "-shared", "-fPIC", *files, "-lm"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "network.so"))
    pointers = [row.ctypes.data_as(ctypes.c_void_p) for row in pixels]
    outputs = np.empty((len(pixels), net.sizes[-1]), net.dtype)
    for pointer, out in zip(pointers, outputs, strict=True):
        library.network_forward_bytes(pointer, out.ctypes.data_as(ctypes.c_void_p))
    return outputs, np.array([library.network_predict_bytes(pointer) for pointer in pointers])


def in_onnxruntime(net: fastnet.Network, pixels: Any, folder: Path) -> tuple[Outputs, Labels]:
    """Return what ONNX Runtime computes for the bytes."""
    import onnxruntime

    net.to_onnx(folder / "network.onnx", x_dtype="uint8")
    session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    outputs, labels = session.run(["probabilities", "labels"], {"x": pixels})
    return outputs, labels


def floats(pixels: Any) -> Any:
    """Return pixels as float32 from 0 to 1."""
    return pixels.astype(np.float32) / 255


PROGRAMS: dict[str, Callable[[fastnet.Network, Any, Path], tuple[Outputs, Labels]]] = {
    "PyTorch": in_torch,
    "scikit-learn": in_sklearn,
    "C": in_c,
    "ONNX Runtime": in_onnxruntime,
}


def main() -> None:
    """Train and print a line for each program."""
    data = fastnet.data.load("mnist")
    net = fastnet.Network([784, 16, 16, 10], seed=0)
    fastnet.Trainer(net, seed=0).fit(data.x_train, data.y_train, epochs=10)
    pixels = np.ascontiguousarray(data.x_test)
    outputs, labels = net.forward(pixels), net.predict(pixels)
    print(f"{net}: {net.accuracy(pixels, data.y_test):.2%} of {len(pixels):,} test images are right")
    print("program       labels that differ  largest difference of an output")
    with tempfile.TemporaryDirectory() as folder:
        for name, run in PROGRAMS.items():
            try:
                found, classes = run(net, pixels, Path(folder))
            except ImportError as error:
                print(f"{name:12}  {error}")
                continue
            print(f"{name:12}  {(classes != labels).sum():18,}  {abs(found - outputs).max():31.1e}")


if __name__ == "__main__":
    main()
