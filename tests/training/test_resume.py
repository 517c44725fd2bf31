"""A training that was killed goes on from its newest checkpoint, bit for bit as if it had never stopped."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import kernel_cases as kc
import numpy as np
import pytest
from pairwise import cover
from scipy import sparse
from trainer_cases import X, Y, make

from fastnet import (
    BackendError,
    Callback,
    Checkpoint,
    DataError,
    EarlyStopping,
    Network,
    ReduceOnPlateau,
    Trainer,
)
from fastnet.checks import UnconvertedRows, unconverted
from fastnet.kernels import numpy_backend
from fastnet.training.fit import Fit
from fastnet.training.history import FIELDS

N, N_IN, BATCH = 131, 70, 16
FITS = {"one fit": (6,), "two fits": (3, 3), "eight epochs": (8,)}  # from 8 epochs on, "auto" compresses
TIMES = ("seconds", "examples_per_second", "backend_reason")  # what differs in the history of a resumed training
CALLBACKS: dict[str, Any] = {
    "no others": list,
    "early stopping": lambda: [EarlyStopping("cost", patience=2, min_delta=0.01)],
    "plateau": lambda: [ReduceOnPlateau("cost", patience=1, min_delta=0.05)],
    "both": lambda: [
        ReduceOnPlateau("cost", patience=1, min_delta=0.1),
        EarlyStopping("cost", patience=3, min_delta=0.02),
    ],
}
GENERATORS: dict[str, Any] = {
    "seed": lambda: 3,
    "MT19937": lambda: np.random.Generator(np.random.MT19937(3)),
    "SFC64": lambda: np.random.Generator(np.random.SFC64(3)),
}
AXES: dict[str, Any] = {
    "backend": kc.BACKENDS,
    "inputs": ("uint8", "float32", "float64", "csr", "mapped", "mostly zero"),
    "dtype": ("float32", "float64"),
    "optimizer": ("sgd", "momentum", "nesterov", "adam"),
    "schedule": ("constant", "cosine", "exponential", "step"),
    "dropout": (0.0, 0.3),
    "data": ("all", "split", "class weights", "sample weights"),
    "callbacks": tuple(CALLBACKS),
    "fits": tuple(FITS),
    "threads": (1, 3),
    "generator": tuple(GENERATORS),
}


class Killed(Exception):
    """Stands for the end of the process."""


class Kill(Callback):
    """End the training after a number of updates. `every` decides the sizes of the chunks."""

    comes_last = True

    def __init__(self, steps: int, every: int | None = 1) -> None:
        self._steps, self.every = steps, every

    def on_batches(self, trainer: Trainer, so_far: Any) -> None:
        if trainer.steps >= self._steps:
            raise Killed


class Data:
    """The examples of a case. Each call makes new arrays with the same content, in other files."""

    def __init__(self, case: dict[str, Any], folder: Path) -> None:
        self._case, self._folder, self._count = case, folder, 0

    def arguments(self) -> dict[str, Any]:
        case, rng = self._case, np.random.default_rng(5)
        x: Any = rng.normal(size=(N, N_IN))
        if case["inputs"] in ("csr", "mostly zero"):
            x[rng.random(x.shape) < 0.8] = 0
        x = x.astype({"uint8": np.uint8, "float32": np.float32, "mostly zero": np.float32}.get(case["inputs"], float))
        if case["inputs"] == "csr":
            x = sparse.csr_array(x)
        if case["inputs"] == "mapped":
            self._count += 1
            path = self._folder / f"x{self._count}.npy"
            np.save(path, x.astype(np.float16))
            x = np.load(path, mmap_mode="r")
            assert isinstance(made(case).network.check_rows(x), UnconvertedRows)
        more: dict[str, Any] = {}
        if case["data"] == "split":
            more["validation_split"] = 0.2
        elif case["data"] == "class weights":
            more["class_weight"] = "balanced"
        elif case["data"] == "sample weights":
            more["sample_weight"] = rng.integers(0, 4, N)
        return {"x": x, "y": rng.integers(0, 3, N), **more}


def made(case: dict[str, Any]) -> Trainer:
    network = Network([N_IN, 12, 3], dtype=case["dtype"], seed=0)
    return Trainer(
        network,
        optimizer=case["optimizer"],
        learning_rate=0.02,
        schedule=case["schedule"],
        batch_size=BATCH,
        dropout=case["dropout"],
        backend=case["backend"],
        threads=1 if case["backend"] == "numpy" else case["threads"],
        seed=GENERATORS[case["generator"]](),
    )


def finished(trainer: Trainer) -> tuple[Any, ...]:
    """Return what a resumed training must have in common with one that never stopped."""
    state = trainer.state()
    columns = {name: np.array(trainer.history[name]).tobytes() for name in FIELDS if name not in TIMES}
    return (
        trainer.steps,
        state.n_epochs,
        state.parameters.tobytes(),
        state.moments.tobytes(),
        state.learning_rate,
        repr(state.generator),
        columns,
    )


def trained_with_kills(case: dict[str, Any], folder: Path, rng: np.random.Generator) -> tuple[Trainer, int]:
    """Train, end the training after some updates, and resume it, again and again. Return the number of kills, too."""
    data, trainer, kills = Data(case, folder), made(case), 0
    for epochs in FITS[case["fits"]]:
        asked: int | None = epochs
        while True:
            checkpoint = Checkpoint(folder / "checkpoints", seconds=0)
            kill = Kill(trainer.steps + int(rng.integers(1, 12)), every=int(rng.integers(1, 6)))
            try:
                trainer.fit(
                    **data.arguments(), epochs=asked, callbacks=[checkpoint, kill, *CALLBACKS[case["callbacks"]]()]
                )
                break
            except Killed:
                kills += 1
                asked, trainer = None, Trainer.resume(folder / "checkpoints")
    return trainer, kills


@pytest.fixture
def small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make small mapped arrays stay unconverted, in several pieces, and give every team its threads."""
    monkeypatch.setattr(unconverted, "MAX_COPY", 0)
    monkeypatch.setattr(unconverted, "PIECE_BYTES", 40 * N_IN * 4)
    monkeypatch.setattr("fastnet.backends.threads.usable_cores", lambda: 4)


