"""How a lesson is made: the settings that a learned unlearner and its lesson share, and what making one costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.knobs import Configured, Knob
from engine.training import Training

STARTS = 32
"""Initialisations that a lesson shared by all originals is learned from; the last tenth of them is held out."""


@dataclass(frozen=True)
class Teaching(Configured):
    """How a lesson is made: which pairs of trainings are learned from, in which kernel, by which regression."""

    lessons: Annotated[
        int, Knob("lessons", "Pairs of trainings to learn from; more come nearer and cost more.", low=4, high=5000)
    ] = 1000
    subset: Annotated[float, Knob("subset", "Part of the training set that a lesson trains on.", low=0.01, high=1)] = (
        1.0
    )
    largest: Annotated[
        float, Knob("largest request", "Largest forget set of a lesson, as a part of its subset.", low=0.001, high=0.9)
    ] = 0.2
    alike: Annotated[
        float,
        Knob("similar pictures", "Part of the lessons that forget pictures like one another: for such requests.",
             low=0, high=1),
    ] = 0.0  # fmt: skip
    psi: Annotated[
        int, Knob("cells", "Cells of a partition of the Isolation Kernel.", low=2, high=256, advanced=True)
    ] = 4
    partitions: Annotated[
        int, Knob("partitions", "Random partitions that make up the kernel.", low=1, high=1000, advanced=True)
    ] = 100
    labels: Annotated[
        bool, Knob("labels count", "Pictures of two classes are not alike; off, as in the paper.", advanced=True)
    ] = True
    regressor: Annotated[
        str,
        Knob("regression", "linear, with a penalty; network: two hidden layers of 256 and 64 units, the paper's.",
             choices=("linear", "network"), advanced=True),
    ] = "linear"  # fmt: skip

    target: Annotated[
        str,
        Knob("target", "What is regressed: the change of the weights, or, as in the paper, the weights themselves.",
             choices=("change", "weights"), advanced=True),
    ] = "change"  # fmt: skip

    fresh: Annotated[
        bool,
        Knob("learn without them", "Learns the unlearner from what is left, so that it has never seen the forgotten "
             "pictures either; it is then learned anew for each request.", advanced=True),
    ] = False  # fmt: skip

    def drawn(self, n: int) -> int:
        """Return how many of ``n`` training pictures a subset holds."""
        return min(n, max(2, round(self.subset * n)))

    def trainings(self, *, train: int, serves_all: bool) -> int:
        """Return how many networks are trained for one unlearner, of ``train`` pictures."""
        starts = STARTS if serves_all else 1
        return self.lessons + (min(starts, self.lessons) if self.drawn(train) == train else self.lessons)

    def cost(self, *, train: int, training: Training, models: int, serves_all: bool) -> float:
        """Return what it takes to learn it: forward-equivalent example passes of all trainings for ``models``."""
        one = training.passes * training.epochs * self.drawn(train)
        return one * self.trainings(train=train, serves_all=serves_all) * (1 if serves_all else models)
