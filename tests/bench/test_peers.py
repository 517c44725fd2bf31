"""The peers of the benchmark: how they start, their verification, and the errors of missing, wrong or failing peers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_cases import QUICK, error_of, small, untimed  # noqa: F401  # fixtures are found by name

from fastnet import cli
from fastnet.bench import peers
from fastnet.bench.peers import PEERS, is_same, tolerance, unable
from fastnet.bench.peers.process import OwnPeer, PeerError, write_case, write_images
from fastnet.bench.peers.worker import Worker
from fastnet.bench.workloads import WORKLOADS, Images, VerificationError, Workload, as_input, reference, verified_rows

ALWAYS = ("numpy-tuned", "numpy-idiomatic")


@pytest.fixture(scope="module")
def digits() -> Images:
    """Return images that a network can learn: each class has its own block of bright pixels."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 700)
    x = rng.integers(0, 60, (700, 784), np.uint8)
    for row, label in zip(x, y, strict=True):
        row[label * 78 : label * 78 + 78] += 150
    return Images(x, y, x[:100], y[:100], "blocks")


@pytest.fixture(scope="module")
def folder(digits: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("images"))
    write_images(digits, path)
    return path


def installed(name: str) -> str:
    if name not in ALWAYS and (problem := peers.missing(name)):
        pytest.skip(problem)
    return name


def started(name: str, folder: str, workload: Workload, dtype: str = "float32") -> OwnPeer:
    return OwnPeer(name, PEERS[name].module, folder, workload, dtype)


# -- the peers of the package -------------------------------------------------------------------------------------


# torch-compiled has only W1, because PyTorch's compiler takes ten seconds for each workload.
@pytest.mark.parametrize(
    ("name", "workload"),
    [
        (name, w)
        for name, about in PEERS.items()
        for w in ("W1", "W5")
        if about.trains and (name, w) != ("torch-compiled", "W5")
    ],
)
def test_every_peer_passes_verification(name: str, workload: str, digits: Images, folder: str) -> None:
    peer = started(installed(name), folder, WORKLOADS[workload])
    try:
        rows = min(verified_rows(WORKLOADS[workload]), len(digits.y))
        x, y = digits.x[:rows], digits.y[:rows]
        same = is_same(name, WORKLOADS[workload])
        peer.verify(reference(WORKLOADS[workload], x, y), y, same)
        assert peer.epoch() > 0
        assert len(peer.cpu_seconds) == 1
        first = peer.accuracy()
        for _ in range(5):
            peer.epoch()
        assert 0 <= first <= peer.accuracy() <= 1
        assert peer.inference(1, 3) > 0
        assert peer.inference(50, 1) > 0
        assert peer.memory() > 1 << 20 or not Path("/proc/self/status").exists()
    finally:
        peer.close()


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALWAYS)
def test_numpy_s_peers_compute_every_workload(
    name: str, dtype: str, workload: str, folder: str, digits: Images
) -> None:
    peer = started(name, folder, WORKLOADS[workload], dtype)
    try:
        peer.verify(reference(WORKLOADS[workload], digits.x, digits.y), digits.y, True)
    finally:
        peer.close()


def test_peers_read_bytes_as_floats_divided_by_255(folder: str, digits: Images, tmp_path: Path) -> None:
    write_images(as_input(digits, "float32"), str(tmp_path))
    for path in (folder, str(tmp_path)):
        worker = Worker(PEERS["numpy-tuned"].module, Path(path), WORKLOADS["W1"], "float32")
        np.testing.assert_allclose(worker._x, digits.x / 255, rtol=1e-6)


