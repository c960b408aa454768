"""Toy method: shrinks the weights by how rare the rarest class is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from engine.cards import Card
from engine.descent import Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.knobs import Knob, Scalar
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class ToyShrink(Unlearner):
    """Multiply every weight with the smallest count over the largest."""

    key = "toy_shrink"
    card = Card(
        name="Toy shrink",
        summary="Shrinks every weight, and only shows that a method can read a prerequisite.",
        family="gradient",
        formula="theta <- theta min count / max count",
        reads=("toy counts",),
        cost="none",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        fails="Always: it is a toy.",
    )

    plus: Annotated[int, Knob("plus", "What is added to each count.", low=0, high=100)] = 1

    def prerequisite_settings(self) -> Mapping[str, Mapping[str, Scalar]]:
        return {"toy counts": {"plus": self.plus}}

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:
        return 0.0

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        counts = task.read("toy counts", original)
        stepper = Stepper(original, total=1, lr=0.0)
        yield stepper.snapshot()
        factor = float(counts.min() / counts.max())
        stepper.place({name: value * factor for name, value in original.params.items()}, seen=0, cost=0.0)
        yield stepper.snapshot()
