"""A recipe: how a network is made and trained, to be followed many times with other seeds, sizes and data.

Not here: the training itself (trainer.py), and what is found out about the results (fastnet.insight).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastnet import checks
from fastnet.backends.engine import choose
from fastnet.backends.interrupts import Together
from fastnet.backends.threads import usable_cores
from fastnet.network import Network
from fastnet.training.trainer import Trainer

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained; the default is the chapter's 784-16-16-10, as `fastnet train` has it.

    hidden: the hidden layers' widths. epochs: passes over the data. network and trainer: keyword arguments of
    Network and Trainer, such as {"activation": "relu"} and {"optimizer": "adam"}; neither `seed`, which is given when
    the recipe is followed.
    """

    hidden: tuple[int, ...] = (16, 16)
    epochs: int = 30
    network: Mapping[str, Any] = field(default_factory=dict)
    trainer: Mapping[str, Any] = field(
        # sigmoids under the squared error learn slowly: the library's rate of 0.1 reaches 85% of mnist-5k, not 91%
        default_factory=lambda: {"learning_rate": 0.5, "schedule": "cosine", "batch_size": 10}
    )

    def start(self, n_in: int, n_out: int, seed: int, **trainer: Any) -> Trainer:
        """A new trainer of a new network, not yet trained. `trainer`: arguments that replace the recipe's.

        Raises what Network and Trainer raise for impossible settings.
        """
        checks.whole_number("epochs", self.epochs, 0)
        network = Network([n_in, *self.hidden, n_out], seed=seed, **self.network)
        return Trainer(network, seed=seed, **{**self.trainer, **trainer})

    def on(self, backend: str | None) -> Recipe:
        """The recipe on a backend; as it is for None."""
        return self if backend is None else self.but(trainer={"backend": backend})

    def but(self, **changes: Any) -> Recipe:
        """The recipe with other fields; `network` and `trainer` are merged into its own."""
        merged: dict[str, Any] = {
            name: {**getattr(self, name), **value} if name in ("network", "trainer") else value
            for name, value in changes.items()
        }
        return dataclasses.replace(self, **merged)


CHAPTER = Recipe()


def in_parallel(jobs: Iterable[Callable[[], T]], backend: str | None = None) -> list[T]:
    """The results of independent trainings on a backend, in their order, as many at a time as there are cores.

    Compiled kernels run without the GIL, so that threads are enough. A backend of one thread goes through them one
    after the other: NumPy's calls are so short that threads which wait for each other make them five times slower.
    What a job raises is raised here, the first in order; then,
    as on Ctrl-C, the trainings that run end at their next batch, and no more are begun.
    """
    from concurrent.futures import ThreadPoolExecutor  # the command line imports recipes, and need not wait for it

    together = Together()
    workers = usable_cores() if choose(backend).takes_threads else 1
    with ThreadPoolExecutor(workers, "fastnet") as pool:
        futures = [pool.submit(together.context().run, job) for job in jobs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            together.stop()
            raise
