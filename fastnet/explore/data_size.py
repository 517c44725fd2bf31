"""How much data it needs.

Not here: the trainings (fastnet.insight.data_size).
"""

from __future__ import annotations

from functools import partial

from fastnet.explore import Finding, Setting
from fastnet.insight.data_size import data_size
from fastnet.text import table


def explore(setting: Setting) -> Finding:
    """Trains the setting's recipe on more and more of the training examples."""
    from fastnet import plots

    data = setting.data
    found = data_size(
        data.x_train,
        data.y_train,
        test=(data.x_test, data.y_test),
        seeds=range(setting.seed, setting.seed + setting.seeds),
        recipe=setting.recipe,
        backend=setting.backend,
    )
    rows = [[setting.examples, "epochs", "updates", "training", "test", "lowest", "highest"]]
    for i, size in enumerate(found.sizes):
        test = found.test[:, i]
        rows.append(
            [
                *(f"{count:,}" for count in (size, found.epochs[i], found.updates[i])),
                *(f"{share:.1%}" for share in (found.training[:, i].mean(), test.mean(), test.min(), test.max())),
            ]
        )
    seen = "updates" if len(set(found.updates)) == 1 else f"{setting.examples} to see, to a part of an epoch"
    text = f"accuracies of {setting.seeds} seeds; all sizes have as many {seen}\n\n{table(rows, left=())}"
    return Finding(text, {"found": found}, {"data-size": partial(plots.data_size, found)})
