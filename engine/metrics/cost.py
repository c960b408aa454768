"""What unlearning costs: seconds on this machine, and work as a share of a retrain, which holds on any machine.

Both belong to the method and not to a split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from engine.cards import Card
from engine.metrics.base import WHOLE, Evidence, Metric, MetricError, Reading


@dataclass(frozen=True)
class Seconds(Metric):
    """Time inside the method for all models together; measuring, waiting and storing do not count."""

    key = "seconds"
    order: ClassVar[int] = 30
    card = Card(
        name="Time",
        summary="Time the method took for all models together on the machine that ran it.",
        family="cost",
        reads=("clock",),
        fails="Depends on the machine and on what else it was doing; compare compute instead.",
        better="lower",
        unit="s",
    )
    short = "seconds"
    per_split = False
    digits = 3
    beside = ()
    bounds = (0.0, None)

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the method's time."""
        if evidence.seconds is None:
            raise MetricError(str(self.missing(evidence)))
        return {WHOLE: Reading(float(evidence.seconds))}

    def missing(self, evidence: Evidence) -> str | None:
        """Say when no method made the models."""
        return "no method made these models, so there is no time to give" if evidence.seconds is None else None

    @classmethod
    def written(cls, value: float | None) -> str:
        """Return seconds, or milliseconds with their unit where a tenth of a second would say nothing."""
        if value is None or not math.isfinite(value):
            return "-"
        return f"{1000 * value:.2g} ms" if 0 < value < 0.1 else f"{value:z.1f}"


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
    short = "compute"
    form = "percent"
    per_split = False
    digits = 1
    beside = ()
    bounds = (0.0, None)

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the method's share of a retrain."""
        return {WHOLE: Reading(evidence.compute())}

    def missing(self, evidence: Evidence) -> str | None:
        """Say when the cost of a retrain or of the method is unknown."""
        try:
            evidence.compute()
        except MetricError as error:
            return str(error)
        return None
