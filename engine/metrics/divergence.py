"""KLOM as metrics: three summaries over points of one per-point measurement, which the evidence makes once."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from engine.metrics.base import Evidence, Metric, Reading
from engine.metrics.klom import MetricError
from engine.records import Card


def _card(name: str, summary: str) -> Card:
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
class _Klom(Metric, abc.ABC):
    """Shared reading; ``summary`` names how points become one number."""

    @property
    @abc.abstractmethod
    def summary(self) -> str:
        """Name of one of ``engine.metrics.base.SUMMARIES``."""

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the summary over each split with its interval and the per-point values, in nats."""
        return {
            split: Reading(
                evidence.summary(evidence.klom, split, self.summary),
                *evidence.intervals[split][self.summary],
                per_point=evidence.klom[chosen],
            )
            for split, chosen in evidence.points.items()
        }

    def missing(self, evidence: Evidence) -> str | None:
        """Say when too few models are left to compare distributions."""
        try:
            evidence.models  # noqa: B018
        except MetricError as error:
            return str(error)
        return None


@dataclass(frozen=True)
class KlomP95(_Klom):
    """The headline: the value that all but the worst twentieth of the points stay below."""

    key = "klom_p95"
    order: ClassVar[int] = 10
    card = _card(
        "KLOM, 95th percentile",
        "How far the worst points answer from a network that never saw the forget set: 0 is perfect, about 11.5 the "
        "most.",
    )
    summary = "p95"


@dataclass(frozen=True)
class KlomMean(_Klom):
    """The average over points."""

    key = "klom_mean"
    order: ClassVar[int] = 11
    card = _card(
        "KLOM, mean", "How far the average point answers from a network that never saw the forget set: 0 is perfect."
    )
    summary = "mean"


@dataclass(frozen=True)
class KlomMedian(_Klom):
    """The middle over points."""

    key = "klom_median"
    order: ClassVar[int] = 12
    card = _card(
        "KLOM, median", "How far the middle point answers from a network that never saw the forget set: 0 is perfect."
    )
    summary = "median"
