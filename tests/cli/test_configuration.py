"""run.toml, --config, --set, --show-config and the environment of `fastnet train`."""

from __future__ import annotations

import random
import re
import tomllib
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pytest
from cli_cases import FIT, error, flowers, pictures, prices, record
from pairwise import cover

import fastnet
from fastnet import cli
from fastnet.cli.configuration import PREFIX
from fastnet.training.configuration import Configuration, read_configuration


def train(*arguments: object) -> None:
    assert cli.main(["train", *map(str, arguments), "--quiet"]) == 0


def parameters(folder: Path) -> bytes:
    return fastnet.Network.load(folder / "network.npz").parameters.tobytes()


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Return the options that --show-config prints."""
    options = record(capsys, "train", *arguments, "--show-config")["options"]
    assert isinstance(options, dict)
    return options


def data_sets(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return data of each kind that has its own defaults, as options."""
    x, _ = pictures(60, 0)
    np.savez(folder / "brightness.npz", x=x, y=x.mean(axis=(1, 2)) / 255)  # pixels with numbers to predict
    return {
        "classes of pictures": ("--data", str(folder / "bands.npz")),
        "numbers of pictures": ("--data", str(folder / "brightness.npz"), "--task", "regression"),
        "classes of a table": ("--data", flowers(folder, 60)[0], "--drop", "width"),
        "numbers of a table": ("--data", prices(folder, 60)[0], "--label-column", "1"),
    }


AXES: dict[str, tuple[str, ...]] = {
    "data": ("classes of pictures", "numbers of pictures", "classes of a table", "numbers of a table"),
    "optimizer": ("", "--optimizer momentum --momentum 0.8 --learning-rate 0.003", "--optimizer adam", "--nesterov"),
    "end": ("--epochs 3", "--epochs 6 --patience 2 --validation-split 0.25", "--epochs 2 --patience 0 --no-shuffle"),
    "network": ("", "--dropout 0.2", "--dtype float64 --activation tanh --init normal"),
    "kernels": ("--backend numpy", "--backend cython --threads 2", "--backend cython --sparse yes"),
    "rest": ("", "--seed 7 --schedule exponential --warmup 1", "--clip-norm 0.5 --weight-decay 0.01 --batch-size 7"),
}


def _drawn(n: int) -> list[tuple[str, ...]]:
    rng = random.Random(0)
    return [tuple(map(rng.choice, AXES.values())) for _ in range(n)]


@pytest.mark.parametrize("case", [*cover(*AXES.values()), *_drawn(3)], ids=" ".join)
def test_a_run_is_repeated_to_the_same_bits(case: tuple[str, ...], folder: Path) -> None:
    conftest.load_backend("cython")
    data, *options = case
    words = " ".join(options).replace("--nesterov", "--optimizer momentum --nesterov --learning-rate 0.003").split()
    train(*data_sets(folder)[data], *words, "--out", folder / "a")
    train("--config", folder / "a" / "run.toml", "--out", folder / "b")
    first, second = (read_configuration(folder / name / "run.toml") for name in "ab")
    assert parameters(folder / "a") == parameters(folder / "b")
    assert first.options == second.options
    assert first.record["data"] == {**second.record["data"], "given": first.record["data"]["given"]}
    assert first.changes(second) == []
    assert read_configuration(folder / "a" / "run.toml").text() == (folder / "a" / "run.toml").read_text()