ROWS = cover(*AXES.values())
# The decision to compress depends on the backend, the inputs and the number of epochs together.
ROWS.append(
    ("numba", "mostly zero", "float32", "adam", "cosine", 0.3, "split", "both", "eight epochs", 1, "seed"),
)


@pytest.mark.parametrize("row", range(len(ROWS)), ids=["-".join(map(str, row)).replace(" ", "_") for row in ROWS])
def test_a_killed_training_goes_on_bit_for_bit(row: int, tmp_path: Path, small_copies: None) -> None:
    case = dict(zip(AXES, ROWS[row], strict=True))
    undisturbed, data = made(case), Data(case, tmp_path)
    for epochs in FITS[case["fits"]]:
        undisturbed.fit(**data.arguments(), epochs=epochs, callbacks=CALLBACKS[case["callbacks"]]())
    resumed, kills = trained_with_kills(case, tmp_path, np.random.default_rng(row))
    assert kills
    assert finished(resumed) == finished(undisturbed)


# -- Ctrl-C --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", range(1, 13))
@pytest.mark.usefixtures("usual_sigint_handler")
def test_ctrl_c_leaves_a_checkpoint_at_the_last_update(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes at the end of each kernel call, of training or of validation, in epochs of three batches."""
    arguments: dict[str, Any] = {"x": X, "y": Y, "validation_data": (X[:9], Y[:9])}
    stopping: Any = lambda: EarlyStopping("cost", patience=1)  # noqa: E731 - the name says what it makes
    undisturbed = make(batch_size=20, schedule="cosine")
    undisturbed.fit(**arguments, epochs=3, callbacks=[stopping()])
    count = 0

    def interrupted(usual: Any) -> Any:
        def spy(*given: Any) -> Any:
            nonlocal count
            result, count = usual(*given), count + 1
            if count == call:
                signal.raise_signal(signal.SIGINT)
            return result

        return spy

    trainer = make(batch_size=20, schedule="cosine")
    for name in ("train", "predict"):
        monkeypatch.setattr(numpy_backend, name, interrupted(getattr(numpy_backend, name)))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(**arguments, epochs=3, callbacks=[Every(1), stopping(), Checkpoint(tmp_path, every=100)])
    resumed = Trainer.resume(tmp_path)
    assert resumed.steps == trainer.steps
    resumed.fit(**arguments, callbacks=[stopping()])
    assert finished(resumed) == finished(undisturbed)


@pytest.mark.usefixtures("usual_sigint_handler")
def test_ctrl_c_after_stop_ends_the_stopped_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback stops the fit within an epoch. Ctrl-C comes before the callbacks after this epoch."""
    seen: list[int] = []

    class Stop(Every):
        def on_batches(self, trainer: Trainer, so_far: Any) -> None:
            if trainer.steps == 9:
                trainer.stop()

        def on_epoch_end(self, trainer: Trainer, epoch: Any) -> None:
            seen.append(epoch.examples)

    def interrupt(self: Any, epoch: Any) -> Any:
        if epoch.epoch == 2:
            signal.raise_signal(signal.SIGINT)
        return usual(self, epoch)

    usual = Fit.validated
    trainer = make()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the patch ends first
        patch.setattr(Fit, "validated", interrupt)
        trainer.fit(X, Y, epochs=5, callbacks=[Stop(1), Checkpoint(tmp_path)])
    assert seen == [53]
    resumed = Trainer.resume(tmp_path)
    assert resumed.fit(X, Y, callbacks=[Stop(1)])["examples"] == [53, 16]
    assert seen == [53, 16]


def test_ctrl_c_in_a_callback_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    def interrupt(trainer: Trainer, epoch: Any) -> None:
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    trainer = make()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=5, callbacks=[interrupt, Checkpoint(tmp_path)])
    assert not trainer.is_resumable
    with pytest.raises(RuntimeError, match="an error ended the last fit"):
        trainer.state()
    resumed, undisturbed = Trainer.resume(tmp_path), make()
    assert (resumed.steps, len(resumed.history)) == (14, 2)
    resumed.fit(X, Y)
    undisturbed.fit(X, Y, epochs=5)
    assert finished(resumed) == finished(undisturbed)


