"""ToW, the tug of war: forgetting, keeping and generalising as one number, by accuracy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from engine.cards import Card
from engine.metrics.base import WHOLE, Evidence, Metric, Reading
from engine.records import SPLITS


@dataclass(frozen=True)
class TugOfWar(Metric):
    """Product over forget, retain and test of one minus the distance of the accuracy from the oracles' own."""

    key = "tow"
    order: ClassVar[int] = 22
    card = Card(
        name="ToW",
        summary="Whether the unlearned networks are as accurate as networks that never saw the forget set on all three "
        "splits at once: 1 is best, 0 the worst.",
        family="utility",
        formula="(1 - |acc_F - oracle's|) (1 - |acc_R - oracle's|) (1 - |acc_test - oracle's|)",
        reads=("oracle predictions", "unlearned predictions"),
        cost="none beyond the margins",
        paper="What makes unlearning hard and what to do about it",
        year=2024,
        arxiv="2406.01257",
        departs="Accuracies are means over an ensemble, where the paper has those of one network.",
        fails="Sees answers only, and so little of what a random forget set leaves behind.",
        better="higher",
    )
    short = "ToW"
    per_split = False
    digits = 3
    bounds = (0.0, 1.0)

    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return one number for the method as a whole."""
        gaps = (abs(evidence.accuracy("unlearned", s) - evidence.accuracy("oracle", s)) for s in SPLITS)
        return {WHOLE: Reading(math.prod(1 - gap for gap in gaps))}
