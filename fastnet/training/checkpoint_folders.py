"""The folders of checkpoints: one for a training on one process, one for each process of a training on several."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastnet.data.files import PathLike, checked_path
from fastnet.errors import DataError, warn
from fastnet.text import shown
from fastnet.training import checkpoint_file
from fastnet.training.checkpoint_file import check_folder, numbered, read
from fastnet.training.state import Process, TrainingState

if TYPE_CHECKING:
    from fastnet.training.averaging import Communicator

_RANK = re.compile(r"rank-(\d+)")


def folder_of(folder: Path, communicator: Communicator | None) -> Path:
    """Return the folder of this process."""
    return folder if communicator is None else folder / f"rank-{communicator.rank}"


def written(folder: Path) -> list[Path]:
    """Return all checkpoints in a folder, also those of processes."""
    return [path for each in (folder, *_of_processes(folder)) for _, path in numbered(each)] if folder.is_dir() else []


def check_folders(folder: Path, communicator: Communicator | None, steps: int, resumed_from: Path | None) -> None:
    """Raise ValueError if a folder holds a whole checkpoint of a training with more than `steps` updates.

    The checkpoints of a training on one process count for one on several, and the other way round. If a process went on
    from an update before its last checkpoint, since another process lacked that one, later checkpoints are removed.
    """
    check_folder(folder, steps)
    own = folder_of(folder, communicator)
    if communicator is not None and resumed_from is not None and resumed_from.resolve() == own.resolve():
        for number, path in numbered(own):
            if number > steps:
                path.unlink(missing_ok=True)
    for other in _of_processes(folder) if communicator is None else [own]:
        check_folder(other, steps)


def newest(folder: PathLike, communicator: Communicator | None) -> tuple[Path, TrainingState]:
    """Return the newest whole checkpoint of a training, with its path.

    All processes of a communicator make this call. They get the newest update of which all of them have a whole
    checkpoint. A UserWarning names each damaged one.

    Raises
    ------
    DataError
        There is no such folder, or no whole checkpoint in it. All processes raise the error of one of them.
    ValueError
        The training had another number of processes.
    """
    path = Path(checked_path("folder", folder))
    if communicator is None:
        with suppress(OSError):
            if not numbered(path) and (others := _of_processes(path)):
                raise ValueError(
                    f"{shown(path)} holds the checkpoints of a training on {len(others)} processes: run the program "
                    f"with mpiexec -n {len(others)}, and give resume the communicator"
                )
        file, state = checkpoint_file.newest(path)
        check_process(shown(file), state.process, None)
        return file, state
    own = folder_of(path, communicator)
    steps = _steps(own)
    for candidate in sorted(set[int].intersection(*map(set, communicator.allgather(steps))), reverse=True):
        file = own / checkpoint_file.name_of(candidate)
        found, problem = _read(file, communicator)
        problems = communicator.allgather(problem)
        if found is not None and not any(problems):
            return file, found
        fatal = [text for text in problems if text and text.startswith(_OTHER)]
        if fatal:
            raise ValueError(fatal[0].removeprefix(_OTHER))
        warn(f"a checkpoint is skipped: {problem or next(filter(None, problems))}")
    raise DataError(_nothing(path, communicator, communicator.allgather(len(steps))))


_OTHER = "other: "  # begins a problem that an older checkpoint would have too


def _read(file: Path, communicator: Communicator) -> tuple[TrainingState | None, str | None]:
    """Return the state in a file, or why there is none."""
    try:
        state = read(file)
    except DataError as error:
        return None, str(error)
    try:
        check_process(shown(file), state.process, communicator)
    except ValueError as error:
        return None, f"{_OTHER}{error}"
    return state, None


def check_process(name: str, process: Process | None, communicator: Communicator | None) -> None:
    """Raise ValueError if a state, whose `process` is given, is not that of this process."""
    if communicator is None:
        if process is not None:
            raise ValueError(
                f"{name} is a checkpoint of process {process.rank} of {process.size}: run the program with mpiexec -n "
                f"{process.size}, and give resume the communicator and the folder of all processes"
            )
    elif process is None or (process.rank, process.size) != (communicator.rank, communicator.size):
        had = f"process {process.rank} of {process.size}" if process else "a training on one process"
        raise ValueError(
            f"{name} is a checkpoint of {had}, and this is process {communicator.rank} of {communicator.size}: go on "
            "with the same number of processes"
        )


def _nothing(folder: Path, communicator: Communicator, counts: list[int]) -> str:
    """Return why the processes cannot go on. `counts` are the numbers of their checkpoints."""
    missing = [str(rank) for rank, count in enumerate(counts) if not count]
    if len(missing) == len(counts):
        return (
            f"{shown(folder)} holds no checkpoint of these {communicator.size} processes: give the folder of a "
            "Checkpoint, or begin a new training"
        )
    if missing:
        what = f"process {missing[0]} has" if len(missing) == 1 else f"processes {', '.join(missing)} have"
        return (
            f"{shown(folder)} holds checkpoints of some processes only, and {what} none there: give all processes the "
            "same folder and the number of processes of before, or begin a new training"
        )
    return (
        f"{shown(folder)} holds no update of which all {communicator.size} processes have a whole checkpoint: begin a "
        "new training"
    )


def _steps(folder: Path) -> list[int]:
    """Return the updates of the checkpoints in the folder of a process; none if it cannot be read."""
    try:
        return [steps for steps, _ in numbered(folder)]
    except OSError:
        return []


def _of_processes(folder: Path) -> list[Path]:
    """Return the folders of the processes of a training."""
    return [path for path in folder.iterdir() if _RANK.fullmatch(path.name) and path.is_dir()]
