"""One method measured by every metric, and KLOM at every point: what a run stores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.metrics import metrics
from engine.metrics.base import REFERENCES, Evidence, Metric, Reading
from engine.metrics.scores import Scores

_UNKNOWN = Reading(math.nan)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measured numbers of one method.

    ``klom``, ``floor``, ``klom_other`` and ``floor_other`` are float64 (P,), nats, at every point: in the chosen
    convention, of the noise floor (NaN where unknown), and both in the other convention.
    """

    scores: Scores
    klom: np.ndarray
    floor: np.ndarray
    klom_other: np.ndarray
    floor_other: np.ndarray


def evaluate(evidence: Evidence) -> Evaluation:
    """Measure one method by every metric on every split.

    A metric is also read with each reference ensemble in the unlearned models' place: what the oracles, the second
    oracles (the floor) and the originals score. A metric that cannot be measured has no rows.

    Raises:
        MetricError: fewer than two models of an ensemble are fit to be measured, or the floor is not independent.

    Cost: a few milliseconds per thousand points, and the bootstrap (see :func:`engine.metrics.klom.intervals`).
    """
    per_point = evidence.klom  # (P,); refuses ensembles that are too small
    return Evaluation(
        scores=Scores(
            models=evidence.models,
            convention=evidence.convention,
            warnings=evidence.warnings,
            broken=evidence.broken,
            rows=tuple(row for kind in metrics().values() for row in _rows(kind(), evidence)),
        ),
        klom=per_point,
        floor=_known(evidence.floor, evidence),
        klom_other=evidence.klom_other,
        floor_other=_known(evidence.floor_other, evidence),
    )


def _rows(metric: Metric, evidence: Evidence) -> list[dict[str, Any]]:
    references = {role: _readings(metric, other) for role, other in evidence.instead.items()}
    return [
        {
            "split": split,
            "metric": metric.key,
            "value": _number(reading.value),
            "low": _number(reading.low),
            "high": _number(reading.high),
            **{role: _number(references.get(role, {}).get(split, _UNKNOWN).value) for role in REFERENCES},
        }
        for split, reading in _readings(metric, evidence).items()
    ]


def _readings(metric: Metric, evidence: Evidence) -> dict[str, Reading]:
    return metric.read(evidence) if metric.missing(evidence) is None else {}


def _number(value: float | None) -> float | None:
    """Return a number that JSON has; None for one that is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def _known(floor: np.ndarray | None, evidence: Evidence) -> np.ndarray:
    """Return the floor at every point, NaN where there is none: (P,)."""
    return np.full_like(evidence.klom, np.nan) if floor is None else floor  # (P,)
