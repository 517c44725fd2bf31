"""The public calls, on the data of a case of `configurations` in every layout, dtype and sparse format.

A training on C-contiguous arrays is compared with the oracle, update by update. Other forms must give the same bits.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import comparisons as cmp
import kernel_cases as kc
import naive
import numpy as np
import scipy.sparse

import fastnet
from fastnet.costs import with_number
from fastnet.kernels import contract as c

from . import sparse
from .harness import Case, Unfit
from .kernel_calls import available
from .problems import drops_of, judged, oracle_step, rule_of, tolerance

Array = kc.Array
SCORES = ("cost", "accuracy", "label_accuracy", "r2")


def at_odd_bytes(a: Array) -> Array:
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def strided(a: Array) -> Array:
    wide = np.full([2 * n for n in a.shape], 77, a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def reversed_(a: Array) -> Array:
    backwards = (slice(None, None, -1),) * a.ndim
    return a[backwards].copy()[backwards]


def read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


def mapped(a: Array) -> Array:
    with tempfile.TemporaryFile() as file:
        file.write(b"header " + a.tobytes())
        file.flush()
        return np.memmap(file, a.dtype, "r", 7, a.shape)


ANY: dict[str, Callable[[Array], Any]] = {
    "plain": np.copy,
    "fortran": np.asfortranarray,
    "reversed": reversed_,
    "odd bytes": at_odd_bytes,
    "strided": strided,
    "read-only": read_only,
    "mapped": mapped,
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "masked": np.ma.masked_array,
}
FLOATS: dict[str, Callable[[Array], Any]] = {
    "list": lambda a: a.tolist(),
    "longdouble": lambda a: a.astype(np.longdouble),
    "float64": lambda a: a.astype(np.float64),
}
INPUTS: dict[str, Callable[[Array], Any]] = {
    "images": lambda a: a.reshape(len(a), 1, -1),
    "matrix": np.matrix,
}
SPARSE: dict[str, Callable[[Array], Any]] = {
    f"{form}_{kind}": getattr(scipy.sparse, f"{form}_{kind}") for form in sparse.FORMATS for kind in ("array", "matrix")
}
LABELS: dict[str, Callable[[Array], Any]] = {
    **{dtype: operator.methodcaller("astype", dtype) for dtype in ("int16", "uint16", "int32", "uint32", "uint64")},
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a),
}
ONE_HOT: dict[str, Callable[[Array], Any]] = {
    dtype: operator.methodcaller("astype", dtype) for dtype in ("int8", "uint8", "bool", "float16")
}


def drawn(rng: np.random.Generator, case: Case, most: int) -> Case:
    """Draw the rest of a case, with at most `most` training rows."""
    epochs = int(rng.integers(1, 4))
    rows = max(1, min(case["rows"], most // epochs))
    one_hot = bool(rng.random() < 0.3)
    backend = str(rng.choice(available()))
    sizes = case["sizes"]
    if kc.PAIRS[case["output"]][0] == "softmax" and sizes[-1] == 1:
        sizes = [*sizes[:-1], 2]
    return {
        "sizes": sizes,
        "task": str(rng.choice(tasks_of(kc.PAIRS[case["output"]][0]))),
        "weights": str(rng.choice(kc.WEIGHTS)),
        "byte_scale": float(rng.choice([c.PIXEL_SCALE, 0.01])),
        "rows": rows,
        "epochs": epochs,
        "batch_size": int(rng.integers(-(-rows // 4), rows + 2)),
        "one_hot": one_hot,
        "backend": backend,
        "threads": 1 if backend == "numpy" else int(rng.integers(1, 5)),
        "x": str(rng.choice(list(SPARSE if rng.random() < 0.3 else dense_kinds(case)))),
        "y": str(rng.choice(list(target_kinds(case, one_hot)))),
        "compress": ("auto", True, False)[int(rng.integers(3))],
        "shuffle": bool(rng.random() < 0.7),
        "every": int(rng.integers(5)),
    }


def tasks_of(output: str) -> list[str]:
    """Return the tasks that go with an output activation. The first task is the one that the output implies."""
    others = {"sigmoid": ["classification", "multilabel"], "softmax": ["classification"]}
    return [*others.get(output, []), "regression"]


def dense_kinds(case: Case) -> dict[str, Callable[[Array], Any]]:
    return ANY | INPUTS | (FLOATS if case["inputs"] == "floats" else {})


def target_kinds(case: Case, one_hot: bool) -> dict[str, Callable[[Array], Any]]:
    return ANY | (LABELS if case["targets"] == "labels" else ONE_HOT if one_hot else FLOATS)


def check(case: Case, k: kc.Case) -> str:
    x_kinds, y_kinds = dense_kinds(case) | SPARSE, target_kinds(case, case["one_hot"])
    softmax_of_one = k.naive.activations[-1] == "softmax" and k.naive.sizes[-1] == 1
    if min(case["batch_size"], case["epochs"], case["threads"]) < 1 or softmax_of_one or case["y"] not in y_kinds:
        raise Unfit
    tasks = tasks_of(k.naive.activations[-1])
    if k.naive.task not in tasks:  # in a case from before the networks had a task
        k = k._replace(naive=dataclasses.replace(k.naive, task=tasks[0]))
    k, y = with_targets(case, k)
    try:
        first, trainer, updates = run(case, k, k.x, y, 1)
    except fastnet.DivergedError:
        # Dropout scales activations by up to 10. The oracle trains without dropout, so it cannot judge dropout.
        if not case["dropout"] and largest_parameter(case, k) < 1e3:
            raise
        return f"{case['backend']}, diverged{' with dropout' * case['dropout']}"
    check_updates(k, trainer, updates, first, rule_of(case))
    check_outcome(k, first)
    sparse_kind = case["x"] in SPARSE
    if sparse_kind:
        csr, _, _ = run(case, k, scipy.sparse.csr_array(k.x), y, 1)
        cmp.assert_close(csr.outputs_before, first.outputs_before, tolerance(k, cmp.TOLERANCE))
        first = csr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns of DIA matrices with many diagonals
        given = x_kinds[case["x"]](k.x), y_kinds[case["y"]](y)
    before = [snapshot(data) for data in given]
    found, _, _ = run(case, k, *given, case["every"])
    differ = [name for name in Results._fields if getattr(found, name).tobytes() != getattr(first, name).tobytes()]
    assert not differ, (
        f"{', '.join(differ)} of x {case['x']} and y {case['y']}, a callback every {case['every']}: differ"
    )
    assert [snapshot(data) for data in given] == before, "the data were changed"
    return f"{case['backend']}, {'sparse' if sparse_kind else case['inputs']}"


def largest_parameter(case: Case, k: kc.Case) -> float:
    """Let the oracle make as many updates as the case, but with full batches. Return the largest parameter, or inf."""
    updates = case["epochs"] * -(-len(k.x) // case["batch_size"])
    params, state = k.params, np.zeros((rule_of(case).slots(), len(k.params))).tolist()
    largest = 0.0
    with np.errstate(over="ignore"):
        for number in range(1, updates + 1):
            try:
                after = cmp.naive_step(k, params, state, np.arange(len(k.x)), rule_of(case), case["rate"], number)
            except OverflowError:
                return math.inf
            params, largest = after.params, max(largest, float(np.abs(after.params).max()))
            if not np.isfinite(params).all():
                return math.inf
    return largest


def with_targets(case: Case, k: kc.Case) -> tuple[kc.Case, Array]:
    """Return the case, and y as a user gives it: labels or targets. With one output, the targets are the labels."""
    rng = np.random.default_rng(case["seed"])
    n, n_out = len(k.x), k.naive.sizes[-1]
    if case["targets"] == "labels":
        if n_out > 1 and k.naive.task == "multilabel":
            return k._replace(y=np.eye(n_out, dtype=k.params.dtype)[k.y]), np.eye(n_out, dtype=np.int64)[k.y]
        if n_out > 1:
            return k, k.y
        y = rng.integers(0, 2, n)
        return k._replace(y=y[:, None].astype(k.params.dtype)), y
    if case["one_hot"]:
        k = k._replace(y=np.eye(n_out, dtype=k.params.dtype)[rng.integers(0, n_out, n)])
    elif k.naive.task == "classification":
        k = k._replace(y=k.y / np.maximum(k.y.sum(1, keepdims=True), 1))  # at most one target above 0.5
    return k, k.y


class Update(NamedTuple):
    rows: Array
    rate: float
    params: Array  # parameters after the update
    state: Array


class Results(NamedTuple):
    """All results, for a comparison bit for bit."""

    outputs_before: Array
    params: Array
    state: Array
    history: Array
    evaluation: Array
    classes: Array
    outputs: Array
    compiled: Array
    gradient: Array


class Recorder(fastnet.Callback):
    """Record each update if `every` is 1."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.updates: list[Update] = []

    def on_batches(self, trainer: fastnet.Trainer, progress: fastnet.EpochSoFar) -> None:
        params, state = trainer.network.parameters.copy(), trainer._state.moments.copy()
        self.updates.append(Update(progress.rows.copy(), progress.learning_rate, params, state))


