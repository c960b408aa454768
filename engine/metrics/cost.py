"""What unlearning costs: seconds on this machine, and work as a share of a retrain, which holds on any machine.

Both belong to the method and not to a split; every split carries the same value so that tables stay rectangular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.metrics.base import Evidence, Metric, MetricError, Reading
from engine.records import Card


@dataclass(frozen=True)
class Seconds(Metric):
    """Time inside the method for all models together; measuring, waiting and storing do not count."""

    key = "seconds"
    order: ClassVar[int] = 30
    card = Card(
        name="Seconds",
        summary="Time the method took for all models together on the machine that ran it.",
        family="cost",
        reads=("clock",),
        fails="Depends on the machine and on what else it was doing; compare compute instead.",
        better="lower",
        unit="s",
    )

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the same time for every split."""
        return {split: Reading(float(evidence.seconds)) for split in evidence.points}


@dataclass(frozen=True)
class Compute(Metric):
    """Example passes of the method over those of a retrain."""

    key = "compute"
    order: ClassVar[int] = 31
    card = Card(
        name="Compute",
        summary="Work of the method as a share of retraining from scratch; 1 means that nothing was saved.",
        family="cost",
        formula="(forward passes + 2 x backward passes) / the same of a retrain, per model",
        reads=("example counts",),
        better="lower",
        unit="of a retrain",
    )

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the same share for every split."""
        return {split: Reading(evidence.compute()) for split in evidence.points}

    def missing(self, evidence: Evidence) -> str | None:
        """Say when the cost of a retrain is unknown."""
        try:
            evidence.compute()
        except MetricError as error:
            return str(error)
        return None
