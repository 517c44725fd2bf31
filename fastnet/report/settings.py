"""The cards about the training: its settings, its time and its machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnet.report.parts import Card
from fastnet.report.subject import Subject
from fastnet.text import duration


def settings(subject: Subject) -> Card:
    """The card of the training's settings."""
    record, data = subject.run.record, subject.data
    dropout = record.get("dropout") or ()
    facts = [
        ("trained on", record.get("data")),
        ("tested here on", None if subject.is_of_same_data else data.name),
        ("standardized", _standardized(record.get("standardization") or {})),
        ("optimiser", _with_settings(record, "optimizer")),
        ("learning rate", _general(record.get("learning_rate"))),
        ("schedule", _with_settings(record, "schedule")),
        ("batch size", record.get("batch_size")),
        ("weight decay", _general(record.get("weight_decay") or None)),
        ("L2 penalty alpha", _general(record.get("alpha"))),
        ("dropout", ", ".join(f"{rate:g}" for rate in dropout) if any(dropout) else None),
        ("gradient clipped to", _general(record.get("clip_norm"))),
        ("epochs", record.get("epochs")),
        ("initial weights", record.get("init")),
        ("seed", record.get("seed")),
    ]
    known = [(name, str(value)) for name, value in facts if value is not None]
    if not known:
        sentence = "The settings are not known."
    elif record.get("seed") is None:
        sentence = "These are the settings of the training."
    else:
        sentence = "The same settings, backend, thread count and machine give the same network again."
    return Card("settings", "How it was made", sentence, facts=known)


def machine(subject: Subject) -> Card:
    """The card of the training's time and machine."""
    record, history = subject.run.record, subject.run.history
    examples = sum(history["examples"]) if history else 0
    seconds = record.get("seconds") or 0
    facts = [
        ("training time", duration(seconds) if seconds else None),
        ("an epoch", duration(seconds / len(history["epoch"])) if examples and seconds else None),
        ("examples a second", f"{examples / seconds:,.0f}" if examples and seconds else None),
        ("backend", " ".join(filter(None, (record.get("backend"), record.get("backend_version"))))),
        ("chosen because", record.get("backend_reason")),
        ("instruction set", record.get("instruction_set")),
        ("threads", record.get("threads")),
        ("inputs", record.get("inputs")),
        ("averaged", record.get("averaging")),
        ("processor", record.get("processor")),
        ("cores", record.get("cores")),
        ("fastnet, NumPy, Python", ", ".join(str(record[n]) for n in ("fastnet", "numpy", "python") if n in record)),
        ("date", str(record.get("date", ""))[:16].replace("T", " ")),
    ]
    known = [(name, str(value)) for name, value in facts if value]
    sentence = "The training took this long on this machine."
    return Card("machine", "Time and machine", sentence if known else "Time and machine are not known.", facts=known)


def _with_settings(record: Mapping[str, Any], name: str) -> str | None:
    """The name of an optimiser or a schedule, with its settings. Settings that are 0 or False are left out."""
    settings = {key: value for key, value in record.get(f"{name}_settings", {}).items() if value}
    told = ", ".join(key if value is True else f"{key} {value:g}" for key, value in settings.items())
    return f"{record[name]} ({told})" if told else record.get(name)


def _standardized(found: Mapping[str, Any]) -> str | None:
    """What was standardized for the training, in words; None for nothing."""
    return " and ".join(part for part in ("inputs", "targets") if found.get(part)) or None


def _general(value: Any) -> str | None:
    return None if value is None else f"{value:g}"
