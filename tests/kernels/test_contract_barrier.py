"""A model of the barrier of a team of threads. The tests try every interleaving of two and of three threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from fastnet.kernels import contract as c

ROUNDS = 4  # barriers in a row
WORDS = (c.ARRIVED, c.TURN, c.BROKEN)
PASSED, GAVE_UP = "passed", "gave up"  # the two ends of a wait
WORK, ENDED = "work", "ended"  # the states between two barriers and after the last barrier


class Step(NamedTuple):
    """An atomic operation on a shared word, and the rule for the next step."""

    kind: str  # "load", "store" or "add"
    word: int
    order: str  # "relaxed", "acquire", "release" or "acq_rel"
    then: Callable[[int, int, int], str]  # (loaded value or sum, `now`, size of the team) -> name of the next step
    value: Callable[[int, int], int] = lambda now, got: 0  # (`now`, result of the last step) -> value to store or add
    kept: bool = False  # whether the thread remembers the loaded value as `now`


Steps = dict[str, Step]

# WAIT describes `team_wait` of kernels/vec.h and `_wait` of kernels/numba_backend.py. Each atomic operation of these
# functions has one entry. If you change the functions, change WAIT. The model tracks which work of other threads each
# thread can see. If an acquire load reads a value that a release operation wrote, the reader sees all work that
# the writer could see (C11). The model assumes that a load of an atomic word returns its newest value.
WAIT: Steps = {
    "look": Step("load", c.TURN, "acquire", lambda got, now, size: "arrive", kept=True),
    "arrive": Step(
        "add", c.ARRIVED, "acq_rel", lambda got, now, size: "reset" if got == size else "spin", lambda now, got: 1
    ),
    "reset": Step("store", c.ARRIVED, "relaxed", lambda got, now, size: "advance"),
    "advance": Step("store", c.TURN, "release", lambda got, now, size: "spin", lambda now, got: now + 1),
    "spin": Step("load", c.TURN, "acquire", lambda got, now, size: "check" if got == now else PASSED),
    "check": Step("load", c.BROKEN, "relaxed", lambda got, now, size: GAVE_UP if got else "spin"),
}
SOURCES: dict[str, Steps] = {
    "vec.h": WAIT,
    "numba_backend.py": WAIT  # in Numba all loads acquire and all stores release
    | {"reset": WAIT["reset"]._replace(order="release"), "check": WAIT["check"]._replace(order="acquire")},
}
BREAK = Step("store", c.BROKEN, "relaxed", lambda got, now, size: GAVE_UP, lambda now, got: 1)  # threads.run_team

# -- faults of a barrier, and how the model reports them ---------------------------------------------------------

EARLY, UNSEEN, STUCK, NO_RETURN = "passed too early", "does not see", "nobody can go on", "does not return"


def ordered(step: str, order: str) -> Steps:
    return {step: WAIT[step]._replace(order=order)}


def leading(step: str, then: Callable[[int, int, int], str]) -> Steps:
    return {step: WAIT[step]._replace(then=then)}


MUTATIONS: dict[str, tuple[Steps, str]] = {
    "TURN is advanced before ARRIVED is reset": (
        leading("arrive", lambda got, now, size: "advance" if got == size else "spin")
        | leading("advance", lambda got, now, size: "reset")
        | leading("reset", lambda got, now, size: "spin"),
        STUCK,
    ),
    "ARRIVED is not reset": (leading("arrive", lambda got, now, size: "advance" if got == size else "spin"), STUCK),
    "TURN is not advanced": (leading("reset", lambda got, now, size: "spin"), STUCK),
    "waits for the wrong turn": (leading("spin", lambda got, now, size: "check" if got == now + 1 else PASSED), EARLY),
    "one thread is left out": (
        leading("arrive", lambda got, now, size: "reset" if got == size - 1 else "spin"),
        EARLY,
    ),
    "TURN is first loaded after the arrival": (
        {"look": WAIT["arrive"]._replace(then=lambda got, now, size: "look, last" if got == size else "look, not last")}
        | {"look, last": WAIT["look"]._replace(then=lambda got, now, size: "reset")}
        | {"look, not last": WAIT["look"]._replace(then=lambda got, now, size: "spin")},
        STUCK,
    ),
    "ARRIVED is loaded, then stored": (
        {"arrive": Step("load", c.ARRIVED, "acquire", lambda got, now, size: "add")}
        | {"add": Step("store", c.ARRIVED, "release", WAIT["arrive"].then, lambda now, got: got + 1)},
        STUCK,
    ),
    "the arrival is relaxed": (ordered("arrive", "relaxed"), UNSEEN),
    "the arrival only acquires": (ordered("arrive", "acquire"), UNSEEN),
    "the arrival only releases": (ordered("arrive", "release"), UNSEEN),
    "the new TURN is stored relaxed": (ordered("advance", "relaxed"), UNSEEN),
    "the new TURN is loaded relaxed": (ordered("spin", "relaxed"), UNSEEN),
    "BROKEN is not loaded": (leading("spin", lambda got, now, size: "spin" if got == now else PASSED), NO_RETURN),
}


# -- threads, teams and their interleavings ----------------------------------------------------------------------

Known = tuple[int, ...]  # for each thread, the number of its rounds of work that are visible


class Thread(NamedTuple):
    at: str  # the next step, WORK or ENDED
    rounds: int  # barriers passed
    now: int
    got: int  # the last step's result
    known: Known  # the work that this thread can see, including its own work


class Team(NamedTuple):
    threads: tuple[Thread, ...]
    words: tuple[int, ...]
    released: tuple[Known, ...]  # for each word, the work that an acquiring load makes visible


class Wrong(Exception):
    """The barrier breaks one of its promises."""


def both(a: Known, b: Known) -> Known:
    return tuple(map(max, a, b))


def put(row: tuple[Any, ...], place: int, new: Any) -> tuple[Any, ...]:
    return (*row[:place], new, *row[place + 1 :])


class Model:
    """A team that waits ROUNDS times. In round `breaks` thread 0 sets BROKEN and leaves. None: all threads stay."""

    def __init__(self, steps: Steps, size: int, breaks: int | None = None) -> None:
        self.steps, self.size, self.breaks = {**steps, "break": BREAK}, size, breaks
        nothing = (0,) * size
        self.first = Team((Thread(WORK, 0, 0, 0, nothing),) * size, (0,) * len(WORDS), (nothing,) * len(WORDS))

    def worked(self, team: Team, i: int) -> Team:
        """Return the team after thread i has worked between two barriers. Only thread i can see this work yet."""
        thread = team.threads[i]
        at = "break" if i == 0 and thread.rounds == self.breaks else "look"
        thread = thread._replace(at=at, known=put(thread.known, i, thread.rounds + 1))
        return team._replace(threads=put(team.threads, i, thread))

    def after(self, team: Team, i: int) -> Team:
        """Return the team after thread i's next step. Raise Wrong if the step breaks a promise."""
        thread = team.threads[i]
        if thread.at == WORK:
            return self.worked(team, i)
        step, word = self.steps[thread.at], WORDS.index(self.steps[thread.at].word)
        known, released, got = thread.known, team.released[word], team.words[word]
        if step.order in ("acquire", "acq_rel"):
            known = both(known, released)
        if step.kind != "load":
            value = step.value(thread.now, thread.got)
            new = got + value if step.kind == "add" else value
            # An addition keeps all work that was released through the word. A store discards this work.
            handed_on = released if step.kind == "add" else (0,) * self.size
            released = both(handed_on, known) if step.order in ("release", "acq_rel") else handed_on
            team = team._replace(words=put(team.words, word, new), released=put(team.released, word, released))
            got = new
        now = got if step.kept else thread.now
        thread = Thread(step.then(got, now, self.size), thread.rounds, now, got, known)
        if thread.at == PASSED:
            self.check_passing(team, i, known)
            rounds = thread.rounds + 1
            thread = Thread(WORK if rounds < ROUNDS else ENDED, rounds, 0, 0, known)
        elif thread.at == GAVE_UP:
            if not team.words[WORDS.index(c.BROKEN)]:
                raise Wrong(f"thread {i} gives up, but the team is not broken")
            thread = thread._replace(at=ENDED)
        return team._replace(threads=put(team.threads, i, thread))

    def check_passing(self, team: Team, i: int, known: Known) -> None:
        """Check that thread i passes a barrier that all threads have reached, and that it sees their earlier work."""
        passed = team.threads[i].rounds + 1
        for other, thread in enumerate(team.threads):
            if thread.known[other] < passed:
                raise Wrong(f"thread {i} {EARLY}, before thread {other} reached barrier {passed}")
            if known[other] < passed:
                raise Wrong(f"thread {i} {UNSEEN} what thread {other} did before barrier {passed}")

    def running(self, team: Team) -> list[int]:
        return [i for i, thread in enumerate(team.threads) if thread.at != ENDED]

    def check(self) -> int:
        """Try every interleaving and return the number of states. Raise Wrong with the shortest path to the fault."""
        came_from: dict[Team, tuple[Team, int] | None] = {self.first: None}
        before: dict[Team, list[Team]] = {}
        queue = deque([self.first])
        while queue:
            team = queue.popleft()
            for i in self.running(team):
                try:
                    following = self.after(team, i)
                    if team.words[WORDS.index(c.BROKEN)]:
                        self.check_return(team, i)
                except Wrong as wrong:
                    raise Wrong(f"{wrong}: {self.way(came_from, team)}") from None
                before.setdefault(following, []).append(team)
                if following not in came_from:
                    came_from[following] = (team, i)
                    queue.append(following)
        # Every state must have a path to a state in which all threads have ended. Search backwards from those states.
        fine = {team for team in came_from if not self.running(team)}
        backwards = list(fine)
        while backwards:
            new = set(before.get(backwards.pop(), ())) - fine
            fine |= new
            backwards += new
        for team in came_from:  # states near the start come first, so the path is short
            if team not in fine:
                raise Wrong(f"{STUCK}: {self.way(came_from, team)}")
        return len(came_from)

    def check_return(self, team: Team, i: int) -> None:
        """Check that thread i of a broken team returns even if no other thread takes a step."""
        for _ in range(4 * len(self.steps) * ROUNDS):
            if team.threads[i].at == ENDED:
                return
            team = self.after(team, i)
        raise Wrong(f"thread {i} {NO_RETURN} from a broken team")

    def way(self, came_from: Mapping[Team, tuple[Team, int] | None], team: Team) -> str:
        """Return the steps from the start to this state."""
        steps: list[str] = []
        while (last := came_from[team]) is not None:
            team, i = last
            steps.append(f"{i} {team.threads[i].at}")
        return ", ".join(reversed(steps))


def check(steps: Steps, size: int) -> int:
    """Check a team that no thread leaves, and for each round a team that thread 0 leaves then. Count all states."""
    return sum(Model(steps, size, breaks).check() for breaks in (None, *range(ROUNDS)))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("source", SOURCES)
def test_every_interleaving_keeps_the_promises(source: str, size: int) -> None:
    """No thread passes early. All threads see the earlier work and reach the end. All threads leave a broken team."""
    assert check(SOURCES[source], size) > 5**size


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_model_finds_a_wrong_barrier(mutation: str, size: int) -> None:
    changes, words = MUTATIONS[mutation]
    with pytest.raises(Wrong, match=words):
        check(WAIT | changes, size)
