"""Threads: how many a process may use, how a team runs, and how many a Trainer uses."""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import backend_calls as bc
import comparisons as cmp
import fake_team
import numpy as np
import pytest

from fastnet import DivergedError, Network, Trainer, backends
from fastnet.backends import selection, threads
from fastnet.backends.threads import run_team, team_size, usable_cores
from fastnet.kernels import contract as c
from fastnet.training import chunks

RNG = np.random.default_rng(0)
X = RNG.random((203, 6), np.float32)
Y = RNG.integers(0, 3, 203)


# -- usable_cores ----------------------------------------------------------------------------------------------------


def linux(folder: Path, group: str, files: dict[str, str]) -> tuple[str, str]:
    """Make folders like /proc and /sys/fs/cgroup, with this process's control groups and the files of the groups."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(group)
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder / "proc"), str(folder / "cgroup")


V1 = "12:pids:/a\n5:cpu,cpuacct:/a/b\n1:name=systemd:/a\n"


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),  # the quota is larger than the machine
        (
            "0::/a/b\n",
            {"a/cpu.max": "150000 50000\n", "a/b/cpu.max": "max 50000\n"},
            3,
        ),  # the parent's quota is smaller
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "100000 100000\n"}, 1),
        ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, 8),  # the quota of another group
        ("0::/../../x\n", {"cpu.max": "100000 100000\n"}, 1),  # the group is outside the container's view
        (V1, {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "150000\n", "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        (V1, {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 8),
        ("0::/\n", {"cpu.max": "nonsense"}, 8),
        ("0::/\n", {"cpu.max": ""}, 8),
        ("0::/\n", {"cpu.max": "5 0\n"}, 8),
        ("", {}, 8),
        ("nonsense\n\n::\n", {}, 8),
    ],
)
def test_usable_cores_respects_quotas_of_control_groups(
    group: str, files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_affinity", lambda: 8)
    assert usable_cores(*linux(tmp_path, group, files)) == cores


def test_usable_cores_without_information_of_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_affinity", lambda: 5)
    assert usable_cores(str(tmp_path), str(tmp_path)) == 5


def test_quotas_are_read_again_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(threads, "_affinity", lambda: 8)
    monkeypatch.setattr(threads.time, "monotonic", lambda: now[0])
    places = linux(tmp_path, "0::/\n", {"cpu.max": "300000 100000\n"})
    assert usable_cores(*places) == 3
    (Path(places[1]) / "cpu.max").write_text("500000 100000\n")
    assert usable_cores(*places) == 3
    now[0] = threads.QUOTA_SECONDS
    assert usable_cores(*places) == 5


def test_usable_cores_of_this_machine() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_tied_to_one_core_may_use_one() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from fastnet.backends.threads import usable_cores; print(usable_cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


# -- run_team --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_all_threads_run_at_once(n_threads: int) -> None:
    barrier, seen = threading.Barrier(n_threads), []

    def call(team: c.Ints, worker: int) -> str:
        assert team[c.N_THREADS] == n_threads
        barrier.wait(20)  # raises unless all threads run at once
        seen.append((worker, threading.current_thread() is threading.main_thread()))
        return f"of {worker}"

    assert run_team(n_threads, call) == "of 0"
    assert sorted(seen) == [(worker, worker == 0) for worker in range(n_threads)]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_breaks_the_team_and_is_raised(failing: int) -> None:
    left = []

    def call(team: c.Ints, worker: int) -> None:
        if worker == failing:
            raise LookupError("mine")
        deadline = time.monotonic() + 20
        while not team[c.BROKEN]:  # a waiting kernel looks at BROKEN in the same way
            assert time.monotonic() < deadline
            time.sleep(1e-3)
        left.append(worker)

    before, began = threading.active_count(), time.monotonic()
    with pytest.raises(LookupError, match="mine"):
        run_team(3, call)
    assert time.monotonic() - began < 10
    assert set(left) <= {0, 1, 2} - {failing}
    assert threading.active_count() <= before  # fewer, if the idle helper of an earlier call has ended


def test_the_threads_of_a_team_have_the_caller_s_context() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen = []
    variable.set(7)
    with np.errstate(divide="raise"):
        run_team(3, lambda team, worker: seen.append((variable.get(), np.geterr()["divide"])))
    assert seen == [(7, "raise")] * 3


@pytest.mark.parametrize("few", [0, 1])
def test_one_thread_does_all_work_where_no_thread_can_be_started(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started, seen = threading.Thread.start, [], []

    def refuse(thread: threading.Thread) -> None:
        if len(started) >= few:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.warns(RuntimeWarning, match="4 threads cannot be started here"):
        run_team(4, lambda team, worker: seen.append((int(team[c.N_THREADS]), worker)))
    assert seen == [(1, 0)]
    assert not any(thread.is_alive() for thread in started)


def test_an_interrupt_waits_for_the_other_threads() -> None:
    """The call must not return while other threads still write to the caller's arrays."""
    all_here, ended = threading.Barrier(3), []

    def call(team: c.Ints, worker: int) -> None:
        all_here.wait(20)
        if worker == 0:
            raise KeyboardInterrupt
        time.sleep(0.2)
        ended.append(worker)

    with pytest.raises(KeyboardInterrupt):
        run_team(3, call)
    assert sorted(ended) == [1, 2]


