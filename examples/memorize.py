"""Does a network learn or memorise? This program fits the same images with true labels and with shuffled labels.

Run: python examples/memorize.py [--images 1000] [--hidden 128] [--seed 0]  (a second)
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import fastnet

# A network with many more parameters than examples can fit true labels and shuffled labels, so a good fit of the
# training images proves nothing. True labels take fewer epochs, and only true labels teach the network to recognise
# new images (Zhang et al. 2017, "Understanding deep learning requires rethinking generalization").
FITTED, MAX_EPOCHS = 0.99, 500


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("images", 1000), ("hidden", 128), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    data = fastnet.data.load("mnist-5k")
    x, y = data.x_train[: args.images], data.y_train[: args.images]
    shuffled = np.random.default_rng(args.seed).permutation(y)
    print(f"{len(x):,} images, 784-{args.hidden}-10, until {FITTED:.0%} of them are right:")
    for name, labels in (("true", y), ("shuffled", shuffled)):
        net = fastnet.Network(
            [784, args.hidden, 10], activation="relu", output="softmax", cost="cross_entropy", seed=args.seed
        )

        def stop(trainer: fastnet.Trainer, epoch: fastnet.Epoch, labels: np.ndarray = labels) -> None:
            if trainer.network.accuracy(x, labels) >= FITTED:
                trainer.stop()

        trainer = fastnet.Trainer(net, optimizer="adam", batch_size=32, seed=args.seed)
        epochs = len(trainer.fit(x, labels, epochs=MAX_EPOCHS, callbacks=[stop]))
        right, unseen = net.accuracy(x, labels), net.accuracy(data.x_test, data.y_test)
        print(f"{name:8} labels: {epochs:3} epochs, {right:.1%} right, {unseen:.1%} of 1,000 test images")


if __name__ == "__main__":
    try:
        main()
    except (fastnet.FastnetError, ValueError) as error:  # no data set or no such backend: the message says what to do
        sys.exit(str(error))