def run(case: Case, k: kc.Case, x: Any, y: Any, every: int) -> tuple[Results, fastnet.Trainer, list[Update]]:
    """Make all public calls, with a callback after every `every` batches (0: no callback)."""
    *hidden, output = k.naive.activations
    net = fastnet.Network(
        k.naive.sizes,
        activation=hidden,
        output=output,
        cost=with_number(k.naive.cost, k.naive.number),
        task=k.naive.task,
        dtype=k.params.dtype,
        byte_scale=k.scale,
    )
    net.parameters = k.params
    weights = k.weights if k.weights.size else None
    outputs_before = net.forward(x, backend=case["backend"])
    trainer = fastnet.Trainer(
        net,
        optimizer=optimizer_of(rule_of(case)),
        learning_rate=case["rate"],
        batch_size=case["batch_size"],
        weight_decay=case["weight_decay"],
        clip_norm=case["clip_norm"] or None,
        dropout=drops_of(case) or 0.0,
        shuffle=case["shuffle"],
        backend=case["backend"],
        seed=case["seed"],
        threads=case["threads"],
        sparse=case["compress"],
    )
    recorder = Recorder(max(1, every))
    exact = [f"validation_{name}" for name in SCORES]
    exact += [] if k.weights.size else ["accuracy"]  # other sums over an epoch depend on the split into calls
    history = trainer.fit(
        x,
        y,
        epochs=case["epochs"],
        sample_weight=weights,
        validation_data=(x, y, weights),
        callbacks=[recorder] if every else [],
    )
    results = Results(
        outputs_before,
        net.parameters.copy(),
        trainer._state.moments.copy(),
        np.array([history[name] for name in exact], float),
        np.array(trainer.evaluate(x, y, sample_weight=weights)),
        net.predict(x, backend=case["backend"]),
        net.forward(x, backend=case["backend"]),
        net.compile(backend=case["backend"], max_batch=3)(x),
        net.gradient(x, y, sample_weight=weights, backend=case["backend"]),
    )
    return results, trainer, recorder.updates


