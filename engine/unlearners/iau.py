"""Influence approximation: take the forget set's gradient back and the retain set's forward, in one step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import mean_gradient
from engine.knobs import Knob
from engine.losses import cross_entropy
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

_EPSILON = 1e-8
"""What torch's Adam adds to the root of the squared gradient."""


@dataclass(frozen=True)
class IAU(Unlearner):
    """One step from both gradients at the original weights, with no Hessian and no second pass (Eq. 8).

    Without ``correction`` it is the incremental approximation alone (Eq. 5), the first rung of the paper's ablation;
    with it, the second. The third, a loss that keeps gradients small, belongs to the original's training.
    """

    key = "iau"
    order = 16
    card = Card(
        name="IAU",
        summary="Stands in for adding the forgotten pictures' opposites: a single step up on F and down on R.",
        family="gradient",
        formula="theta <- theta_0 - lr step(grad CE(R) - grad CE(F)), both at theta_0",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x (|F| + |R|), once",
        paper="Efficient Machine Unlearning via Influence Approximation",
        year=2025,
        arxiv="2507.23257",
        departs="Defaults are the released code's, means and one fresh Adam step; Eq. 8 prints sums and a plain step. "
        "Gradient restriction is a training option of the recipe, not of the method; batch norm is in evaluation mode.",
        fails="One step of a chosen length: too short and F stays, too long and R goes with it; Adam's is close to a "
        "sign step, which moves weights alike whether they matter or not.",
    )
    published = Preset(
        settings={"lr": 1e-3, "optimizer": "adam", "reduction": "mean", "correction": True},
        source="the released code of Efficient Machine Unlearning via Influence Approximation",
        number="ResNet-18 on CIFAR-10, 5 % random: accuracy gap 0.42, attack gap 20.10, 19 s",
        gap="network and attack are other ones",
        training={"restriction": 0.005, "patience": 10},
    )
    tuned = MappingProxyType({"lr": "3e-4|1e-3|3e-3|1e-2|3e-2"})
    called = (
        {"name": "IA", "settings": {"correction": False}},
        {"name": "IA+GC", "training": {"restriction": 0.0}},
    )

    lr: Annotated[
        float,
        Knob("learning rate", "Length of the one step; Adam moves each weight by it.", low=1e-7, high=10, scale="log"),
    ] = 1e-3
    correction: Annotated[
        bool, Knob("gradient correction", "Descend on the retain set too; off, only the ascent on F is left.")
    ] = True
    optimizer: Annotated[
        str, Knob("step", "Plain gradient step, or a first step of Adam.", choices=("sgd", "adam"))
    ] = "adam"
    reduction: Annotated[
        str,
        Knob(
            "reduction",
            "Whether each set's loss is its mean, as the released code has it, or its sum, as Eq. 8 is printed.",
            choices=("mean", "sum"),
            advanced=True,
        ),
    ] = "mean"

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 3 forward-equivalents per example whose gradient is taken."""
        return 3.0 * (forget + (retain if self.correction else 0))

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:  # noqa: ARG002
        """Yield the original and the networks one step on."""
        stepper = Stepper(original, total=1, lr=0.0)
        yield stepper.snapshot()
        size = 0
        direction = {k: v.new_zeros(v.shape) for k, v in original.params.items()}  # (M, ...)
        parts = [(-1, task.forget), *([(1, task.retain)] if self.correction else [])]
        for sign, images in parts:
            weight = sign * (len(images) if self.reduction == "sum" else 1)
            for name, gradient in mean_gradient(original, cross_entropy, images).items():
                direction[name] += weight * gradient
            size += len(images)
        if self.optimizer == "adam":
            # At Adam's first step both moments are the gradient's own once their bias is corrected: g / |g|.
            direction = {k: v / (v.abs() + _EPSILON) for k, v in direction.items()}
        moved = {k: v - self.lr * direction[k] for k, v in original.params.items()}
        stepper.place(moved, seen=size, cost=size * (FORWARD + BACKWARD))
        yield stepper.snapshot()