# -- what resume and the resumed fit refuse ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the checkpoint of a fit of 5 epochs, of which 2 are done."""
    with pytest.raises(Killed):
        make().fit(X, Y, epochs=5, sample_weight=WEIGHTS, validation_data=(X, Y), callbacks=callbacks(tmp_path))
    return tmp_path


WEIGHTS = np.arange(len(X)) % 3 + 1.0
AS_BEFORE: dict[str, Any] = {"x": X, "y": Y, "sample_weight": WEIGHTS, "validation_data": (X, Y)}
OTHER = X.copy()
OTHER[0, 0] += 1


def callbacks(folder: Path) -> list[Any]:
    return [ReduceOnPlateau(), Checkpoint(folder), Kill(15)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 5}, "this trainer continues a fit of 5 epochs, of which 2 are done: leave out epochs"),
        (
            {"x": X[:50], "y": Y[:50], "sample_weight": WEIGHTS[:50]},
            r"x differs .* \(float32 \(50, 6\), not",
        ),
        ({"x": OTHER}, r"^x differs from the interrupted fit's \(with other values\): give fit the same arguments"),
        ({"y": 2 - Y}, "^y differs"),
        ({"sample_weight": None}, r"the sample weights differs .* \(missing, not float64 \(53,\)\)"),
        ({"class_weight": {0: 2.0}}, "the sample weights differs"),
        ({"validation_data": (OTHER, Y)}, "validation x differs"),
        ({"validation_data": None, "validation_split": 0.2}, "the rows to train on differs"),
        ({"callbacks": []}, "had the callbacks ReduceOnPlateau with a state, and this one has none: give the same"),
        ({"callbacks": [EarlyStopping()]}, "and this one has EarlyStopping"),
    ],
)
def test_a_resumed_fit_refuses_other_data_and_callbacks(folder: Path, change: Any, message: str) -> None:
    resumed = Trainer.resume(folder)
    before = finished(resumed)
    with pytest.raises(ValueError, match=message):
        resumed.fit(**{**AS_BEFORE, "callbacks": [ReduceOnPlateau()], **change})
    assert finished(resumed) == before
    resumed.fit(**AS_BEFORE, callbacks=[ReduceOnPlateau()])  # the refusal changed nothing
    undisturbed = make()
    undisturbed.fit(**AS_BEFORE, epochs=5, callbacks=[ReduceOnPlateau()])
    assert finished(resumed) == finished(undisturbed)