def test_the_file_has_every_option_and_what_the_run_was_made_with(
    folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train("--data", data, *FIT, "--out", folder / "a", "--save", folder / "m.npz")
    found = tomllib.loads((folder / "a" / "run.toml").read_text())
    assert list(found) == ["options", "results", "run", "data", "versions", "machine", "backend"]
    options = found["options"]
    assert cli.main(["train", "--help"]) == 0
    known = {name.replace("-", "_") for name in re.findall(r"^  --([a-z0-9-]+)", capsys.readouterr().out, re.M)}
    apart = {"quiet", "json", "config", "set", "show_config", "resume"}
    apart |= {"save", "history", "out", "report", "checkpoint_every"}
    left_out = {
        "data_dir",
        "labels",
        "label_column",
        "pixels",
        "test_fraction",
        "task",
        "categorical",
        "drop",
        "impute",
    }
    left_out |= {"nesterov", "momentum", "beta1", "beta2", "clip_norm", "averaging"}  # none of these has a value here
    assert set(options) == known - apart - left_out
    assert (options["learning_rate"], options["output"], options["data"]) == (0.5, "sigmoid", data)
    assert found["results"] == {"save": str(folder / "m.npz")}
    assert found["backend"]["name"] == options["backend"] in found["backend"]["reason"] + "cython numba numpy"
    assert found["versions"]["fastnet"] == fastnet.__version__
    (folder / "m.npz").unlink()
    train("--config", folder / "a" / "run.toml")  # the results of the first run are not replaced
    assert not (folder / "m.npz").exists()


def test_what_depends_on_the_data_or_on_other_options_is_recorded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = data_sets(folder)
    names = ("learning_rate", "beta1", "momentum", "test_fraction", "standardize", "layers", "cost")
    found = {name: [shown(capsys, *sets[name]).get(option) for option in names] for name in sets}
    assert found == {
        "classes of pictures": [0.5, None, None, None, False, [64, 16, 16, 3], "squared_error"],
        # The targets of pictures are standardized, their pixels are not: --standardize has no word for this.
        "numbers of pictures": [0.001, 0.9, None, 0.2, None, [64, 100, 1], "squared_error"],
        "classes of a table": [0.001, 0.9, None, 0.2, True, [1, 100, 2], "cross_entropy"],
        "numbers of a table": [0.001, 0.9, None, 0.2, True, [2, 100, 1], "squared_error"],
    }
    standardized = record(capsys, "train", *sets["numbers of pictures"], "--epochs", 1)["standardization"]
    assert (standardized["inputs"], set(standardized["targets"])) == (None, {"means", "deviations"})


def test_flags_count_more_than_the_environment_and_the_environment_more_than_the_file(
    folder: Path, data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.toml").write_text(f"[options]\ndata = '{data}'\nbatch_size = 11\nepochs = 4\nseed = 5\n")
    config = ("--config", folder / "mine.toml")
    monkeypatch.setenv(f"{PREFIX}BATCH_SIZE", "12")
    monkeypatch.setenv(f"{PREFIX}EPOCHS", "6")
    monkeypatch.setenv(f"{PREFIX}SEED", "")  # as if it were not set
    monkeypatch.setenv(f"{PREFIX}NO_SHUFFLE", "yes")
    names = ("batch_size", "epochs", "seed", "no_shuffle")
    for words, expected in {
        "": (12, 6, 5, True),
        "--batch-size 13": (13, 6, 5, True),
        "--set batch_size=13 --set no_shuffle=false": (13, 6, 5, False),
        "--batch-size 13 --set batch_size=14": (14, 6, 5, True),  # the last one counts, as for any option given twice
        "--set batch_size=14 --batch-size 13": (13, 6, 5, True),
        "--set batch_size= --set no_shuffle=": (10, 6, 5, False),
        "--set seed=": (12, 6, 0, True),
    }.items():
        found = shown(capsys, *config, *words.split())
        assert tuple(found[name] for name in names) == expected, words


def test_every_kind_of_option_means_the_same_in_all_places(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = flowers(folder, 60)
    values: dict[str, tuple[str, str]] = {  # the TOML value, and the flag
        "data": (f'"{path}"', f"--data {path}"),
        "label_column": ("3", "--label-column 3"),
        "drop": ('["width"]', "--drop width"),
        "impute": ("true", "--impute"),
        "layers": ("[1, 5, 4, 2]", "--layers 1,5,4,2"),
        "activation": ('["relu", "tanh"]', "--activation relu,tanh"),
        "dropout": ("[0.1, 0.25]", "--dropout 0.1,0.25"),
        "learning_rate": ("1e-3", "--learning-rate 1e-3"),
        "standardize": ("false", "--no-standardize"),
        "threads": ('"auto"', "--threads auto"),
        "seed": ("123456789012345678901234567890", "--seed 123456789012345678901234567890"),
    }
    (folder / "mine.toml").write_text("[options]\n" + "".join(f"{name} = {v}\n" for name, (v, _) in values.items()))
    flags = shown(capsys, *" ".join(flag for _, flag in values.values()).split())
    assert (flags["label_column"], flags["layers"], flags["standardize"]) == (3, [1, 5, 4, 2], False)
    assert shown(capsys, "--config", folder / "mine.toml") == flags
    for name, (value, _) in values.items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", re.sub(r'[\[\]" ]', "", value))
    assert shown(capsys) == flags


def test_show_config_prints_a_file_to_train_with_and_writes_nothing(
    folder: Path, data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastnet.Trainer, "fit", lambda *arguments, **options: pytest.fail("it was trained"))
    before = sorted(folder.iterdir())
    arguments = ("train", "--data", data, *FIT, "--out", str(folder / "a"), "--show-config")
    assert cli.main([*arguments]) == 0
    text, err = capsys.readouterr()
    assert (sorted(folder.iterdir()), err) == (before, "")
    (folder / "shown.toml").write_text(text)
    assert read_configuration(folder / "shown.toml").options == shown(capsys, "--config", folder / "shown.toml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "[options]\nseed = 1\nbatch_sise = 3",
            ", line 3: there is no option 'batch_sise'; did you mean 'batch_size'?",
        ),
        ("[options]\nlr = 3", ", line 2: there is no option 'lr'; did you mean 'learning_rate'?"),
        ("[options]\nout = 'x'", ", line 2: out is not part of a configuration: give --out on the command line"),
        ("[options]\nconfig = 'x'", "config is not part of a configuration: give --config on the command line"),
        ("[options]\nleft_out = 'x'", "there is no option 'left_out'"),
        (
            "[options]\nbatch_size = 'ten'",
            ", line 2: argument --batch-size: expected a whole number such as 10, not 'ten'",
        ),
        ("[options]\nbatch_size = '10'", "batch_size is a number: write batch_size = 10 without quotes"),
        ("[options]\nbatch_size = 2.5", "expected a whole number such as 10, not '2.5'"),
        ("[options]\nbatch_size = true", "batch_size takes a value, not true"),
        ("[options]\nbatch_size = 0", "error: --batch-size must be at least 1"),
        ("[options]\nno_shuffle = 1", "no_shuffle must be true or false, not 1"),
        ("[options]\nsparse = 'maybe'", "--sparse: invalid choice: 'maybe'"),
        ("[options]\nseed = 2020-01-01", ", line 2: seed must be a text, a number, true, false or a list of these"),
        ("[options]\nseed = {a = 1}", "seed must be a text, a number"),
        ("[options]\ndrop = ['a,b']", "drop holds a name with a comma"),
        ("seed = 1", "seed stands in no table: write it below a line [options]"),
        ("[run]\nx = 1", "has no table [options]: give a run.toml of fastnet train --out"),
        (
            "[run]\nformat = 'fastnet run.toml 9'\n[options]",
            "has the format fastnet run.toml 9, not 'fastnet run.toml 1'",
        ),
        ("[options\n", "is no TOML file (Expected ']' at the end of a table declaration (at line 1, column 9))"),
        ("[options]\nx = " + "[" * 5000, "nested too deeply"),
        ("[options]\nx = " + "9" * 5000, "is no TOML file"),
        ("\udcff", "is no TOML file"),
        (" " * (1 << 20) + "\n", "1,048,577 bytes; a configuration has at most 1,048,576"),
    ],
)
def test_an_unusable_file_is_refused(content: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "mine.toml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    found = error(capsys, "train", "--config", path, "--data", folder / "bands.npz")
    assert said in found
    assert "mine.toml" in found or "error: --" in found


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ("--set batch_size", {}, "--set batch_size: expected a name and a value such as batch_size=32"),
        ("--set batch-size=3", {}, "--set batch-size=3: there is no option 'batch-size'; did you mean 'batch_size'?"),
        ("--set batchsize=", {}, "there is no option 'batchsize'; did you mean 'batch_size'?"),
        ("--set epochs=many", {}, "--set epochs=many: argument --epochs: expected a whole number"),
        ("--set save=x", {}, "save is not part of a configuration: give --save on the command line"),
        ("--config nowhere.toml", {}, "there is no file nowhere.toml"),
        (
            "",
            {"EPOCS": "3"},
            "the environment variable FASTNET_TRAIN_EPOCS: there is no option 'epocs'; did you mean 'epochs'?",
        ),
        ("", {"EPOCHS": "x"}, "the environment variable FASTNET_TRAIN_EPOCHS: argument --epochs: expected a whole"),
        ("", {"VALIDATE": "maybe"}, "FASTNET_TRAIN_VALIDATE: validate must be true or false, not 'maybe'"),
    ],
)
def test_an_unusable_setting_is_refused_where_it_stands(
    arguments: str,
    variables: dict[str, str],
    said: str,
    data: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    assert said in error(capsys, "train", "--data", data, *arguments.split())


@pytest.mark.filterwarnings("always")
def test_other_data_and_another_machine_are_named(folder: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    train("--data", data, *FIT, "--out", folder / "a")
    path = folder / "a" / "run.toml"
    repeat = ("train", "--config", str(path))
    assert cli.main([*repeat]) == 0
    assert "fastnet: " not in capsys.readouterr().err
    assert cli.main([*repeat, "--set", "test_fraction=", "--set", "threads=1"]) == 0
    assert "fastnet: " not in capsys.readouterr().err
    text = (
        path.read_text()
        .replace(f'numpy = "{np.__version__}"', 'numpy = "1.0"')
        .replace("usable_cores = ", "usable_cores = 9")
    )
    path.write_text(text)
    (x, y), (x_test, y_test) = pictures(120, 0), pictures(30, 1)
    x[5, 5, 5] ^= 1
    np.savez(data, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    assert cli.main([*repeat]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fastnet: ")]
    assert lines == [
        f"fastnet: warning: the data {data} are not those of {path}: the values differ",
        f"fastnet: note: the last bits may differ from those of {path}: numpy {np.__version__} in place of 1.0",
    ]
    assert cli.main([*repeat, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_name_that_is_not_unicode_cannot_be_recorded(folder: Path) -> None:
    with pytest.raises(fastnet.DataError, match=r"cannot hold the name x.udcff, which is not Unicode: rename the file"):
        Configuration({"data": "x\udcff"}).save(folder / "run.toml")
    assert not (folder / "run.toml").exists()
