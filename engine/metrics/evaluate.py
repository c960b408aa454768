"""One method's row of the result table, per split, and its values at every point: what a run stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.metrics.base import SUMMARIES, Evidence


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measured numbers of one method.

    ``rows`` holds one plain JSON object per split with the keys split, models (that KLOM rests on), convention,
    klom_mean, klom_median, klom_p95, low, high (95% interval of klom_p95), mean_low, mean_high, median_low,
    median_high (those of klom_mean and klom_median), accuracy, accuracy_original, accuracy_oracle, seconds (all
    models), compute (share of a retrain; null where that is unknown), floor_mean, floor_median, floor_p95 (null where
    no floor could be measured) and warnings (sentences). ``klom``, ``floor``, ``klom_other`` and ``floor_other`` are
    float64 (P,), nats, at every point: in the chosen convention, of the noise floor (NaN where unknown), and both in
    the other convention.
    """

    rows: tuple[dict[str, Any], ...]
    klom: np.ndarray
    floor: np.ndarray
    klom_other: np.ndarray
    floor_other: np.ndarray


def evaluate(evidence: Evidence) -> Evaluation:
    """Measure one method on every split.

    Raises:
        MetricError: fewer than two models of an ensemble are fit to be measured, or the floor is not independent.

    Cost: a few milliseconds per thousand points, and the bootstrap (see :func:`engine.metrics.klom.intervals`).
    """
    floor = evidence.floor
    rows = []
    for split in evidence.points:
        ranges = evidence.intervals[split]
        rows.append(
            {
                "split": split,
                "models": evidence.models,
                "convention": evidence.convention,
                **{f"klom_{name}": evidence.summary(evidence.klom, split, name) for name in SUMMARIES},
                "low": ranges["p95"][0],
                "high": ranges["p95"][1],
                "mean_low": ranges["mean"][0],
                "mean_high": ranges["mean"][1],
                "median_low": ranges["median"][0],
                "median_high": ranges["median"][1],
                "accuracy": evidence.accuracy("unlearned", split),
                "accuracy_original": evidence.accuracy("original", split),
                "accuracy_oracle": evidence.accuracy("oracle", split),
                "seconds": float(evidence.seconds),
                "compute": float(evidence.compute()) if evidence.retrain_cost > 0 else None,
                **{
                    f"floor_{name}": None if floor is None else evidence.summary(floor, split, name)
                    for name in SUMMARIES
                },
                "warnings": list(evidence.warnings),
            }
        )
    return Evaluation(
        rows=tuple(rows),
        klom=evidence.klom,
        floor=_known(floor, evidence),
        klom_other=evidence.klom_other,
        floor_other=_known(evidence.floor_other, evidence),
    )


def _known(floor: np.ndarray | None, evidence: Evidence) -> np.ndarray:
    """Return the floor at every point, NaN where there is none: (P,)."""
    return np.full_like(evidence.klom, np.nan) if floor is None else floor  # (P,)
