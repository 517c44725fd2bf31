"""`fastnet search`: trains many networks, chooses the best settings, and writes what the options name."""

from __future__ import annotations

import argparse
import csv
import io
import os
from typing import Any

from fastnet import backends, checks
from fastnet.cli import results
from fastnet.cli.common import evaluate, load_data, print_result, table_columns
from fastnet.cli.options import (
    SEED,
    Command,
    add_backend_option,
    add_data_options,
    add_name,
    add_number,
    add_table_options,
    defaults,
)
from fastnet.cli.progress import told_if_slow
from fastnet.cli.search_data import SearchData
from fastnet.cli.search_progress import SearchProgress, finished
from fastnet.cli.train_options import add_standardize_option
from fastnet.data.files import atomic_write
from fastnet.ensemble import Ensemble, Model
from fastnet.errors import DataError, FastnetError
from fastnet.network import Network
from fastnet.network_file import is_safetensors_name
from fastnet.search import SearchResult, search
from fastnet.search.halving import Rung, rungs
from fastnet.search.searching import METHODS
from fastnet.search.space import checked_spaces, grid
from fastnet.search.space_file import FILE, read_space
from fastnet.search.standing_texts import metric_title, result_text, setting_line, standing_rows, value_text, varied
from fastnet.text import duration, facts, folded_table, json_text, shown
from fastnet.version import __version__

BEST, TABLE, RECORD = "best.npz", "table.csv", "search.json"  # the files in --out, beside the journal
_ASKED = ("method", "trials", "seeds", "budget", "validation", "metric", "seed")
_MOST_ROWS = 10  # of the table that is printed; table.csv and --json have all
_SEARCH = defaults(search)


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--space",
        required=True,
        metavar="FILE.toml",
        help=f"what to choose from: a file such as {FILE} with a table [space]. A parameter that it does not name has "
        "the default of fastnet train",
    )
    add_data_options(parser)
    add_table_options(parser)
    add_standardize_option(parser)
    group = parser.add_argument_group("the search")
    add_name(group, "--method", _SEARCH["method"], METHODS, "how settings are chosen: ")
    add_number(group, "--trials", _SEARCH["trials"], "number of settings; a grid has those of its space")
    add_number(group, "--seeds", _SEARCH["seeds"], "number of trainings with each setting")
    add_number(group, "--budget", _SEARCH["budget"], "epochs of a whole training")
    group.add_argument(
        "--metric",
        metavar="NAME",
        help="what to compare: accuracy, cost, r2, label_accuracy (default: accuracy, or r2 for numbers)",
    )
    group.add_argument(
        "--validation-split",
        type=_validation,
        default=_SEARCH["validation"],
        metavar="X",
        help="share of the training rows to hold out, the same rows for all settings; or a number of folds from 2, of "
        "which each training of a setting holds out another (default: %(default)s)",
    )
    add_number(group, "--jobs", None, "trainings at a time (default: one for each core)", int)
    add_number(group, "--seed", SEED, "seed of the search; the same seed gives the same table, whatever --jobs")
    add_backend_option(group)
    written = parser.add_argument_group("the results")
    written.add_argument(
        "--out",
        metavar="FOLDER",
        help="keep a journal in this folder, and write the best network and the table into it; after Ctrl-C or a kill "
        "the same command goes on where it was",
    )
    written.add_argument(
        "--save",
        metavar="FILE.npz",
        help="write the network of the best setting, trained again on all training rows; it takes raw values",
    )
    add_number(written, "--ensemble", None, "let --save write the mean of the networks of the N best settings", int)
    written.add_argument("--html", metavar="FILE.html", help="write a page of the search, to open in a browser")


