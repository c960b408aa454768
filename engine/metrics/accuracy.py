"""Accuracy per split: what the unlearned models still get right, to be read beside the oracles' own value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.cards import Card
from engine.metrics.base import Evidence, Metric, Reading


@dataclass(frozen=True)
class Accuracy(Metric):
    """Share of points answered right, averaged over models; every model counts, also one that diverged."""

    key = "accuracy"
    order: ClassVar[int] = 20
    card = Card(
        name="Accuracy",
        summary="Share of the split that the unlearned networks answer right; the best value is the oracle's own.",
        family="utility",
        formula="mean over models and points of [prediction = label]",
        reads=("unlearned predictions",),
        cost="none beyond the margins",
        fails="Two networks can agree on every answer and still betray what they saw by how sure they are.",
        better="oracle",
    )
    short = "accuracy"
    form = "percent"
    digits = 1
    beside = ("oracle", "original")
    bounds = (0.0, 1.0)

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the mean over models and points of each split."""
        return {split: Reading(evidence.accuracy("unlearned", split)) for split in evidence.points}