# -- the number of threads of a trainer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "rows", "work", "used"),
    [
        (1, 1000, 1 << 40, 1),
        (3, 1, 1, 3),  # an explicit number is used even for little work
        (64, 1000, 1, 6),
        (None, 1000, threads.THREADED_WORK - 1, 1),
        (None, 1000, threads.THREADED_WORK, 6),
        (None, 47, 1 << 40, 2),
        (None, 3, 1 << 40, 1),
    ],
)
def test_team_size_depends_on_work_and_cores(
    wanted: int | None, rows: int, work: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 6)
    assert team_size(wanted, fake_team.MAX_THREADS, rows, work) == used


def make(name: str, **arguments: Any) -> Trainer:
    net = Network([6, 5, 3], activation="tanh", output="softmax", cost="cross_entropy", seed=0)
    return Trainer(
        net, **{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 32, "backend": name, "seed": 0} | arguments
    )


@pytest.fixture(params=["cython", "numba", "fake"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return each backend that supports teams, and pretend that there are four cores. "fake" replaces numpy."""
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    if request.param != "fake":
        backends.get(request.param)
        return str(request.param)
    monkeypatch.setitem(selection._MODULES, "numpy", "fake_team")
    fake_team.SEEN.clear()
    return "numpy"


def bits(trainer: Trainer) -> bytes:
    return trainer.network.parameters.tobytes()


def test_numpy_runs_on_one_thread_and_says_why() -> None:
    for threads_ in (2, 100):
        with pytest.raises(ValueError, match=r"numpy.*threads=1 or 'auto'.*BLAS"):
            make("numpy", threads=threads_)
    trainer = make("numpy", threads="auto")
    assert trainer.fit(X, Y, epochs=1)["threads"] == [1]
    with backends.use_backend("cython"):
        later = make(None, threads=1)  # each fit chooses the backend
    later._threads = 2
    with backends.use_backend("numpy"), pytest.raises(ValueError, match="numpy"):
        later.fit(X, Y, epochs=1)
    assert later.steps == 0


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None, "many", "2", [2]])
def test_impossible_threads_are_refused(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="threads must be"):
        make("numpy", threads=wrong)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_a_team_trains_like_one_thread(name: str, optimizer: str) -> None:
    alone, team, again = (make(name, optimizer=optimizer, threads=n) for n in (1, 3, 3))
    for trainer in (alone, team, again):
        trainer.fit(X, Y, epochs=3, validation_data=(X, Y))
    cmp.assert_close(team.network.parameters, alone.network.parameters, cmp.AGREEMENT["float32"])
    assert bits(team) == bits(again)
    assert team.history["threads"] == [3] * 3
    assert alone.history["threads"] == [1] * 3
    assert team.history["cost"] == pytest.approx(alone.history["cost"], rel=1e-4)
    assert team.history["validation_cost"] == pytest.approx(alone.history["validation_cost"], rel=1e-4)
    assert team.evaluate(X, Y).cost == pytest.approx(alone.evaluate(X, Y).cost, rel=1e-4)


def test_a_team_is_no_larger_than_the_cores(name: str) -> None:
    assert make(name, threads=1000).fit(X, Y, epochs=1)["threads"] == [4]
    assert make(name, threads="auto").fit(X, Y, epochs=1)["threads"] == [1]  # too little work
    if name == "numpy":  # the fake backend
        assert set(fake_team.SEEN) == {1, 4}


def test_auto_takes_several_threads_for_much_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "THREADED_WORK", 0)
    assert make(name, threads="auto", batch_size=203).fit(X, Y, epochs=1)["threads"] == [4]
    assert make(name, threads="auto").fit(X, Y, epochs=1)["threads"] == [2]  # each thread has 16 of 32 examples
    assert make(name, threads="auto", batch_size=20).fit(X, Y, epochs=1)["threads"] == [1]


@pytest.mark.parametrize("long", [False, True])
def test_chunks_do_not_change_the_result(name: str, long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = make(name, threads=2)
    usual.fit(X, Y, epochs=2)
    for constant, value in {"CHUNK_SECONDS": 0.0, "PACKED_SECONDS": 0.0, "FIRST_CHUNK": 1}.items():
        monkeypatch.setattr(chunks, constant, value)
    if long:
        monkeypatch.setattr(chunks, "LONG_BATCH", 0)
    other = make(name, threads=2)
    other.fit(X, Y, epochs=2)
    assert bits(usual) == bits(other)


def test_divergence_with_a_team_names_the_step(name: str) -> None:
    net = Network([6, 5, 3], activation="relu", output="identity", seed=0)
    trainer = Trainer(
        net,
        optimizer="sgd",
        learning_rate=0.01,
        batch_size=32,
        schedule=lambda step: 1e30 if step == 10 else 1.0,
        backend=name,
        threads=3,
    )
    with pytest.raises(DivergedError) as caught:
        trainer.fit(X, Y, epochs=5)
    assert caught.value.step == 12  # update 11 is bad, and the cost of step 12 shows this
    assert trainer.steps == 10
    assert np.isfinite(net.parameters).all()


@pytest.mark.filterwarnings("ignore:the network does not learn:UserWarning")  # it trains until Ctrl-C comes
@pytest.mark.parametrize("long", [False, True])
def test_ctrl_c_ends_a_fit_with_a_team(name: str, long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    make(name, threads=2).fit(X, Y, epochs=1)
    if long:
        monkeypatch.setattr(chunks, "LONG_BATCH", 0)
    trainer = make(name, threads=2)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=10**7)
    timer.join()
    assert trainer.steps > 0
    assert sum(-(-n // 32) for n in trainer.history["examples"]) == trainer.steps
    monkeypatch.undo()


def test_several_trainers_in_several_threads(name: str) -> None:
    seeds = [0, 1, 2]

    def trained(seed: int) -> bytes:
        trainer = make(name, threads=2, seed=seed)
        trainer.fit(X, Y, epochs=3)
        return bits(trainer)

    alone = {seed: trained(seed) for seed in seeds}
    found: dict[int, bytes] = {}
    running = [threading.Thread(target=lambda s=seed: found.update({s: trained(s)}), daemon=True) for seed in seeds]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert found == alone


FORK = """
import os, sys, time
sys.path.insert(0, TESTS)
import numpy as np, fastnet
from fastnet.backends import selection, threads
threads.usable_cores = lambda: 3
selection._MODULES["numpy"] = "fake_team"
def train():
    network = fastnet.Network([4, 3], seed=0)
    x = np.random.default_rng(0).random((50, 4), np.float32)
    trainer = fastnet.Trainer(network, backend=NAME, seed=0, threads=3)
    assert trainer.fit(x, np.arange(50) % 3, epochs=5)["threads"] == [3] * 5
    return network.parameters.tobytes()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_can_train_with_a_team(name: str) -> None:
    code = f"NAME, TESTS = {name!r}, {str(Path(__file__).parents[1])!r}\n{FORK + bc.AND_IN_A_CHILD}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_training_works_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot start threads trains in the caller's thread, even on long batches."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(chunks, "LONG_BATCH", 0)
    x, y = np.random.default_rng(0).random((40, 6), np.float32), np.arange(40) % 3
    expected = Trainer(Network([6, 3], seed=0), seed=0).fit(x, y, epochs=1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    found = Trainer(Network([6, 3], seed=0), seed=0).fit(x, y, epochs=1)
    assert found["cost"] == expected["cost"]