@pytest.mark.parametrize("wrong", ["rate", "order", "start", "labels"])
def test_verification_finds_a_wrong_peer(
    wrong: str, digits: Images, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test writes a peer with one fault to a folder that is on the import path of the peer's process."""
    changes = {
        "rate": "self._flat[...] *= 1.001",
        "order": "order = order[::-1]; Right.epoch(self, order); return",
        "start": "self._flat[0] += 0.1",
        "labels": "",
    }
    (tmp_path / "wrong_peer.py").write_text(
        "from fastnet.bench.peers.numpy_tuned import Model as Right\n"
        "class Model(Right):\n"
        "    def epoch(self, order):\n"
        f"        {changes[wrong]}\n"
        "        super().epoch(order)\n"
        "    def predict(self, prepared):\n"
        f"        return (super().predict(prepared) + {int(wrong == 'labels')}) % 10\n"
    )
    monkeypatch.syspath_prepend(tmp_path)  # the peer's process inherits this path
    peer = OwnPeer("wrong", "wrong_peer", folder, WORKLOADS["W1"], "float32")
    rows = verified_rows(WORKLOADS["W1"])
    x, y = digits.x[:rows], digits.y[:rows]
    try:
        with pytest.raises(VerificationError, match="wrong"):
            peer.verify(reference(WORKLOADS["W1"], x, y), y, True)
    finally:
        peer.close()


def test_a_peer_with_another_algorithm_must_learn(digits: Images, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer with another algorithm is verified by its accuracy. The peer of this test does not learn."""
    workload = WORKLOADS["W5"]
    right = reference(workload, digits.x, digits.y)
    lazy = OwnPeer(
        "lazy", PEERS["numpy-tuned"].module, folder, Workload(**{**vars(workload), "learning_rate": 0.0}), "float32"
    )
    try:
        with pytest.raises(VerificationError, match=r"its training accuracy is .*, but the reference reaches"):
            lazy.verify(right, digits.y, False)
    finally:
        lazy.close()


def test_the_error_that_ends_a_peer_s_process_is_reported(folder: str) -> None:
    with pytest.raises(PeerError, match=r"the peer x ended with status 1: ModuleNotFoundError: .*no_such"):
        OwnPeer("x", "no_such", folder, WORKLOADS["W1"], "float32")
    peer = started("numpy-tuned", folder, WORKLOADS["W1"])
    with pytest.raises(PeerError, match="ended with status 1: ValueError: unknown question 'Z'"):
        peer.ask("Z", "z")
    peer.close()


# -- other optimisers, regressions, CSR matrices and inference ---------------------------------------------------

CASES = {
    "momentum": Workload("momentum", (784, 16, 10), "relu", "softmax", "cross_entropy", 32, 0.01, "momentum"),
    "adam": Workload("adam", (784, 16, 10), "relu", "softmax", "cross_entropy", 32, 1e-3, "adam"),
    "regression": Workload("regression", (784, 16, 2), "sigmoid", "identity", "squared_error", 32, 1e-2),
    "regression, adam": Workload("r", (784, 16, 1), "relu", "identity", "squared_error", 32, 1e-3, "adam"),
}


def rows_of(workload: Workload, digits: Images, sparse: bool = False) -> dict[str, Any]:
    x: Any = np.divide(digits.x, 255, dtype=np.float32)
    y = digits.y if workload.has_labels else x[:, :: 784 // workload.sizes[-1]][:, : workload.sizes[-1]].astype(float)
    if sparse:
        from scipy.sparse import csr_matrix

        x = csr_matrix(np.where(x > 0.5, x, 0))
    return {"x": x, "y": y, "x_test": x[:100], "y_test": y[:100]}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [name for name, about in PEERS.items() if about.trains and not about.compiler])
def test_every_peer_has_the_optimisers_and_regressions(name: str, case: str, digits: Images, tmp_path: Path) -> None:
    """One process does the same workload in both dtypes, one after the other. PyTorch's compiler is too slow here."""
    workload = CASES[case]
    rows = rows_of(workload, digits)
    write_images(digits, str(tmp_path))
    peer = started(installed(name), str(tmp_path), WORKLOADS["W1"])
    try:
        for dtype in ("float32", "float64"):
            folder = str(tmp_path / dtype)
            write_case(folder, workload, dtype, rows)
            peer.load(folder, workload, dtype)
            count = verified_rows(workload)
            x, y = rows["x"][:count], rows["y"][:count]
            allowed = tolerance(name, workload, dtype)
            assert allowed <= 0.05
            peer.verify(reference(workload, x, y), y, is_same(name, workload), allowed)
            assert peer.epochs(2) > 0
    finally:
        peer.close()


@pytest.mark.parametrize("name", [name for name, about in PEERS.items() if about.reads_csr])
def test_a_peer_that_reads_csr_trains_on_it(name: str, digits: Images, tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="needs the extra bench")
    workload = CASES["momentum"]
    rows = rows_of(workload, digits, sparse=True)
    write_case(str(tmp_path), workload, "float32", rows)
    peer = started(installed(name), str(tmp_path), workload)
    try:
        x, y = rows["x"][: verified_rows(workload)], digits.y[: verified_rows(workload)]
        peer.verify(reference(workload, x.toarray(), y), y, True)
        assert peer.epoch() > 0
    finally:
        peer.close()


@pytest.mark.parametrize("name", [name for name, about in PEERS.items() if not about.compiler])
def test_the_outputs_before_training_are_verified(name: str, digits: Images, folder: str) -> None:
    workload = WORKLOADS["W5"]
    peer = started(installed(name), folder, workload)
    try:
        expected = workload.network("float64").forward(digits.x_test[:50], backend="numpy")
        peer.verify_outputs(expected)
        with pytest.raises(VerificationError, match="the output is wrong"):
            peer.verify_outputs(expected[::-1])
    finally:
        peer.close()


def test_what_a_peer_cannot_do_has_a_reason() -> None:
    assert unable("onnxruntime") == "it does not train"
    assert not unable("onnxruntime", trains=False)
    assert unable("jax", sparse=True) == "it does not read CSR matrices"
    assert not unable("sklearn", sparse=True)
    assert not is_same("sklearn", WORKLOADS["W1"])
    assert is_same("sklearn", WORKLOADS["W5"])
    assert is_same("sklearn", CASES["regression"])


# -- the choice of peers -----------------------------------------------------------------------------------------


def test_all_means_the_available_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("jax", "sklearn", "skorch", "keras", "onnxruntime")
    monkeypatch.setattr(peers, "missing", lambda name: "get it" if name in absent else "")
    names, left_out = peers.chosen("all")
    assert names == ["numpy-tuned", "numpy-idiomatic", "torch-eager", "torch-compiled"]
    assert left_out == dict.fromkeys(("sklearn", "jax", "skorch", "keras", "onnxruntime"), "get it")


def test_peers_are_chosen_by_family_or_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "missing", lambda name: "")
    assert peers.chosen("torch, numpy-tuned,torch-eager")[0] == ["torch-eager", "torch-compiled", "numpy-tuned"]


def test_a_missing_peer_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in ("jax", "torch", "onnx") else object())
    assert "pip install" in peers.missing("jax")
    assert not peers.missing("sklearn")
    assert peers.missing("onnxruntime") == "onnx is not installed: python -m pip install onnxruntime onnx"
    assert peers.missing("skorch") == 'torch is not installed: python -m pip install skorch "torch>=2.2"'
    assert peers.missing("keras") == "jax is not installed: python -m pip install keras jax"
    monkeypatch.setattr(peers, "find_spec", lambda name: object())
    monkeypatch.setattr(peers.shutil, "which", lambda name: None)
    assert "C++ compiler" in peers.missing("torch-compiled")
    assert not peers.missing("torch-eager")


