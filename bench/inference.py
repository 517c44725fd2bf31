"""The suite `inference`: one image with the public call, one image in the kernel alone, and 10,000 images at once."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnet import backends
from fastnet.bench.contenders import Timing, take_turns
from fastnet.bench.peers import TUNED
from fastnet.bench.report import Section, number, ratio
from fastnet.bench.suites import BASELINE, Task, peers
from fastnet.bench.workloads import Array, Setup, VerificationError, Workload, as_input, checker
from fastnet.kernels import contract as c
from fastnet.network import Network

MANY = 10_000
CALLS, QUICK_CALLS = 1_000, 20
BYTE, FLOAT, KERNEL, OVERHEAD = "one image", "one image, floats", "kernel and call", "call"  # the measurements
BYTES, FLOATS = "images", "images, floats"
NOTE = (
    "Medians of {rounds} rounds. One image: the mean time of {calls:,} public Python calls. Each call labels another "
    "image. In the kernel: the time of the backend's own function minus the time of this function on a 1-1 network, "
    "which is nearly all overhead. {many:,} images: one call labels all of them. The peers get floats, and convert "
    "them to their own form before the timing starts."
)
Turns = dict[tuple[str, str], Callable[[], float]]  # (contender, measurement) -> a function that returns seconds


def run(task: Task) -> Section:
    many = min(MANY, len(task.dense.y_test))
    calls = QUICK_CALLS if task.quick else CALLS
    records: list[dict[str, Any]] = []
    distinct = {(w.sizes, w.activation, w.output): w for w in reversed(task.workloads)}  # W1 and W3 share a network
    for workload in reversed(distinct.values()):
        task.say(f"inference of {workload.name}'s network")
        turns: Turns = {}
        for setup in task.setups:
            turns |= fastnet_turns(task, workload, setup, many, calls)
        with peers(task, workload, trains=False) as running:
            for name, peer in running.items():
                turns[name, FLOAT] = functools.partial(peer.inference, 1, calls)
                turns[name, FLOATS] = functools.partial(peer.inference, many, 1)
            records += _records(workload, many, take_turns(turns, task.rounds))
    return _section(records, many, NOTE.format(rounds=task.rounds, calls=calls, many=many))


# -- the measurements ---------------------------------------------------------------------------------------------


def fastnet_turns(task: Task, workload: Workload, setup: Setup, many: int, calls: int) -> Turns:
    """One backend's calls, which the suite times. Verifies their results."""
    network, name = workload.network(setup.dtype), setup.backend
    pixels = as_input(task.dense, "bytes").x_test[:many]
    floats = pixels if pixels.dtype != np.uint8 else np.divide(pixels, 255, dtype=setup.dtype)
    expected = workload.network("float64").forward(pixels, backend=BASELINE)
    check = checker(f"{workload.name}, {setup}", workload.tolerance(setup.dtype))
    turns: Turns = {}
    for kind, x, one, all_ in (("bytes", pixels, BYTE, BYTES), ("floats", floats, FLOAT, FLOATS)):
        labels = _predictor(network, setup, many)
        found = labels(x)
        wrong = int(np.sum(found != expected.argmax(1)))
        if wrong > len(x) // 1000:  # rounding may swap two outputs that are nearly equal
            raise VerificationError(f"{workload.name}, {setup}: {wrong} of {len(x)} labels of {kind} are wrong")
        single = _predictor(network, setup, 1)
        turns[name, one] = functools.partial(_each, single, list(x[:calls]), calls)
        turns[name, all_] = functools.partial(_once, labels, x)
    if name != BASELINE:
        kernel, out = _kernel(network, name, floats.dtype)
        outputs = np.empty((min(len(floats), calls), workload.sizes[-1]), setup.dtype)
        for image, row in zip(floats, outputs, strict=False):
            kernel(image[None], out)
            row[:] = out[0]
        check("output of single images", outputs, expected[: len(outputs)])
        nothing, its_out = _kernel(Network([1, 1], dtype=setup.dtype, seed=0), name, floats.dtype)
        turns[name, KERNEL] = functools.partial(
            _each, lambda x: kernel(x, out), [image[None] for image in floats[:calls]], calls
        )
        ones = [np.ones((1, 1), floats.dtype)] * len(floats[:calls])
        turns[name, OVERHEAD] = functools.partial(_each, lambda x: nothing(x, its_out), ones, calls)
    return turns


