"""One number over all splits: the mean of the headline's values on forget, retain and test set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine.cards import Card
from engine.metrics import headline
from engine.metrics._bins import EPS
from engine.metrics.base import WHOLE, Evidence, Metric, MetricError, Reading
from engine.records import SPLITS


@dataclass(frozen=True)
class KlomAverage(Metric):
    """The mean over the three splits of KLOM's 95th percentile, each split with the same weight."""

    key = "klom_average"
    order: ClassVar[int] = 15
    card = Card(
        name="KLOM, average of the splits",
        summary="The mean of forget, retain and test KLOM (95th percentile), each with the same weight.",
        family="divergence",
        formula="(p95 on F + p95 on R + p95 on the test set) / 3",
        reads=("oracle margins", "unlearned margins"),
        cost="none beyond KLOM itself",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="The paper's figure 1 has a weighted average and its figure 3 an average across groups; it prints no "
        "weights. Here they are equal, so that a small forget set counts as much as what is kept.",
        fails="A method that forgets nothing and keeps all scores a third of its forget KLOM: look at the splits.",
        better="lower",
        unit="nats",
    )
    short = "KLOM average"
    per_split = False
    bounds = (0.0, -math.log(EPS))
    extra = True

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the mean over the splits, in nats."""
        return {WHOLE: Reading(float(np.mean([headline().of(evidence.klom[evidence.points[s]]) for s in SPLITS])))}

    def missing(self, evidence: Evidence) -> str | None:
        """Say when too few models are left to compare distributions."""
        try:
            evidence.models  # noqa: B018
        except MetricError as error:
            return str(error)
        return None