def _validation(text: str) -> float | int:
    """Return a share, or a number of folds. The library checks both."""
    try:
        return int(text) if text.isdecimal() and text != "0" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a share such as 0.2 or a number of folds, not {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    _check(args)
    spaces = checked_spaces(read_space(args.space), args.method)
    choice = backends.resolve(args.backend)
    data = SearchData(args, load_data(args), spaces)
    if not args.json:
        print_result(args, facts(_about(args, data, choice)), {})
    found, best, saved = _searched(args, data)
    _write(args, found, data, best, saved)
    text, test = evaluate(saved, data.data, args.backend, 1)
    record = {**_record(args, found, data), "test": test, **_written(args)}
    if args.out is not None:
        _write_bytes(os.path.join(args.out, RECORD), json_text(record).encode())
    print_result(args, f"{_text(args, found)}\n\n{text}", record)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options and files that are wrong before anything is read or trained."""
    checks.name_of("method", args.method, METHODS)
    for name, least in (("trials", 1), ("seeds", 1), ("budget", 1), ("seed", 0)):
        checks.whole_number(name, getattr(args, name), least)
    if args.jobs is not None:
        checks.whole_number("jobs", args.jobs, 1)
    if args.ensemble is not None:
        checks.whole_number("ensemble", args.ensemble, 2)
        if args.save is None:
            raise ValueError("--ensemble needs a file for the networks: give --save too")
    if args.save is not None:
        results.check_file("--save", args.save, args)
        if is_safetensors_name(args.save) and args.ensemble is not None:
            raise DataError(f"--save {shown(args.save)}: several networks need a name that ends in .npz")
    if args.html is not None:
        results.check_file("--html", args.html, args)
        results.check_html("--html", args.html)
        from fastnet import report

        report.check_page()
    if args.out is not None:
        results.check_folder("--out", args.out)


def _about(args: argparse.Namespace, data: SearchData, choice: backends.Choice) -> dict[str, str]:
    """Return the lines printed before the search."""
    of = data.data
    alternatives = f"{len(data.spaces)} alternatives, " if len(data.spaces) > 1 else ""
    settings = "all settings" if args.method == "grid" else f"{args.trials:,} settings"
    parts = [part for part, step in zip(("the inputs", "the numbers to predict"), data.standard, strict=True) if step]
    lines = {"data": f"{of.name}: {of.n_train:,} examples to train, {of.n_test:,} to test"}
    if parts:
        lines["standardized"] = f"{' and '.join(parts)}; the saved network takes raw values"
    return {
        **lines,
        "space": f"{shown(args.space)}: {alternatives}{', '.join(_choices(data)) or 'nothing to choose'}",
        "search": f"{args.method}, {settings}, {args.seeds} training{'s' * (args.seeds > 1)} each, "
        f"{args.budget} epoch{'s' * (args.budget > 1)}, seed {args.seed}",
        **_resumed(args),
        "backend": f"{choice.name} ({choice.reason})",
    }


def _resumed(args: argparse.Namespace) -> dict[str, str]:
    already = finished(args.out)
    return {"resumed": f"after {already:,} trainings, which are in {shown(args.out)}"} if already else {}


def _choices(data: SearchData) -> list[str]:
    """Return the names of the parameters that are not fixed, in words."""
    choices = {
        name: None
        for space in data.spaces
        for name, value in space.items()
        if hasattr(value, "rvs") or (isinstance(value, list) and len(value) > 1)
    }
    return [name.replace("_", " ") for name in choices]


def _searched(args: argparse.Namespace, data: SearchData) -> tuple[SearchResult, Network, Model]:
    """Return the result, the best network and what --save writes. After Ctrl-C say how to go on."""
    metric = args.metric
    if metric is None:
        metric = "r2" if data.data.task == "regression" else "accuracy"
    stages, already = _stages(args, data), finished(args.out)
    with SearchProgress(stages, args.seeds, metric, quiet=args.quiet, already=already) as progress:
        try:
            found = search(
                data.spaces,
                data.x,
                data.y,
                validation=args.validation_split,
                method=args.method,
                trials=args.trials,
                seeds=args.seeds,
                budget=args.budget,
                metric=metric,
                n_jobs=-1 if args.jobs is None else args.jobs,
                seed=args.seed,
                folder=args.out,
                keep=max(_SEARCH["keep"], args.ensemble or 0),
                on_finished=progress,
            )
            progress.close()
            if args.out is not None:
                _write_bytes(os.path.join(args.out, TABLE), _csv(found).encode())
            return found, *_models(args, found, data)
        except KeyboardInterrupt:
            kept = "nothing is saved, since --out is not given"
            if args.out is not None:
                kept = f"they are saved in {shown(args.out)}; to continue, give the same command again"
            raise KeyboardInterrupt(f"after {progress.done:,} trainings; {kept}") from None


def _models(args: argparse.Namespace, found: SearchResult, data: SearchData) -> tuple[Network, Model]:
    """Train the best setting on all rows. Return its network and what --save writes.

    If there is no such model, print the table before the error, since a search may have taken hours.
    """
    try:
        best = data.for_raw_rows(found.refit().network)
        if args.ensemble is None:
            return best, best
        return best, Ensemble([data.for_raw_rows(network) for network in found.ensemble(args.ensemble)])
    except (FastnetError, ValueError):
        print_result(args, _table(found), _record(args, found, data))
        raise


def _stages(args: argparse.Namespace, data: SearchData) -> list[Rung]:
    """Return the rungs of a search by halving; of another search the one that all settings run."""
    n = len(grid(data.spaces)) if args.method == "grid" else args.trials
    if (args.ensemble or 0) > n * args.seeds:
        raise ValueError(f"--ensemble {args.ensemble} needs as many trainings, but the search has {n * args.seeds}")
    return rungs(n, args.budget) if args.method == "halving" else [Rung(n, args.budget)]


def _write(args: argparse.Namespace, found: SearchResult, data: SearchData, best: Network, saved: Model) -> None:
    if args.save is not None:
        saved.save(args.save)
    if args.out is not None:
        best.save(os.path.join(args.out, BEST))
    if args.html is not None:
        from fastnet import report

        with told_if_slow("drawing the pictures ...", args.quiet):
            report.write_search(args.html, found, data.data.name)


def _write_bytes(path: str, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def _csv(found: SearchResult) -> str:
    """Return the table of the settings as CSV, with a column for each parameter."""
    rows = []
    for one in found.standings:
        setting = {name: value_text(name, v) if isinstance(v, tuple) else v for name, v in one.setting.items()}
        results = {name: value for name, value in vars(one).items() if name not in ("rank", "number", "setting")}
        rows.append({"rank": one.rank, "number": one.number, **setting, **results})
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _written(args: argparse.Namespace) -> dict[str, str | None]:
    return {name: getattr(args, name) for name in ("save", "out", "html")}


def _record(args: argparse.Namespace, found: SearchResult, data: SearchData) -> dict[str, Any]:
    """Return what --json prints of a search, apart from the test."""
    rows = [vars(one) for one in found.standings]
    return {
        "fastnet": __version__,
        "data": data.data.name,
        "space": args.space,
        **{name: getattr(found.request, name) for name in _ASKED},
        "trainings": len(rows) * args.seeds,
        "best": rows[0] if found.has_best else None,
        "settings": rows,
    }


def _text(args: argparse.Namespace, found: SearchResult) -> str:
    """Return the result in words: the best settings as a table, and the best one as a line."""
    metric, standings = found.request.metric, found.standings
    best, names = standings[0], varied(standings)
    seconds = sum(one.seconds for one in standings)
    lines = {
        "best": f"setting {best.number}: {setting_line(best.setting, names or [*best.setting])}",
        metric_title(metric): f"{result_text(best, metric)} on the rows held out",
        "time": f"{duration(seconds)} of training in all",
    }
    if args.save is not None:
        what = "the network of the best setting, trained on all training rows"
        if args.ensemble is not None:
            what = f"the networks of the {args.ensemble} best settings, as one"
        lines["saved"] = f"{shown(args.save)}: {what}"
    lines |= {name: shown(getattr(args, name)) for name in ("out", "html") if getattr(args, name) is not None}
    return f"{_table(found)}\n\n{facts(lines)}"


def _table(found: SearchResult) -> str:
    """Return the best settings as a table with a title."""
    n, rows = len(found.standings), standing_rows(found.standings, found.request.metric, _MOST_ROWS)
    title = f"the best {len(rows) - 1} of {n:,} settings" if n > 1 else "the setting"
    return f"{title}\n{folded_table(rows, table_columns())}"


COMMAND = Command(
    "search",
    "train many networks with different settings and choose the best",
    (
        "fastnet search --space space.toml --data iris.csv --save best.npz",
        "fastnet search --space space.toml --data mnist --method halving --trials 128 \\\n"
        "      --out searches/digits --html digits.html",
        "fastnet search --space space.toml --data iris.csv --ensemble 5 --save five.npz",
    ),
    fill,
    run,
)