def test_an_unfinished_fit_refuses_partial_fit_and_a_finished_one_needs_epochs(folder: Path) -> None:
    resumed = Trainer.resume(folder)
    with pytest.raises(ValueError, match=r"of which 2 are done: finish it with fit\(x, y\)"):
        resumed.partial_fit(X, Y)
    resumed.fit(**AS_BEFORE, callbacks=[ReduceOnPlateau(), Checkpoint(folder)])
    for trainer in (resumed, make()):
        with pytest.raises(TypeError, match="fit needs the number of epochs"):
            trainer.fit(X, Y)
    again = Trainer.resume(folder)
    assert len(again.fit(**AS_BEFORE, callbacks=[ReduceOnPlateau()])) == 5
    again = Trainer.resume(folder)
    assert len(again.fit(X, Y, epochs=2)) == 7


def test_resume_needs_a_schedule_of_the_users_own(tmp_path: Path) -> None:
    def halved(step: int) -> float:
        return 1 / (1 + step)

    undisturbed, trainer = make(schedule=halved), make(schedule=halved)
    undisturbed.fit(X, Y, epochs=3)
    with pytest.raises(Killed):
        trainer.fit(X, Y, epochs=3, callbacks=[Checkpoint(tmp_path, seconds=0), Kill(10)])
    with pytest.raises(ValueError, match=r"schedule of your own: give it, as resume\(folder, schedule=...\)"):
        Trainer.resume(tmp_path)
    resumed = Trainer.resume(tmp_path, schedule=halved)
    resumed.fit(X, Y)
    assert finished(resumed) == finished(undisturbed)


def test_resume_finds_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        Trainer.resume(tmp_path / "missing")
    with pytest.raises(DataError, match="holds no whole checkpoint"):
        Trainer.resume(tmp_path)


def test_another_backend_continues_with_rounding_errors(folder: Path) -> None:
    pytest.importorskip("numba", reason="the test needs a second backend")
    resumed, undisturbed = Trainer.resume(folder, backend="numba"), make()
    resumed.fit(**AS_BEFORE, callbacks=[ReduceOnPlateau()])
    undisturbed.fit(**AS_BEFORE, epochs=5, callbacks=[ReduceOnPlateau()])
    np.testing.assert_allclose(resumed.network.parameters, undisturbed.network.parameters, rtol=1e-3, atol=1e-5)
    assert resumed.history["backend"] == ["numpy"] * 2 + ["numba"] * 3
    with pytest.raises(BackendError):
        Trainer.resume(folder, backend="cuda")  # type: ignore[arg-type]  # there is no such backend


def test_fewer_cores_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="NumPy takes one thread only")
    monkeypatch.setattr("fastnet.backends.threads.usable_cores", lambda: 4)
    with pytest.raises(Killed):
        make(backend="numba", threads=3).fit(X, Y, epochs=3, callbacks=[Checkpoint(tmp_path), Kill(10)])
    monkeypatch.setattr("fastnet.backends.threads.usable_cores", lambda: 2)
    with pytest.warns(UserWarning, match="the fit goes on with 2 threads, not 3"):
        Trainer.resume(tmp_path).fit(X, Y)


def test_other_software_is_told_but_another_backend_is_the_users_wish(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastnet.training.resuming.__version__", "0.1.9")
    with pytest.warns(UserWarning, match=r"^the last bits may differ from .*: fastnet 0\.1\.9 in place of [^,]*$"):
        Trainer.resume(folder).fit(**AS_BEFORE, callbacks=[ReduceOnPlateau()])
    monkeypatch.undo()
    pytest.importorskip("numba", reason="the test needs a second backend")
    Trainer.resume(folder, backend="numba").fit(**AS_BEFORE, callbacks=[ReduceOnPlateau()])  # without a warning


class Every(Callback):
    """A callback that splits the epochs into chunks."""

    def __init__(self, every: int) -> None:
        self.every = every
