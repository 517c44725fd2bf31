"""The experiment data-size: the accuracy of the network against the number of training examples."""

from __future__ import annotations

from functools import partial

from fastnet import plots
from fastnet.explore.experiments import Setting
from fastnet.explore.finding import Finding
from fastnet.insight.data_size import data_size
from fastnet.text import table


def explore(setting: Setting) -> Finding:
    """Train the setting's recipe on subsets of the training examples, from 100 examples to all."""
    data = setting.data
    found = data_size(
        data.x_train,
        data.y_train,
        test=(data.x_test, data.y_test),
        seeds=setting.seeds,
        recipe=setting.recipe,
        backend=setting.backend,
    )
    rows = [[setting.examples, "epochs", "updates", "training", "test", "lowest test", "highest test"]]
    for i, size in enumerate(found.sizes):
        test = found.test[:, i]
        rows.append(
            [
                *(f"{count:,}" for count in (size, found.epochs[i], found.updates[i])),
                *(f"{share:.1%}" for share in (found.training[:, i].mean(), test.mean(), test.min(), test.max())),
            ]
        )
    if len(set(found.updates)) == 1:
        seen = "make the same number of updates"
    else:
        seen = f"see the same number of {setting.examples}, to within half an epoch"
    text = f"Mean accuracies of {setting.n_seeds} seeds. All trainings {seen}.\n\n{table(rows, left=())}"
    return Finding(text, {"found": found}, {"data-size": partial(plots.data_size, found)})
