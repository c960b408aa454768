"""What networks answered, read for views: who called what what, per split and per point."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.measurement import Measurement

RESAMPLES = 200
_MOST = 400
"""Points of a split that intervals are measured on: an even draw."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of all roles: ``predicted`` (M, roles, P), ``sure`` and ``entropy`` likewise, and their places."""

    measurement: Measurement

    @property
    def roles(self) -> list[str]:
        """The roles in their order."""
        return list(self.measurement.facts["roles"])

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return list(self.measurement.facts["classes"])

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The class of every point, int64 (P,)."""
        return np.array(self.measurement.facts["labels"], np.int64)

    @functools.cached_property
    def splits(self) -> Mapping[str, np.ndarray]:
        """The points of each split."""
        facts = self.measurement.facts
        known = {name: np.array(points, np.int64) for name, points in facts["places"].items()}
        train, gone = int(facts["train"]), np.concatenate([*known.values(), np.empty(0, np.int64)])
        known["retain"] = np.setdiff1d(np.arange(train), gone)
        known["test"] = np.arange(train, len(self.labels))
        return {name: known[name] for name in facts["splits"]}

    def of(self, array: str, role: str) -> np.ndarray:
        """Return an array of one role, (M, P)."""
        return self.measurement.arrays[array][:, self.roles.index(role)]

    def shares(self, role: str, points: np.ndarray) -> np.ndarray:
        """Return, for each network of a role, the share of ``points`` that it calls each class: (M, C)."""
        called = self.of("predicted", role)[:, points]  # (M, n)
        return np.stack([np.bincount(row, minlength=len(self.classes)) for row in called]) / max(1, len(points))

    def called(self, role: str, points: np.ndarray) -> np.ndarray:
        """Return the share of a role's networks that call each of ``points`` each class: (n, C)."""
        return counted(self.of("predicted", role)[:, points], len(self.classes))


def counted(called: np.ndarray, classes: int) -> np.ndarray:
    """Return how large a share of networks names each class at each point: predicted (M, n) to (n, C)."""
    models, points = called.shape
    flat = np.bincount((called + classes * np.arange(points)).ravel(), minlength=points * classes)
    return flat.reshape(points, classes) / models


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Return the total variation distance of shares (n, C), the mean over points: 0 alike, 1 nothing in common."""
    return float(np.abs(first - second).sum(axis=-1).mean() / 2) if len(first) else float("nan")


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Jensen-Shannon divergence of shares (n, C) in bits, the mean over points."""
    if not len(first):
        return float("nan")

    def entropy(p: np.ndarray) -> np.ndarray:
        return -np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1)), 0), axis=-1)

    return float((entropy((first + second) / 2) - (entropy(first) + entropy(second)) / 2).mean())


def interval(first: np.ndarray, second: np.ndarray, classes: int, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the total variation distance of predicted (M, n) and (M', n), networks resampled.

    Resampling draws some networks twice, which alone sets two sets apart: the interval is laid around the value by the
    resamples' own spread (the basic bootstrap).
    """
    rng = np.random.default_rng(seed)
    if first.shape[1] > _MOST:
        some = np.linspace(0, first.shape[1] - 1, _MOST).astype(int)
        first, second = first[:, some], second[:, some]
    value = apart(counted(first, classes), counted(second, classes))
    drawn = [
        apart(
            counted(first[rng.integers(len(first), size=len(first))], classes),
            counted(second[rng.integers(len(second), size=len(second))], classes),
        )
        for _ in range(RESAMPLES)
    ]
    spread = 1.96 * float(np.std(drawn))
    return max(0.0, value - spread), min(1.0, value + spread)
