"""A network and a trainer refuse changes of their arrays and settings in place, or ignore such changes."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import name_of

from fastnet import Callback, DivergedError, Network, Trainer, backends, checks
from fastnet.backends import forward, selection
from fastnet.kernels import contract as c

X = np.random.default_rng(0).random((12, 3), np.float32)
Y = np.arange(12) % 2


def read_only(net: Network) -> None:
    net.parameters.flags.writeable = False


def reshaped(net: Network) -> None:
    net.parameters.shape = (2, -1)


def retyped(net: Network) -> None:
    net.parameters.dtype = np.dtype(np.int32)


READS: dict[str, Callable[[Network, str], object]] = {
    "forward": lambda net, backend: net.forward(X, backend=backend),
    "predict": lambda net, backend: net.predict(X, backend=backend),
    "activations": lambda net, backend: net.activations(X, backend=backend),
    "evaluate": lambda net, backend: net.evaluate(X, Y, backend=backend),
    "gradient": lambda net, backend: net.gradient(X, Y, backend=backend),
    "compile": lambda net, backend: net.compile(backend=backend),
    "weights": lambda net, backend: net.weights,
}
TRAINS: dict[str, Callable[[Network, str], object]] = {
    "fit": lambda net, backend: Trainer(net, backend=backend).fit(X, Y, epochs=1),
    "partial_fit": lambda net, backend: Trainer(net, backend=backend).partial_fit(X, Y),
}


class TestParameters:
    @pytest.mark.filterwarnings("ignore:Setting the (shape|dtype):DeprecationWarning")
    @pytest.mark.parametrize("change", [reshaped, retyped])
    def test_every_computation_refuses_parameters_of_another_shape_or_dtype(
        self, backend: Any, change: Callable[[Network], None]
    ) -> None:
        for use in (READS | TRAINS).values():
            net = Network([3, 5, 2], seed=1)
            change(net)
            with pytest.raises(ValueError, match=r"network\.parameters was changed in place to .*32 .*32 \(32,\)"):
                use(net, name_of(backend))

    def test_read_only_parameters_can_be_read_but_not_trained(self, backend: Any) -> None:
        net, twin = Network([3, 5, 2], seed=1), Network([3, 5, 2], seed=1)
        read_only(net)
        for use in READS.values():
            use(net, name_of(backend))
        for train in TRAINS.values():
            with pytest.raises(ValueError, match=r"read-only.*flags\.writeable = True"):
                train(net, name_of(backend))
        assert net.parameters.tobytes() == twin.parameters.tobytes()

    def test_a_callback_that_makes_parameters_read_only_ends_the_fit(self, backend: Any) -> None:
        net = Network([3, 5, 2], seed=1)
        trainer = Trainer(net, backend=name_of(backend), batch_size=4)
        with pytest.raises(ValueError, match="read-only"):
            trainer.fit(X, Y, epochs=3, callbacks=[lambda trainer, epoch: read_only(net)])
        assert trainer.steps == 3  # only the steps of the first epoch
        net.parameters.flags.writeable = True
        trainer.fit(X, Y, epochs=1)
        assert trainer.steps == 6


LABELS = np.random.default_rng(1).integers(0, 3, 500)
EXAMPLES = np.random.default_rng(2).random((500, 70), np.float32)
EXAMPLES[np.random.default_rng(3).random((500, 70)) > 0.2] = 0
TARGETS = np.eye(3, dtype=np.float32)[LABELS]


def trained(backend: Any, x: Any, y: Any, change: Callable[[], object] = lambda: None, **arguments: Any) -> bytes:
    """Return the parameters after three epochs, with `change` called after each batch."""

    class Changes(Callback):
        every = 1

        def on_batches(self, trainer: Trainer, progress: Any) -> None:
            change()

    net = Network([70, 5, 3], seed=1)
    trainer = Trainer(net, backend=name_of(backend), batch_size=20, seed=1, **arguments)
    trainer.fit(x, y, epochs=3, validation_data=(x, y), callbacks=[Changes()])
    return net.parameters.tobytes()


def sparse(form: str) -> Any:
    scipy_sparse = pytest.importorskip("scipy.sparse", reason="sparse input needs SciPy")
    return scipy_sparse.csr_array(EXAMPLES).asformat(form)


class TestDataOfTheCaller:
    """Kernels use labels and sparse indices as memory offsets, so the caller's changes must not reach a running fit."""

    def test_labels_changed_in_a_callback(self, backend: Any) -> None:
        y = LABELS.copy()
        found = trained(backend, EXAMPLES, y, lambda: y.fill(1000))
        assert y[0] == 1000
        assert found == trained(backend, EXAMPLES, LABELS)

    def test_labels_changed_by_another_thread(self, backend: Any) -> None:
        y, over = LABELS.copy(), threading.Event()

        def refill() -> None:
            while not over.is_set():
                y[:] = np.arange(500) * 100_000

        thread = threading.Thread(target=refill)
        try:
            found = trained(backend, EXAMPLES, y, lambda: None if thread.is_alive() else thread.start())
        finally:
            over.set()
            thread.join()
        assert y[1] == 100_000
        assert found == trained(backend, EXAMPLES, LABELS)

    @pytest.mark.parametrize("part", ["indices", "indptr"])
    def test_index_arrays_changed_in_a_callback(self, backend: Any, part: str) -> None:
        x = sparse("csr")
        found = trained(backend, x, LABELS, lambda: getattr(x, part).fill(5000))
        assert found == trained(backend, sparse("csr"), LABELS)

    def test_index_arrays_of_the_user_s_sparse_rows(self, backend: Any) -> None:
        x, twin = (Network([70, 3]).check_inputs(sparse("csr")) for _ in range(2))
        assert isinstance(x, c.SparseRows)
        found = trained(backend, x, LABELS, lambda: (x.indices.fill(5000), x.starts.fill(1 << 40)))
        assert found == trained(backend, twin, LABELS)

    @pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
    def test_a_shape_set_in_a_callback_has_no_effect(self, backend: Any) -> None:
        """The fit shares the values of the arrays, but not the array objects."""
        x, y = EXAMPLES.copy(), TARGETS.copy()

        def reshape(*arrays: Any) -> None:
            for array in arrays:
                array.shape = (1, -1)

        found = trained(backend, x, y, lambda: reshape(x, y))
        assert found == trained(backend, EXAMPLES, TARGETS)
        rows = sparse("csr")
        found = trained(backend, rows, TARGETS, lambda: reshape(rows.data))
        assert found == trained(backend, sparse("csr"), TARGETS)

    def test_examples_at_an_odd_address(self, backend: Any) -> None:
        """Kernels must get aligned arrays."""

        def odd(array: Any) -> Any:
            found = np.frombuffer(bytearray(array.nbytes + 1), array.dtype, array.size, 1).reshape(array.shape)
            found[...] = array
            assert not found.flags.aligned
            return found

        net = Network([70, 5, 3])
        assert net.check_inputs(odd(EXAMPLES)).flags.aligned  # an aligned copy
        assert net.check_targets(odd(TARGETS), 500).flags.aligned
        found = trained(backend, odd(EXAMPLES), odd(LABELS))
        assert found == trained(backend, EXAMPLES, LABELS)

    def test_an_out_reshaped_during_a_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel sets out.shape between two parts of the call. The next part must still use the old shape."""
        net, out = Network([70, 5, 3], seed=1), np.empty((500, 3), np.float32)
        monkeypatch.setattr(forward, "PART_WORK", 1)  # small parts
        wanted = net.forward(EXAMPLES, backend="numpy").tobytes()
        kernels = backends.get("numpy")
        calls = []

        class Reshapes:
            MAX_THREADS, COMPRESSION_PAYS = 1, False

            @staticmethod
            def predictor(net: Any, params: Any, rows: int, x_dtype: Any, work: Any) -> Any:
                run = kernels.predictor(net, params, rows, x_dtype, work)

                def reshapes(x: Any, part: Any) -> None:
                    run(x, part)
                    out.shape = (3, 500)
                    calls.append(len(part))

                return reshapes

        monkeypatch.setattr(selection, "get", lambda name: Reshapes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            net.forward(EXAMPLES, backend="numpy", out=out)
        assert len(calls) > 1
        assert out.tobytes() == wanted

    def test_checked_labels_and_index_arrays_are_copies(self) -> None:
        net = Network([70, 5, 3])
        for y in (LABELS, LABELS.astype(np.uint8), LABELS[::-1]):
            assert not np.shares_memory(net.check_targets(y, 500), y)
        assert not np.shares_memory(checks.classes(LABELS, 500)[0], LABELS)
        for form in ("csr", "csc", "bsr", "coo"):
            x = sparse(form)
            rows = net.check_inputs(x)
            assert isinstance(rows, c.SparseRows)
            parts = [x.coords[0], x.coords[1]] if form == "coo" else [x.indices, x.indptr]
            assert not any(np.shares_memory(ours, part) for ours in (rows.starts, rows.indices) for part in parts)


class TestWhatIsHandedOut:
    def test_rows_of_a_progress_stay_read_only(self, backend: Any) -> None:
        refused = []

        class Rewrites(Callback):
            every = 1

            def on_batches(self, trainer: Trainer, progress: Any) -> None:
                array = progress.rows
                while isinstance(array, np.ndarray):
                    try:
                        array.flags.writeable = True
                        array.fill(1 << 40)
                    except ValueError as error:
                        refused.append(str(error))
                    array = array.base

        net, twin = Network([3, 5, 2], seed=1), Network([3, 5, 2], seed=1)
        Trainer(net, backend=name_of(backend), batch_size=4, seed=1).fit(X, Y, epochs=2, callbacks=[Rewrites()])
        Trainer(twin, backend=name_of(backend), batch_size=4, seed=1).fit(X, Y, epochs=2)
        assert len(refused) >= 6
        assert net.parameters.tobytes() == twin.parameters.tobytes()

    @pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
    def test_changed_layers_do_not_reach_the_kernels(self, backend: Any) -> None:
        net = Network([3, 5, 2], seed=1)
        before = net.forward(X, backend=name_of(backend))
        layers = net.layers
        with pytest.raises(ValueError, match="WRITEABLE"):
            layers.flags.writeable = True
        layers.shape = (-1,)
        assert net.forward(X, backend=name_of(backend)).tobytes() == before.tobytes()


class TestOneFitAtATime:
    WORDS = "a Trainer is for one fit at a time"

    def test_a_fit_from_another_thread_is_refused(self, backend: Any) -> None:
        trainer = Trainer(Network([3, 5, 2], seed=1), backend=name_of(backend))
        refused = []

        def other() -> None:
            for call in (partial(trainer.fit, epochs=1), trainer.partial_fit):
                with pytest.raises(RuntimeError, match=self.WORDS) as error:
                    call(X, Y)
                refused.append(error)

        def callback(trainer: Trainer, epoch: object) -> None:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

        trainer.fit(X, Y, epochs=2, callbacks=[callback])
        assert (len(refused), trainer.steps) == (4, 2)

    def test_a_fit_from_a_callback_of_the_fit_is_refused(self) -> None:
        trainer = Trainer(Network([3, 5, 2], seed=1))
        with pytest.raises(RuntimeError, match=self.WORDS):
            trainer.fit(X, Y, epochs=1, callbacks=[lambda trainer, epoch: trainer.fit(X, Y, epochs=1)])
        trainer.fit(X, Y, epochs=1)  # a failed fit does not leave the trainer busy
        assert trainer.steps == 2

    def test_a_copy_made_during_a_fit_is_not_busy(self) -> None:
        copies = []
        trainer = Trainer(Network([3, 5, 2], seed=1))
        trainer.fit(X, Y, epochs=1, callbacks=[lambda trainer, epoch: copies.append(copy.deepcopy(trainer))])
        copies[0].fit(X, Y, epochs=1)
        trainer.fit(X, Y, epochs=1)
        assert copies[0].network.parameters.tobytes() == trainer.network.parameters.tobytes()


class Named(Network):
    """A subclass whose constructor has another signature."""

    def __init__(self, name: str, width: int) -> None:
        super().__init__([3, width, 2], seed=1)
        self.tags = [name]


class TestSubclasses:
    @pytest.mark.parametrize(
        "again",
        [
            Network.copy,
            copy.copy,
            copy.deepcopy,
            lambda net: pickle.loads(pickle.dumps(net)),
            lambda net: net.astype("float64"),
        ],
        ids=["method", "copy", "deepcopy", "pickle", "astype"],
    )
    def test_copies_keep_the_subclass(self, again: Callable[[Named], Named]) -> None:
        net = Named("first", 5)
        found = again(net)
        assert (type(found), found.tags) == (Named, ["first"])
        assert np.array_equal(found.parameters, net.parameters)
        assert not np.shares_memory(found.parameters, net.parameters)
        found.parameters[:] = 0
        assert not found.weights[0].any()

    def test_load_keeps_the_subclass(self, tmp_path: Path) -> None:
        net = Named("first", 5)
        net.save(tmp_path / "net.npz")
        found = Named.load(tmp_path / "net.npz")
        assert type(found) is Named
        assert found.parameters.tobytes() == net.parameters.tobytes()


class TestTheOptimisersState:
    def test_a_second_moment_that_overflows_is_divergence(self, backend: Any) -> None:
        """The square of a gradient of 2e26 is infinite in float32. Adam would then never move the weight again."""
        net = Network([1, 1], output="identity", seed=1)
        net.parameters[:] = 1
        x = np.array([[1e13]] * 4, np.float32)
        trainer = Trainer(net, optimizer="adam", batch_size=2, backend=name_of(backend))
        with pytest.raises(
            DivergedError, match=r"the optimiser's state is no longer finite in epoch 1, step 1, .*step 0"
        ):
            trainer.fit(x, np.zeros(4), epochs=1)
        assert net.parameters.tolist() == [1, 1]
        trainer.fit(x / np.float32(1e13), np.zeros(4), epochs=1)  # the optimiser's state is unchanged
        assert np.isfinite(net.parameters).all()
