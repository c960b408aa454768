"""Toy metric: the mean margin."""

from __future__ import annotations

from dataclasses import dataclass

from engine.cards import Card
from engine.metrics.base import Evidence, Metric, Reading


@dataclass(frozen=True)
class ToyMeanMargin(Metric):
    """The mean margin of all unlearned models on a split."""

    key = "toy_mean_margin"
    card = Card(
        name="Toy mean margin",
        summary="How sure the unlearned networks are of the right answers on average; best where the oracles are.",
        family="toy",
        formula="mean margin",
        reads=("unlearned margins",),
        cost="none beyond the margins",
        fails="Always: it is a toy.",
        better="oracle",
        unit="logits",
    )
    short = "toy margin"
    digits = 2

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        return {
            split: Reading(float(evidence.unlearned_margins[:, ids].mean())) for split, ids in evidence.points.items()
        }
