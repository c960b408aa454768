"""What the statistics of KLOM share: one measurement at every point, made once by the evidence, and its intervals."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine.cards import Card
from engine.metrics._bins import EPS
from engine.metrics.base import Evidence, Metric, MetricError, Reading


def klom_card(name: str, summary: str) -> Card:
    """Return the card of a statistic of KLOM: all but its name and its sentence are the same."""
    return Card(
        name=name,
        summary=summary,
        family="divergence",
        formula="KL(histogram of oracle margins || histogram of unlearned margins) per point, 20 joint bins",
        reads=("oracle margins", "unlearned margins"),
        cost="about 2 ms for 1,797 points and 100 + 100 models, the interval a third of a second; one CPU core",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="Adds a bootstrap interval, and leaves out (and names) models that diverged.",
        fails="Has a noise floor that grows as models get fewer; compare with the floor, at equal numbers of models.",
        better="lower",
        unit="nats",
    )


@dataclass(frozen=True)
class KlomStatistic(Metric, abc.ABC):
    """A quantile over points of KLOM, or its mean where ``quantile`` is None.

    ``label`` names it for people, ``meaning`` completes "Each dot is ...".
    """

    quantile: ClassVar[float | None] = None
    label: ClassVar[str] = ""
    meaning: ClassVar[str] = ""
    beside = ("low", "high", "floor")
    bounds = (0.0, -math.log(EPS))

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the statistic over each split with its interval, in nats."""
        return {
            split: Reading(self.of(evidence.klom[chosen]), *evidence.interval(split, self.key))
            for split, chosen in evidence.points.items()
        }

    def missing(self, evidence: Evidence) -> str | None:
        """Say when too few models are left to compare distributions."""
        try:
            evidence.models  # noqa: B018
        except MetricError as error:
            return str(error)
        return None

    @classmethod
    def of(cls, values: np.ndarray) -> float:
        """Return the statistic of KLOM at some points, (n,)."""
        return float(values.mean() if cls.quantile is None else np.quantile(values, cls.quantile))