def _predictor(network: Network, setup: Setup, rows: int) -> Callable[[Any], Any]:
    """A function from images to labels, compiled for at most `rows` images."""
    return network.compile(backend=setup.backend, max_batch=rows).predict


def _kernel(network: Network, backend: str, dtype: np.dtype[Any]) -> tuple[Callable[[Array, Array], None], Array]:
    """A backend's function (x, out), which writes the outputs of one row x to `out`, and an array for `out`."""
    kernels: Any = backends.get(backend)
    layers, parameters = network.layers, network.parameters
    out = np.empty((1, network.sizes[-1]), network.dtype)
    work = c.aligned_empty(c.plan(layers, 1, 0, parameters.itemsize).size, network.dtype)
    if hasattr(kernels, "predictor"):
        return kernels.predictor(layers, parameters, 1, dtype, work), out
    return lambda x, out: kernels.predict(layers, parameters, x, out, work), out


def _each(call: Callable[[Any], Any], images: Sequence[Any], calls: int) -> float:
    """The mean seconds of a call."""
    began = time.perf_counter()
    for image in images:
        call(image)
    return (time.perf_counter() - began) / len(images)


def _once(call: Callable[[Any], Any], x: Any) -> float:
    began = time.perf_counter()
    call(x)
    return time.perf_counter() - began


# -- the results --------------------------------------------------------------------------------------------------


def _records(workload: Workload, many: int, timings: dict[tuple[str, str], Timing]) -> list[dict[str, Any]]:
    records = []
    for name in dict.fromkeys(name for name, _ in timings):
        own = {what: timing for (who, what), timing in timings.items() if who == name}
        kernel = math.nan
        if KERNEL in own:
            pairs = zip(own[KERNEL].seconds, own[OVERHEAD].seconds, strict=True)
            kernel = float(np.median([with_call - call for with_call, call in pairs]))
        tuned = timings.get((TUNED, FLOATS))
        records.append(
            {
                "workload": workload.name,
                "layers": "-".join(map(str, workload.sizes)),
                "backend": name,
                "rows": many,
                "one_image_seconds": own[BYTE].median if BYTE in own else math.nan,
                "one_image_of_floats_seconds": own[FLOAT].median,
                "one_image_in_the_kernel_seconds": kernel,
                "images_seconds": own[BYTES].median if BYTES in own else math.nan,
                "images_of_floats_seconds": own[FLOATS].median,
                "speed_over_tuned_numpy": own[FLOATS].speed(tuned) if tuned else math.nan,
                "rounds": {what: timing.seconds for what, timing in own.items()},
            }
        )
    return records


def _section(records: list[dict[str, Any]], many: int, note: str) -> Section:
    rows = [
        (
            *(record["layers"], record["backend"]),
            *(number(record[key] * 1e6) for key in ("one_image_seconds", "one_image_of_floats_seconds")),
            number(record["one_image_in_the_kernel_seconds"] * 1e6),
            *(number(record[key] * 1e3) for key in ("images_seconds", "images_of_floats_seconds")),
            f"{record['rows'] / record['images_of_floats_seconds'] / 1e6:.2f}",
            ratio(record["speed_over_tuned_numpy"]),
        )
        for record in records
    ]
    columns = (
        *("network", "backend", "one image, bytes, us", "one image, floats, us", "in the kernel, us"),
        *(
            f"{many:,}, bytes, ms",
            f"{many:,}, floats, ms",
            "million images/s, floats",
            "speed on floats, tuned NumPy = 1",
        ),
    )
    return Section("inference", "Inference", columns, rows, note, records)
