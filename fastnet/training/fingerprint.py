"""A fingerprint of the data of a fit: a resumed fit must get the data of the interrupted one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.checks import AnyRows, kernel_rows
from fastnet.kernels import contract as c
from fastnet.training.fit import Fit
from fastnet.training.hashing import hash_of
from fastnet.training.inputs import Examples

SAMPLE_BYTES = 1 << 20  # a larger array is sampled: hashing takes one to two milliseconds per MiB


def fingerprint(fit: Fit) -> dict[str, str]:
    """Return a text for each part of a fit's data. Equal data have equal texts.

    Of large arrays only some rows count, so a change of other rows is not noticed.
    """
    updates = fit.updates
    if fit.feed is None:
        found = of_examples(Examples(updates.x, updates.y, updates.weights), "")
        found["the rows to train on"] = _array(fit.rows)
    else:
        found = of_examples(fit.feed.examples, "")
    if fit.validation is not None:
        found |= of_examples(fit.validation.examples, "validation ")
    return found | {"the batch size": str(updates.batch_size)}


def check_same(found: Mapping[str, str], recorded: Mapping[str, str]) -> None:
    """Raise ValueError if a fit's fingerprint is not the recorded one. The message names the first difference."""
    for name, how in differences(found, recorded):
        raise ValueError(
            f"{name} differs from the interrupted fit's ({how}): give fit the same arguments as before, or make a new "
            "Trainer to train on other data"
        )


def differences(found: Mapping[str, str], recorded: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each part that differs between two fingerprints, and how it differs, in words."""
    for name in {**recorded, **found}:
        new, old = found.get(name), recorded.get(name)
        if new != old:
            # The last word of a text is a hash.
            new_words, old_words = (text.rpartition(" ")[0] if text else "missing" for text in (new, old))
            yield name, f"{new_words}, not {old_words}" if new_words != old_words else "with other values"


def of_examples(examples: Examples, name: str) -> dict[str, str]:
    """Return the texts of examples, whose parts have names that begin with `name`."""
    x, y, weights, source = examples
    found = {f"{name}x": _rows(x), f"{name}y": _array(y)}
    if source is not None:
        found[f"the {name}source"] = f"{source.n_rows:,} rows with a shuffle_buffer of {source.shuffle_buffer} bytes"
    return found | ({f"the {name}sample weights": _array(weights)} if weights.size else {})


def _rows(x: AnyRows) -> str:
    n_in = x.n_in if isinstance(x, c.SparseRows) else x.shape[1]
    sample = kernel_rows(x[_sample(len(x), n_in * x.dtype.itemsize)])
    arrays = [sample.starts, sample.indices, sample.values] if isinstance(sample, c.SparseRows) else [sample]
    return f"{x.dtype} {(len(x), n_in)} {hash_of(*arrays).hex()}"


def _array(array: NDArray[Any]) -> str:
    numbers = _sample(len(array), array[:1].nbytes)
    return f"{array.dtype} {array.shape} {hash_of(array[numbers]).hex()}"


def _sample(n: int, row_bytes: int) -> c.Ints:
    """Return the numbers of the rows that count."""
    count = min(n, max(16, SAMPLE_BYTES // max(row_bytes, 1)))
    return np.arange(count) * n // max(count, 1)
