"""Toy analysis: the largest margin that each network gives to a forgotten picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement


@dataclass(frozen=True)
class ToyPeak(Analysis):
    """The largest margin on the forget set, times a factor."""

    key = "toy_peak"
    card = Card(
        name="Toy peak",
        summary="Says how sure each network is of the forgotten picture that it is surest of.",
        family="toy",
        reads=("margins",),
        cost="reads stored margins; no network runs",
        better="oracle",
    )

    factor: Annotated[float, Knob("factor", "What the margin is multiplied with.", low=0.1, high=10)] = 1.0

    def planned_cost(self, subject: Subject) -> float:
        return 1e-3 * subject.models

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        progress(0.5, "looking for the peak")
        ids = bench.splits["forget"]
        peaks = [self.factor * bench.margins(role)[:, ids].max(axis=1) for role in self.roles()]  # (M,) each
        return Measurement({"peak": np.stack(peaks, axis=1)}, {"roles": list(self.roles())})
