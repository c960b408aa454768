"""The row behind a point of a table, for pages: what stands in each column, and how unusual that is. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from engine.data.base import ImageData
from engine.data.table import shortest


@dataclass(frozen=True)
class Cell:
    """One column of a row: its value as it was written, what is usual there, and how far it is from that.

    ``apart`` of a number is its distance from the training mean in standard deviations. ``rank`` says how unusual a
    cell is on one scale: that distance without its sign, for a category the distance that would be as rare.
    """

    name: str
    value: str
    usual: str
    apart: float | None
    rank: float

    @property
    def text(self) -> str:
        """The cell in a few words: "age 72", "job: clerk"."""
        return f"{self.name}: {self.value}" if self.apart is None else f"{self.name} {self.value}"


def cells(data: ImageData, point: int) -> list[Cell]:
    """Return the row of a point column by column; 0 to N-1 are training rows, then test rows.

    Raises:
        IndexError: there is no such point.
    """
    if not 0 <= point < data.points:
        raise IndexError(f"there is no point {point}; {data.name} has {data.points}")
    train = len(data.y_train)
    row = (data.x_train[point] if point < train else data.x_test[point - train]).reshape(-1)  # (D,)
    row_cells, at = [], 0
    for column in data.columns:
        if column.categories:
            row_cells.append(_category(data, column.name, column.categories, row, at))
        else:
            row_cells.append(_number(data, column.name, float(row[at]), at))
        at += len(column.features)
    return row_cells


def unusual(data: ImageData, point: int, most: int = 3) -> list[Cell]:
    """Return the ``most`` cells of a row that are furthest from what is usual, the furthest first."""
    return sorted(cells(data, point), key=lambda cell: -cell.rank)[:most]


def shapes(data: ImageData) -> list[str]:
    """Return what each column holds: "number" or "category of 4"."""
    return [f"category of {len(c.categories)}" if c.categories else "number" for c in data.columns]


def frame(data: ImageData, points: Sequence[int]) -> pd.DataFrame:
    """Return rows as they were written, a text per column, indexed by point."""
    rows = [[cell.value for cell in cells(data, int(point))] for point in points]
    return pd.DataFrame(rows, index=[int(p) for p in points], columns=[column.name for column in data.columns])


def _number(data: ImageData, name: str, value: float, at: int) -> Cell:
    apart = (value - data.mean[at]) / data.std[at]
    return Cell(name, shortest(value), f"mean {data.mean[at]:.3g}", apart, abs(apart))


def _category(data: ImageData, name: str, categories: tuple[str, ...], row: np.ndarray, at: int) -> Cell:
    shares = data.mean[at : at + len(categories)]  # of the training rows
    chosen = int(row[at : at + len(categories)].argmax())
    share = min(1 - 1e-9, max(shares[chosen], 1 / (len(data.y_train) + 1)))
    return Cell(name, categories[chosen], f"in {shares[chosen]:.0%} of rows", None, NormalDist().inv_cdf(1 - share / 2))
