"""Several runs side by side: the settings that differ, the figures, and what must be known to compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastnet.data.files import PathLike
from fastnet.text import listed
from fastnet.training.run_summary import RunSummary, distinct_names, summary


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes
    ----------
    runs : tuple of RunSummary
        The runs. The lists below have one entry for each of them.
    different : dict of str to list
        The settings that differ, by their names. None: the run does not have or know the setting.
    equal : dict of str to Any
        The settings that are the same in all runs.
    figures : dict of str to list
        The figures that any run has, by their names in `RunSummary.figures`.
    remarks : tuple of str
        Sentences about what limits the comparison, such as different data.
    """

    runs: tuple[RunSummary, ...]
    different: dict[str, list[Any]]
    equal: dict[str, Any]
    figures: dict[str, list[float | None]]
    remarks: tuple[str, ...]


def compare(folders: Sequence[PathLike]) -> Comparison:
    """Compare saved runs.

    Parameters
    ----------
    folders : sequence of str or os.PathLike
        The folders of the runs, each as `fastnet train --out` or `Run.save` wrote it. One is enough.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        `folders` is no sequence, or a single path.
    ValueError
        There are no folders.
    DataError
        A folder holds no run or a damaged one, or is given twice.

    Examples
    --------
    >>> import os, tempfile
    >>> x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for rate in (0.1, 1.0):
    ...         trainer = fastnet.Trainer(fastnet.Network([4, 3], seed=0), learning_rate=rate)
    ...         history = trainer.fit(x, y, epochs=3)
    ...         fastnet.report.Run.of(trainer).save(os.path.join(folder, f"rate-{rate}"))
    ...     found = compare([os.path.join(folder, name) for name in ("rate-0.1", "rate-1.0")])
    >>> found.different
    {'learning_rate': [0.1, 1.0]}
    """
    if isinstance(folders, (str, bytes)) or not isinstance(folders, Sequence):
        raise TypeError("folders must be a list of the folders of runs")
    if not folders:
        raise ValueError("folders is empty; expected the folder of at least one run")
    names = distinct_names(folders)
    return side_by_side([summary(folder, name) for folder, name in zip(folders, names, strict=True)])


def side_by_side(runs: Sequence[RunSummary]) -> Comparison:
    """Return the comparison of these runs. There must be at least one."""
    settings = _by_name([run.settings for run in runs])
    if all(run.options for run in runs):  # nothing is known of the options of a run without run.toml
        settings |= _by_name([run.options for run in runs])
    # A run that has not been trained to the end knows few of its settings yet.
    known = {
        name: [value for value, run in zip(values, runs, strict=True) if value is not None or run.task]
        for name, values in settings.items()
    }
    different = {name: settings[name] for name, found in known.items() if any(value != found[0] for value in found)}
    figures = _by_name([run.figures for run in runs])
    return Comparison(
        tuple(runs),
        different,
        {name: found[0] for name, found in known.items() if name not in different and found and found[0] is not None},
        {name: values for name, values in figures.items() if any(value is not None for value in values)},
        tuple(_remarks(runs, different)),
    )


def _by_name(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each name, in the order in which the names come first."""
    names = dict.fromkeys(name for one in found for name in one)
    return {name: [one.get(name) for one in found] for name in names}


def _remarks(runs: Sequence[RunSummary], different: Mapping[str, list[Any]]) -> list[str]:
    """Return what a reader must know before comparing the figures."""
    remarks = []
    tasks = list(dict.fromkeys(run.task for run in runs if run.task))
    if len(tasks) > 1:
        remarks.append(f"The runs have different tasks ({listed(tasks)}), so their scores do not compare.")
    if "data" in different:
        data = dict.fromkeys(str(value) for value in different["data"] if value is not None)
        remarks.append(f"The runs have different data ({listed(data)}), so their scores do not compare.")
    elif "data_hash" in different:
        remarks.append("The data have the same name but other contents, so the scores do not compare.")
    if len(tasks) <= 1 and "cost" in different:
        remarks.append("The runs have different cost functions, so their costs do not compare.")
    if "validation" in different:
        remarks.append("The validation results come from different rows, so they do not compare.")
    if "processor" in different:
        remarks.append("The runs are of different machines, so their times do not compare.")
    unfinished = [run.name for run in runs if run.state in ("interrupted", "resumable")]
    if unfinished:
        remarks.append(f"Not trained to the end: {listed(unfinished)}.")
    return remarks
