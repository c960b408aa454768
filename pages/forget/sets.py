"""What is done with sets of training pictures: combine them, find them inside a drawn line, find twins left behind.

Plain arithmetic on numbers of pictures, int64, sorted, each once; nothing here draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

MODES: Mapping[str, str] = MappingProxyType(
    {"replace": "Only these", "add": "Add", "remove": "Take away", "intersect": "Keep common"}
)
"""How named pictures are combined with those chosen so far, by key."""
MOST_CORNERS = 2000
_BLOCK = 1 << 22


def combine(chosen: np.ndarray, named: np.ndarray, mode: str) -> np.ndarray:
    """Return ``chosen`` combined with ``named`` by one of :data:`MODES`, int64 sorted.

    Raises:
        ValueError: no such mode.
    """
    if mode == "replace":
        return np.unique(named).astype(np.int64)
    work = {"add": np.union1d, "remove": np.setdiff1d, "intersect": np.intersect1d}.get(mode)
    if work is None:
        raise ValueError(f"there is no way {mode!r} to combine sets")
    return work(chosen, named).astype(np.int64)


def inside(polygon: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return which points (N, 2) lie inside the closed polygon (K, 2), bool (N,), by the even-odd rule.

    Only points in the polygon's bounding box are looked at, in blocks, so memory stays at some 30 MB.

    Raises:
        ValueError: not three to 2,000 finite corners.
    """
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1:] != (2,) or not 3 <= len(corners) <= MOST_CORNERS:
        raise ValueError("a line around pictures has three to 2,000 corners, each with two numbers")
    if not np.isfinite(corners).all():
        raise ValueError("a line around pictures has corners that are no numbers")
    within = np.zeros(len(xy), bool)
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(((xy >= low) & (xy <= high)).all(axis=1))
    x1, y1 = corners.T  # (K,) each
    x2, y2 = np.roll(corners, -1, axis=0).T
    rise = np.where(y2 == y1, 1.0, y2 - y1)  # a level edge crosses no line to the right
    rows = max(1, _BLOCK // len(corners))
    for start in range(0, len(near), rows):
        ids = near[start : start + rows]
        x, y = xy[ids, :1].astype(np.float64), xy[ids, 1:].astype(np.float64)  # (n, 1) each
        crosses = (y1 > y) != (y2 > y)  # (n, K): the edge spans the point's height
        left = x < (x2 - x1) * (y - y1) / rise + x1  # (n, K): and passes to the right of it
        within[ids] = (crosses & left).sum(axis=1) % 2 == 1
    return within


@dataclass(frozen=True, eq=False)
class Alike:
    """Pairs of training pictures that are nearly the same: ``first`` < ``second`` (E,), ``distance`` float32 (E,)."""

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, neighbours: np.ndarray, distance: np.ndarray, near: float) -> Alike:
        """Return the pairs closer than ``near``, or equal, among each picture's neighbours (N, K), each pair once."""
        rows, column = np.nonzero((distance < near) | (distance == 0))
        others = neighbours[rows, column].astype(np.int64)
        pairs = np.stack([np.minimum(rows, others), np.maximum(rows, others)], axis=1)  # (e, 2)
        _, once = np.unique(pairs, axis=0, return_index=True)
        return cls(pairs[once, 0], pairs[once, 1], distance[rows[once], column[once]])

    def left(self, chosen: np.ndarray) -> Alike:
        """Return the pairs of which one picture is chosen (then in ``first``) and its twin, ``second``, is not.

        Nearest pairs come first. Several chosen pictures may have the same twin.
        """
        here = _mask(chosen, self.first, self.second)
        forgotten, stays = here[self.first], here[self.second]
        split = forgotten != stays
        turn = stays[split]
        first = np.where(turn, self.second[split], self.first[split])
        second = np.where(turn, self.first[split], self.second[split])
        order = np.lexsort((first, second, self.distance[split]))
        return Alike(first[order], second[order], self.distance[split][order])

    def spread(self, chosen: np.ndarray) -> np.ndarray:
        """Return ``chosen`` with every twin, and the twins of those, until no pair is split; int64 sorted."""
        here = _mask(chosen, self.first, self.second)
        while True:
            split = here[self.first] != here[self.second]
            if not split.any():
                return np.flatnonzero(here)
            here[self.first[split]] = True
            here[self.second[split]] = True

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)


def _mask(chosen: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    top = max((int(ids.max()) + 1 for ids in (chosen, first, second) if len(ids)), default=0)
    here = np.zeros(top, bool)
    here[chosen] = True
    return here


@dataclass(frozen=True)
class Share:
    """One class in a selection: its name, how many of its training pictures are chosen, how many there are."""

    name: str
    chosen: int
    total: int


def composition(chosen: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> list[Share]:
    """Return how many pictures of each class are chosen; ``labels`` (N,) of all training pictures."""
    total = np.bincount(labels, minlength=len(classes))  # (C,)
    here = np.bincount(labels[chosen], minlength=len(classes))  # (C,)
    return [Share(name, int(a), int(b)) for name, a, b in zip(classes, here, total, strict=True)]


def outside(numbers: np.ndarray, total: int) -> str:
    """Return a sentence about numbers that no training picture has; empty when all are fine."""
    wrong = numbers[(numbers < 0) | (numbers >= total)]
    if not len(wrong):
        return ""
    more = f" and {len(wrong) - 1:,} others" if len(wrong) > 1 else ""
    return (
        f"There is no training picture {wrong[0]}{more}: they are numbered from 0 to {total - 1:,}. "
        "Test pictures cannot be forgotten, because no network learns from them."
    )