@pytest.mark.usefixtures("small", "untimed")
def test_naming_a_missing_peer_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(peers, "missing", lambda name: "it is not installed: pip install it")
    assert "the peer jax cannot run: it is not installed: pip install it" in error_of(
        capsys, [*QUICK, "--peers", "jax"]
    )


@pytest.mark.usefixtures("small", "untimed")
def test_an_unknown_peer_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no peer 'matlab'" in error_of(capsys, [*QUICK, "--peers", "numpy,matlab"])


@pytest.mark.usefixtures("small")
def test_peers_are_timed_and_left_out_peers_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "missing", lambda name: "" if name in ALWAYS else "not here: pip install it")
    assert cli.main(["bench", *QUICK, "--peers", "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert "left out: jax: not here: pip install it" in captured.err
    assert "verified numpy-tuned, numpy-idiomatic" in captured.err
    results = {result["backend"]: result for result in json.loads(captured.out)["results"]}
    assert list(results) == ["numpy", *ALWAYS]
    assert results["numpy-tuned"]["speed_over_tuned_numpy"] == 1
    tuned, ours = (results[name]["seconds"] for name in ("numpy-tuned", "numpy"))
    assert results["numpy"]["speed_over_tuned_numpy"] == pytest.approx(np.median(np.divide(tuned, ours)))
    # Peers with equal parameters have equal test accuracies.
    assert len({result["test_accuracy"] for result in results.values()}) == 1


# -- the user's own programs -------------------------------------------------------------------------------------


def peer_command(tmp_path: Path, program: str) -> str:
    path = tmp_path / "peer.py"
    path.write_text(program)
    return f'"{sys.executable}" "{path}" {{workload}}'


@pytest.mark.usefixtures("small")
def test_a_user_s_peer_is_timed_in_the_same_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = """
import sys
assert sys.argv[1] == "W1"
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    assert line == "E\\n"
    print(f"t {1000 + number} 0.5", flush=True)
"""
    assert cli.main(["bench", *QUICK, "--json", "-", "--peer", peer_command(tmp_path, program)]) == 0
    ours, peer = json.loads(capsys.readouterr().out)["results"]
    assert (peer["backend"], peer["seconds"], peer["test_accuracy"]) == ("peer", [1001, 1002], None)
    expected = np.median(np.divide(ours["seconds"], peer["seconds"]))
    assert peer["speed_over_numpy"] == pytest.approx(expected)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit(3)", "the peer ended with status 3"),
        ("print('hello')", "the peer printed 'hello'; expected 'ready'"),
        ("print('ready', flush=True); input(); print('t 0 0')", "the peer printed 't 0 0'; expected 't <wall"),
        ("print('ready', flush=True); input(); print('t nan 0')", "the peer printed 't nan 0'; expected 't <wall"),
        ("print('ready', flush=True); input(); print('t 1'); input()", "the peer printed 't 1'; expected 't <wall"),
        ("print('ready', flush=True); input(); print('x 1 1')", "the peer printed 'x 1 1'; expected 't <wall"),
        ("print('ready', flush=True)", "the peer ended with status 0"),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_an_error(
    program: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(capsys, [*QUICK, "--peer", peer_command(tmp_path, program)])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("command", ["", "no-such-program-of-fastnet {workload}", "'unclosed"])
def test_a_peer_that_cannot_start_is_an_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot start the peer" in error_of(capsys, [*QUICK, "--peer", command])