def optimizer_of(rule: naive.Rule) -> Any:
    if rule.kind == "momentum":
        return fastnet.Momentum(rule.beta1, rule.nesterov)
    return fastnet.Adam(rule.beta1, rule.beta2, rule.epsilon) if rule.kind == "adam" else "sgd"


def check_updates(
    k: kc.Case, trainer: fastnet.Trainer, updates: list[Update], found: Results, rule: naive.Rule
) -> None:
    """Compare each update with the oracle's update from the same parameters."""
    layers = trainer._layers[:-1]
    if layers[:, c.DROP].any():
        k = kc.dropping(k, *layers[:, [c.DROP, c.DROP_KEY]].tolist())
    params, state, costs = k.params, np.zeros_like(found.state), []
    for number, update in enumerate(updates, 1):
        step = oracle_step(k, params, state, update.rows, rule, update.rate, number)
        costs.append(step.after.cost / weight_of(k))
        if not step.near:
            cmp.assert_close(update.params, step.after.params, tolerance(k, cmp.TRAINED))
            cmp.assert_close(update.state, step.after.state, tolerance(k, cmp.TRAINED))
        params, state = update.params, update.state
    cmp.assert_same_bits([params, state], [found.params, found.state])
    reported = trainer.history["cost"]
    cmp.assert_close(reported, np.reshape(costs, (len(reported), -1)).sum(1), tolerance(k, cmp.TOLERANCE))


def check_outcome(k: kc.Case, found: Results) -> None:
    """Check the outputs, the cost, the scores and the predictions of the trained network."""
    k = k._replace(params=found.params)
    within, n_out = tolerance(k, cmp.TOLERANCE), k.naive.sizes[-1]
    outputs = naive.predict(k.naive, k.params.tolist(), cmp.naive_inputs(k.x, k.scale))
    cmp.assert_close(found.outputs, outputs, within)
    cmp.assert_close(found.compiled, outputs, within)
    cost, gradient = cmp.naive_gradient(k)
    cmp.assert_close(found.evaluation[0], cost, within)
    near, ties = judged(k, np.arange(len(k.x)))
    if not near:
        cmp.assert_close(found.gradient, gradient, within)
    _, weight, _, score, labels = cmp.naive_report(k)
    uncertain = ties * k.weights.max(initial=1) + 1e-6
    accuracy, label_accuracy, r2 = found.evaluation[1:]
    if k.naive.task == "regression":
        cmp.assert_close(found.classes, outputs, within)
        assert np.isnan([accuracy, label_accuracy]).all()
        squares = total_squares(k)
        if squares > 1e-9 * weight:  # else rounding decides
            assert abs(r2 - (1 - score / squares)) <= 100 * within * (1 + weight / squares) * max(1, score / weight)
        return
    assert np.isnan(r2)
    assert abs(accuracy * weight - score) <= uncertain
    if k.naive.task == "multilabel":
        assert abs(label_accuracy * weight * n_out - labels) <= uncertain
        classes = [[int(a_j >= 0.5) for a_j in a] for a in outputs]
    else:
        assert np.isnan(label_accuracy)
        classes = [int(a[0] >= 0.5) if len(a) == 1 else naive.first_largest(a) for a in outputs]
    assert np.count_nonzero(found.classes != classes) <= ties, (found.classes, classes)


def weight_of(k: kc.Case) -> float:
    """Return the sum of the weights of all examples."""
    return float(k.weights.sum()) if k.weights.size else len(k.x)


def total_squares(k: kc.Case) -> float:
    """Return the weighted sum of the squared differences between the targets and the mean of their output."""
    targets = np.array(cmp.naive_targets(k.y, k.naive.sizes[-1]))
    w = k.weights if k.weights.size else np.ones(len(targets))
    return float((w @ np.square(targets - np.average(targets, axis=0, weights=w))).sum())


def snapshot(data: Any) -> Any:
    """Return the bits of data of any kind."""
    if scipy.sparse.issparse(data):
        return sparse.snapshot(data)
    return sparse.described(data)
