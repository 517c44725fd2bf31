"""`fastnet convert`: writes a data set as a folder of shards, for data that do not fit in memory."""

from __future__ import annotations

import argparse
import shlex
from contextlib import closing

from fastnet import data as sets
from fastnet.cli.common import column_names, print_result
from fastnet.cli.options import Command, add_label_options, add_table_options, real, whole
from fastnet.cli.progress import RowsProgress
from fastnet.text import facts, shown


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "data", metavar="DATA", help="a CSV, Parquet, Arrow, NPZ or NPY file, a folder of such files, or a data set"
    )
    parser.add_argument("folder", metavar="FOLDER", help="the folder to write, which is new or empty")
    add_label_options(parser)
    parser.add_argument(
        "--test-fraction",
        type=real,
        default=0.0,
        metavar="X",
        help="share of the rows that go into the folder test/ inside FOLDER (default: %(default)g)",
    )
    add_table_options(parser)
    shards = parser.add_argument_group("the files")
    shards.add_argument("--rows-per-shard", type=whole, metavar="N", help="rows of a file (default: 64 MiB of inputs)")
    shards.add_argument(
        "--dtype",
        metavar="NAME",
        help="type of the inputs: float32, which takes half the room, or float64 (default: float64 for tables)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    with closing(RowsProgress()) as progress:
        done = sets.convert(
            args.data,
            args.folder,
            labels=args.labels,
            label_column=args.label_column,
            task=args.task,
            categorical=args.categorical or (),
            drop=args.drop or (),
            impute=bool(args.impute),
            pixels=bool(args.pixels),
            test_fraction=args.test_fraction,
            rows_per_shard=args.rows_per_shard,
            dtype=args.dtype,
            progress=None if args.quiet else progress,
        )
    schema = done.schema
    classes = f", {len(schema.class_names):,} classes" if schema.class_names else ", a regression"
    about = {
        "written": shown(args.folder),
        "rows": f"{done.n_train:,} to train, {done.n_test:,} to test",
        "inputs": f"{done.n_inputs:,} {done.dtype}{classes}",
        "files": f"{done.n_shards:,} shard{'s' * (done.n_shards != 1)}, {_size(done.n_bytes)}",
        "train with": f"fastnet train --data {shlex.quote(args.folder)}",
    }
    record = {
        "data": args.data,
        "folder": args.folder,
        **{name: value for name, value in done._asdict().items() if name != "schema"},
        "target": schema.target,
        "columns": column_names(schema),
        "feature_names": schema.feature_names,
        "class_names": schema.class_names,
    }
    print_result(args, facts(about), record)
    return 0


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:,.1f} kB"


COMMAND = Command(
    "convert",
    "write a data set as a folder of shards, for data that do not fit in memory",
    (
        "fastnet convert data.csv data.npy/ --label-column species --test-fraction 0.1",
        "fastnet convert tables/ data.npy/ --categorical city --impute --dtype float32",
    ),
    fill,
    run,
)
