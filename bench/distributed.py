"""Trainings on 1, 2 and 4 processes of MPI beside the speeds that the model predicts, and the times of an Allreduce.

`python -m fastnet.bench.distributed docs/how-to/many-machines.md` starts mpiexec itself, takes some minutes and writes
two tables into the page. With more processes than cores the processes share the cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from fastnet import backends
from fastnet.backends import machine
from fastnet.bench import pages, report
from fastnet.bench.workloads import WORKLOADS, Images, Setup, Workload, load_images
from fastnet.distributed import Cluster, Work, plan
from fastnet.distributed.measuring import measured_allreduce, measured_cluster, work_of
from fastnet.errors import FastnetError, require_extra
from fastnet.text import duration
from fastnet.training.trainer import Trainer

SECTION = "distributed"
NAMES = ("W1", "W3", "W5", "W6")
PROCESSES = (1, 2, 4)
EVERY = (1, 4, 16, 64, 256)
EPOCHS = 3  # the shortest counts
OVERSUBSCRIBE = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def rows_of(workload: Workload, rows: int) -> int:
    """Return how many images a training on the workload uses."""
    return rows if workload.name != "W6" else max(rows // 5, 4 * workload.batch_size)


def examples_per_second(workload: Workload, images: Images, communicator: Any, every: int) -> float:
    """Return the speed of a training of all processes, each on its part of the images."""
    settings = {} if communicator.size == 1 else {"communicator": communicator, "averaging": every}
    trainer = trainer_of(workload, **settings)
    x, y = (values[communicator.rank :: communicator.size] for values in (images.x, images.y))
    trainer.fit(x, y, epochs=1)
    return float(len(images.x) / min(trainer.fit(x, y, epochs=EPOCHS)["seconds"][-EPOCHS:]))


def trainer_of(workload: Workload, **settings: Any) -> Trainer:
    """Return a trainer of the workload with a new network."""
    return workload.trainer(workload.network("float32"), Setup(backends.resolve().name), **settings)


def worker(names: Sequence[str], rows: int) -> None:
    """Measure in one of the processes that mpiexec has started. The first process prints a line of JSON."""
    from mpi4py import MPI

    communicator = MPI.COMM_WORLD
    images = load_images()
    found: dict[str, Any] = {"processes": communicator.size, "speeds": {}, "work": {}, "allreduce": {}}
    for name in names:
        workload = WORKLOADS[name]
        n = rows_of(workload, rows)
        part = images._replace(x=images.x[:n], y=images.y[:n])
        ways = EVERY if communicator.size > 1 else (1,)
        found["speeds"][name] = {k: examples_per_second(workload, part, communicator, k) for k in ways}
        if communicator.size == 1:

            def start(workload: Workload = workload, **averaging: Any) -> Trainer:
                return trainer_of(workload, **averaging)

            found["work"][name] = dataclasses.asdict(work_of(start, part.x, part.y, workload.batch_size))
        else:
            n_parameters = workload.network("float32").n_parameters
            found["allreduce"][n_parameters] = measured_allreduce(communicator, 4 * n_parameters)
    if communicator.size > 1:
        found["cluster"] = dataclasses.asdict(measured_cluster(communicator, straggler=0))
    if communicator.rank == 0:
        print(json.dumps(found), flush=True)


def measured(processes: int, names: Sequence[str], rows: int) -> dict[str, Any]:
    """Start the workers and return what they measured."""
    mpiexec = shutil.which("mpiexec")
    if mpiexec is None:
        raise FastnetError('mpiexec is missing: python -m pip install "fastnet-mlp[mpi]"')
    command = [mpiexec, "-n", str(processes), sys.executable, "-m", __spec__.name, "--worker"]
    command += ["--rows", str(rows), "--workloads", *names]
    done = subprocess.run(command, env=os.environ | OVERSUBSCRIBE, capture_output=True, text=True)
    if done.returncode:
        raise FastnetError(f"{shlex.join(command)} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def predicted(work: dict[str, Any], cluster: dict[str, Any], processes: int, every: int) -> float:
    """Return the model's examples per second. Processes that share a core take turns on it."""
    shared = max(1.0, processes / (os.cpu_count() or 1))
    slower = {name: work[name] * shared for name in ("update_seconds", "gradient_seconds", "average_seconds")}
    points = plan(Work(**(work | slower)), Cluster(**cluster), processes=[processes], every=[every])
    return next(point.examples_per_second for point in points if point.every == every)


