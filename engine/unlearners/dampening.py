"""Selective synaptic dampening: shrink the weights that matter much more for F than for everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import mean_square_gradient
from engine.knobs import Knob
from engine.losses import cross_entropy
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class SSD(Unlearner):
    """One multiplication per weight, no training: importance is the mean squared gradient of each example's loss."""

    key = "ssd"
    order = 32
    card = Card(
        name="SSD",
        summary="Shrinks the weights that matter much more for what should be forgotten than for the whole.",
        family="second order",
        formula="where I_F > alpha I_D: theta <- min(lambda I_D / I_F, 1) theta",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x (2 |F| + |R|)",
        paper="Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening",
        year=2023,
        arxiv="2308.07707",
        departs="Importances are per example, as the paper defines them; released code squares batch gradients.",
        fails="Small alpha dampens what everything needs: retain accuracy falls at once and nothing repairs it. From "
        "alpha = |D| / |F| on nothing can be dampened at all, for F is part of D.",
    )
    published = Preset(
        settings={"alpha": 10.0, "strength": 1.0},
        source="Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening",
        gap="at alpha 10 nothing is dampened once the forget set is a tenth of the data",
    )
    tuned = MappingProxyType({"alpha": "1|2|5|10|20", "strength": "0.5|1"})

    alpha: Annotated[
        float, Knob("alpha", "How many times more a weight must matter for F.", low=0.1, high=1000, scale="log")
    ] = 5.0
    strength: Annotated[
        float, Knob("lambda", "Below 1, weights that are dampened shrink further.", low=0.01, high=10)
    ] = 1.0

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 3 forward-equivalents per example of the forget set and of the whole training set."""
        return 3.0 * (2 * forget + retain)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:  # noqa: ARG002
        """Yield the original and the dampened networks."""
        stepper = Stepper(original, total=1, lr=0.0)
        yield stepper.snapshot()
        forget, retain = len(task.forget), len(task.retain)
        on_forget = mean_square_gradient(original, cross_entropy, task.forget)
        on_retain = mean_square_gradient(original, cross_entropy, task.retain)
        dampened = {}
        for name, weight in original.params.items():
            important = on_forget[name]  # (M, ...)
            whole = (forget * important + retain * on_retain[name]) / (forget + retain)  # (M, ...)
            factor = (self.strength * whole / important.clamp(min=1e-30)).clamp(max=1.0)
            dampened[name] = torch.where(important > self.alpha * whole, factor * weight, weight)
        size = 2 * forget + retain
        stepper.place(dampened, seen=size, cost=size * (FORWARD + BACKWARD))
        yield stepper.snapshot()
