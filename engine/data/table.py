"""From the columns of a table to the record everything learns from: missing values filled, categories spread out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.base import Column, DataError, ImageData

FEATURES = 2_000
"""Most values a row may have after categories are spread out."""
LARGEST = 2 << 30
"""Most bytes of a table in memory."""
MISSING = "missing"
"""The category of a cell that holds nothing."""
_NOTES = 12
"""Most sentences about missing values; a table of a thousand columns would say the same a thousand times."""


@dataclass(frozen=True, eq=False)
class Raw:
    """One column as it was read: ``values`` (N,) are numbers, or places in ``categories``; NaN is an empty cell."""

    name: str
    values: np.ndarray
    categories: tuple[str, ...] = ()


def table_data(
    *,
    name: str,
    columns: Sequence[Raw],
    labels: np.ndarray,
    classes: Sequence[str],
    test: np.ndarray,
    notes: Sequence[str] = (),
    target: str = "",
) -> ImageData:
    """Fill what is missing, spread categories out, measure mean and deviation, and return the finished record.

    A missing number becomes the median of the training rows, a missing category one of its own, "missing"; a column
    without any value is left out. ``notes`` gains a sentence about each. A category becomes one 0-or-1 feature per
    value. Numbers are to be standardised by the training rows; 0-or-1 features are only centred, because a rare
    category divided by its small deviation would drown everything else.

    Args:
        name: of the data set.
        columns: each with N values.
        labels: int (N,), places in ``classes``.
        classes: their names.
        test: bool (N,), true for a test row.
        notes: sentences on how the table was read so far.
        target: the column that held the labels, as its owner calls it.

    Raises:
        DataError: no column with values, too many features, a number too large, one class only, a split without rows.
    """
    sentences: list[str] = []
    filled: list[Raw] = []
    for raw in columns:
        empty = np.isnan(raw.values)  # (N,)
        if empty.all():
            sentences.append(f"{raw.name} is empty in every row and was left out.")
        elif not empty.any():
            filled.append(raw)
        elif raw.categories:
            sentences.append(f"{_rows(empty)} had no {raw.name}: they are a category of their own, “{MISSING}”.")
            filled.append(_with_missing(raw, empty))
        elif empty[~test].all():
            raise DataError(f"{name}: {raw.name} has values in test rows only; remove that column")
        else:
            median = np.float32(np.median(raw.values[~test & ~empty]))
            sentences.append(
                f"{_rows(empty)} had no {raw.name}: filled with {shortest(median)}, the median of the training rows."
            )
            filled.append(Raw(raw.name, np.where(empty, median, raw.values)))
    if not filled:
        raise DataError(f"{name}: there is no column with values besides the one to predict")
    widths = [len(raw.categories) or 1 for raw in filled]
    if sum(widths) > FEATURES:
        raise DataError(
            f"{name}: a row would have {sum(widths):,} values once categories are spread out, more than {FEATURES:,}; "
            "leave out columns or join rare categories"
        )
    if len(labels) * sum(widths) * 4 > LARGEST:
        raise DataError(
            f"{name}: {len(labels):,} rows of {sum(widths):,} values take more than {LARGEST >> 30} GiB; use fewer"
        )
    x = np.zeros((len(labels), sum(widths)), np.float32)  # (N, D)
    for raw, start in zip(filled, np.cumsum([0, *widths[:-1]]), strict=True):
        if raw.categories:
            x[np.arange(len(x)), start + raw.values.astype(np.int64)] = 1
        else:
            _check_size(name, raw)
            x[:, start] = raw.values
    mean = x[~test].mean(axis=0, dtype=np.float64)  # (D,)
    std = x[~test].std(axis=0, dtype=np.float64)  # (D,)
    spread = np.repeat([bool(raw.categories) for raw in filled], widths)  # (D,)
    std[spread | (std == 0)] = 1.0
    for what, chosen in (("training", ~test), ("test", test)):
        if not chosen.any():
            raise DataError(f"{name}: there are no {what} rows; a table needs more rows than that")
    if len(classes) < 2:
        raise DataError(f"{name}: a classifier needs at least two classes, found {len(classes)}")
    more = len(sentences) - _NOTES
    if more > 0:
        sentences[_NOTES:] = [f"{more:,} more columns had missing values and were treated alike."]
    return ImageData(
        name=name,
        classes=tuple(classes),
        x_train=x[~test][:, :, None, None],  # (N, D, 1, 1)
        y_train=labels[~test].astype(np.int64),
        x_test=x[test][:, :, None, None],
        y_test=labels[test].astype(np.int64),
        top=1,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        columns=tuple(Column(raw.name, raw.categories) for raw in filled),
        notes=(*notes, *sentences),
        target=target,
    )


def shortest(value: float) -> str:
    """Return a number in the fewest digits that name this float32, without ".0"."""
    return str(np.float32(value)).removesuffix(".0")


def _rows(chosen: np.ndarray) -> str:
    count = int(chosen.sum())
    return "1 row" if count == 1 else f"{count:,} rows"


def _with_missing(raw: Raw, empty: np.ndarray) -> Raw:
    categories = raw.categories if MISSING in raw.categories else (*raw.categories, MISSING)
    return Raw(raw.name, np.where(empty, categories.index(MISSING), raw.values), categories)


def _check_size(name: str, raw: Raw) -> None:
    most = float(np.abs(raw.values).max())
    if not most < 1e30:  # squares of standardised values must stay far from float32's end
        raise DataError(f"{name}: {raw.name} holds a number of size {most:.3g}; scale that column or leave it out")