def speeds(runs: Sequence[dict[str, Any]]) -> report.Section:
    """Return the table of the measured and the predicted speeds."""
    alone = runs[0]
    records = []
    for name, single in alone["speeds"].items():
        for run in runs[1:]:
            for every, speed in run["speeds"][name].items():
                found = predicted(alone["work"][name], run["cluster"], run["processes"], int(every))
                records.append(
                    {
                        "workload": name,
                        "network": WORKLOADS[name].layers,
                        "batch_size": WORKLOADS[name].batch_size,
                        "processes": run["processes"],
                        "every": int(every),
                        "examples_per_second": speed,
                        "predicted": found,
                        "speedup": speed / single["1"],
                        "predicted_speedup": found / single["1"],
                    }
                )
    rows = [
        (
            *(f"{r['network']}, {r['batch_size']}", f"{r['processes']}", f"{r['every']}"),
            *(f"{r['examples_per_second'] / 1e3:,.0f}", f"{r['predicted'] / 1e3:,.0f}"),
            *(report.ratio(r["speedup"]), report.ratio(r["predicted_speedup"])),
        )
        for r in records
    ]
    columns = ("network, batch", "processes", "every", "1,000 examples/s", "model", "speed-up", "model")
    inputs = "; ".join(
        f"{run['processes']} processes: latency {duration(run['cluster']['latency'])}, bandwidth "
        f"{run['cluster']['bandwidth'] / 1e9:.2g} GB/s"
        for run in runs[1:]
    )
    updates = ", ".join(
        f"{WORKLOADS[name].layers} at {WORKLOADS[name].batch_size} {duration(work['update_seconds'])} "
        f"({duration(work['gradient_seconds'])} with averaged gradients, and "
        f"{duration(work['average_seconds'])} for an average of the parameters)"
        for name, work in alone["work"].items()
    )
    note = (
        f"MNIST as bytes, plain gradient descent, every: updates between two averages. The speed-up is that over one "
        f"process without a communicator. Measured inputs of the model: {inputs}; an update on one process: {updates}. "
        f"The model assumes no stragglers here, and that processes that share a core take turns. The machine has "
        f"{os.cpu_count()} cores."
    )
    return report.Section("speeds", "Real runs beside the model", columns, rows, note, records, 1)


def messages(runs: Sequence[dict[str, Any]]) -> report.Section:
    """Return the table of the times of an Allreduce."""
    sizes = list(runs[1]["allreduce"])
    rows = [(f"{int(n):,}", *(duration(run["allreduce"][n]) for run in runs[1:])) for n in sizes]
    records = [{"floats": int(n), "seconds": {r["processes"]: r["allreduce"][n] for r in runs[1:]}} for n in sizes]
    columns = ("floats of 4 bytes", *(f"{run['processes']} processes" for run in runs[1:]))
    note = "Medians of 50 Allreduces between processes of this machine."
    return report.Section("allreduce", "The time of an Allreduce", columns, rows, note, records, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m fastnet.bench.distributed", description=__doc__.splitlines()[0])
    parser.add_argument(
        "page", nargs="?", help=f"write the tables between its lines {' and '.join(pages.markers(SECTION))}"
    )
    parser.add_argument("--rows", type=int, default=60_000, metavar="N", help="images (default: %(default)s)")
    parser.add_argument("--workloads", nargs="+", default=NAMES, choices=NAMES, metavar="NAME", help="default: all")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    require_extra("mpi4py", "these runs need mpi4py", "mpi")
    if options.worker:
        worker(options.workloads, options.rows)
        return 0
    try:
        if options.page:
            pages.split(options.page, SECTION)  # raises before minutes of work
        runs = []
        for processes in PROCESSES:
            print(f"{processes} processes ...", file=sys.stderr, flush=True)
            runs.append(measured(processes, options.workloads, options.rows))
    except (FastnetError, OSError) as error:
        print(f"fastnet.bench.distributed: error: {error}", file=sys.stderr)
        return 2
    sections = [speeds(runs), messages(runs)]
    if not options.page:
        print(report.text(sections, machine.facts()))
        return 0
    command = shlex.join(["python", "-m", "fastnet.bench.distributed", *given])
    about = f"Backend: {backends.resolve().name}. Machine: {machine.processor()}. Written by `{command}`."
    parts = [
        part
        for section in sections
        for part in (report.table(section.columns, section.rows, section.text_columns), report.paragraph(section.note))
    ]
    pages.write(options.page, SECTION, "\n\n".join([*parts, report.paragraph(about)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
