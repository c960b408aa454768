"""Accuracy gap: how much more the unlearned models get right than the oracles do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.cards import Card
from engine.metrics.base import Evidence, Metric, Reading


@dataclass(frozen=True)
class AccuracyGap(Metric):
    """Accuracy of the unlearned models minus that of the oracles, in percentage points; every model counts."""

    key = "accuracy_gap"
    order: ClassVar[int] = 21
    card = Card(
        name="Accuracy gap to the oracle",
        summary="How many percentage points more of a split the unlearned networks answer right than networks that "
        "never saw the forget set; 0 is best.",
        family="utility",
        formula="100 (accuracy of the unlearned models - accuracy of the oracles)",
        reads=("oracle predictions", "unlearned predictions"),
        cost="none beyond the margins",
        fails="Two networks can agree on every answer and still betray what they saw by how sure they are.",
        better="oracle",
        unit="points",
    )
    short = "accuracy gap"
    digits = 1
    bounds = (-100.0, 100.0)

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the difference on each split; above 0 where the unlearned models are right more often."""
        return {
            split: Reading(100 * (evidence.accuracy("unlearned", split) - evidence.accuracy("oracle", split)))
            for split in evidence.points
        }
