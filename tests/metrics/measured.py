"""Evidence that was never measured, and scores as an evaluation gives them, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.metrics import metrics
from engine.metrics.base import PARTS, WHOLE, Evidence
from engine.metrics.scores import Column, Scores

POINTS = {"forget": np.array([5, 2, 9]), "retain": np.r_[0, 1, 3, 4, 6, 7, 8], "test": np.arange(10, 30)}


def evidence(models: int = 60, **change) -> Evidence:
    rng = np.random.default_rng(0)
    arrays = {}
    for role in ("oracle", "floor", "original", "unlearned"):
        margins = rng.normal(2, 1, size=(models, 30)).astype(np.float32)
        if role == "original":
            margins[:, POINTS["forget"]] += 6
        if role == "unlearned":
            margins[:, POINTS["forget"]] += 3
        arrays |= {f"{role}_margins": margins, f"{role}_correct": margins > 0}
    costs = {"seconds": 4.0, "cost": 30.0, "retrain_cost": 120.0, "bootstrap": 40}
    return Evidence(**{**arrays, "points": POINTS, **costs, **change})


def scores(
    *rows: Mapping[str, object], models: int = 100, convention: str = "paper", warnings: tuple[str, ...] = ()
) -> Scores:
    """Return scores from wide rows, one per split: split, and values under the names of columns."""
    tidy = [
        {
            "split": row["split"] if metric.per_split else WHOLE,
            "metric": key,
            **{part: row.get(Column(metric, part).name) for part in PARTS},
        }
        for row in rows
        for key, metric in metrics().items()
    ]
    once = {(row["split"], row["metric"]): row for row in reversed(tidy)}
    return Scores(models, convention, warnings, tuple(reversed(once.values())))
