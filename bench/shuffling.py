"""Accuracy after training on images that are sorted by digit, with shuffle buffers of several sizes.

`python -m fastnet.bench.shuffling` trains a network on the images of W1, sorted by digit, from a source. It takes about
a minute. The buffers hold all images, which is an exact shuffle, or a half, a tenth or a fiftieth of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnet.backends.machine import facts
from fastnet.bench import report
from fastnet.bench.workloads import Images, load_images
from fastnet.data import source
from fastnet.network import Network
from fastnet.training import Trainer

PARTS = (1, 2, 10, 50)  # the images are this many times as large as the buffer
ORDER = "in the order of the file"
EPOCHS = (1, 2, 5)  # the accuracy is measured after these epochs
HIDDEN, BATCH = 64, 50


def accuracies(images: Images, part: int | None, seed: int) -> list[float]:
    """Return the accuracy on the test images after each of EPOCHS. `part` is one of PARTS; None: no shuffling."""
    size = images.x.nbytes + images.y.nbytes
    buffer = size // (part or PARTS[2])
    trainer = Trainer(
        Network([images.x.shape[1], HIDDEN, 10], seed=seed), batch_size=BATCH, seed=seed, shuffle=part is not None
    )
    found = []

    def after_epoch(trainer: Trainer, epoch: Any) -> None:
        if epoch.epoch in EPOCHS:
            found.append(trainer.network.accuracy(images.x_test, images.y_test))

    trainer.fit(source((images.x, images.y), shuffle_buffer=buffer), epochs=EPOCHS[-1], callbacks=[after_epoch])
    return found


def section(records: Sequence[dict[str, Any]], seeds: int, about: str) -> report.Section:
    """Return the table of the mean accuracies."""
    columns = ("shuffle buffer", *(f"after {n} epoch{'s' * (n > 1)}" for n in EPOCHS))
    rows = []
    for record in records:
        each = np.array(record["accuracies"])
        cells = [f"{mean:.2%} ± {spread:.2%}" for mean, spread in zip(each.mean(0), each.std(0, ddof=1), strict=True)]
        rows.append((record["buffer"], *cells))
    note = (
        f"Accuracy on the test images: mean and standard deviation over {seeds} seeds. The training images are "
        f"{about}, sorted by digit. The network has {HIDDEN} hidden neurons and is trained with Adam in batches of "
        f"{BATCH}."
    )
    return report.Section("shuffling", "Shuffling of sorted data", columns, rows, note, records, 1)


def name_of(part: int | None) -> str:
    """Return what the table calls a buffer."""
    return ORDER if part is None else "all images" if part == 1 else f"1/{part} of the images"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.shuffling", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many networks to train (default: 5)")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    options = parser.parse_args(arguments)
    images = load_images()
    order = np.argsort(images.y, kind="stable")
    images = images._replace(x=images.x[order], y=images.y[order])
    records = [
        {
            "buffer": name_of(part),
            "accuracies": [accuracies(images, part, seed) for seed in range(options.seeds)],
        }
        for part in (*PARTS, None)
    ]
    report.show(section(records, options.seeds, images.about), options.markdown)
    print("\n" + "\n".join(f"{name}: {fact}" for name, fact in facts().items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
