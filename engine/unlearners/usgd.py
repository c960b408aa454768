"""Unrolling SGD: take back, in one step, what the forget set's gradients put into the weights during training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import weighted_gradient
from engine.knobs import Knob
from engine.models.base import Architecture
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class USGD(Unlearner):
    """Add back each forget example's gradient at the initial weights, as often and as strongly as training took it.

    Training, unrolled to first order, is the initial weights minus the sum of all its steps with every gradient taken
    at the initial weights; an example's part of that sum is known without the training being repeated. Each visit
    counts with its step length over its batch size, momentum included. The gradient is the training loss's, label
    smoothing and SD loss included, which the paper trains with; the GR loss, which belongs to whole batches, is not.
    Batch norm is in evaluation mode, with the statistics of an untrained network.
    """

    key = "usgd"
    order = 16
    remedy = MappingProxyType({"shards": 1, "slices": 1})
    goes_on = True  # each picture's part of the training is a term of a sum, independent of what was taken back before
    card = Card(
        name="Unrolling SGD",
        summary="Adds back what the forgotten pictures' gradients took away during training, all at once.",
        family="gradient",
        formula="theta <- theta_0 + scale sum over steps t (lr_t / B_t) sum over F in batch t grad loss(theta_init)",
        reads=("forget", "training record"),
        cost="3 forward-equivalents x |F|, once",
        paper="Unrolling SGD: Understanding Factors Influencing Machine Unlearning",
        year=2021,
        arxiv="2109.13398",
        departs="The paper unrolls fine-tuning from a pretrained network, here training from scratch is unrolled; each "
        "visit has its own step length, and momentum is counted; 0.03 of the step, for all of it breaks such networks.",
        fails="The first-order picture holds for short trainings: at the end of a long one the gradient at the initial "
        "weights says little. It unrolls SGD; after training with Adam only the direction is meant.",
        claims=("SGD",),
    )
    published = Preset(
        settings={"scale": 1.0},
        source="Unrolling SGD, equation of the single step",
        number="ResNet-18 on CIFAR-10, 5 % random (by IAU's paper): accuracy gap 1.52, attack gap 13.98, 27 s",
        gap="the paper unrolls a fine-tuning; the whole step breaks networks trained from scratch",
    )
    tuned = MappingProxyType({"scale": "0.003|0.01|0.03|0.1|0.3|1"})

    scale: Annotated[
        float,
        Knob("scale", "How much of the unrolled step is taken; the paper takes all, 1.", low=0, high=100, scale="log"),
    ] = 0.03

    def misfit(self, training: Training, architecture: Architecture) -> str | None:  # noqa: ARG002
        """Refuse originals whose training left no record of what each picture did: in shards, or stopped early."""
        if training.sharded:
            return "Unrolling SGD replays one training on everything: set shards and slices under Training to 1."
        if training.clip or training.optimizer == "signsgd":
            return (
                "Unrolling SGD adds gradients back as they were: set the gradient clipping under Training to 0 and "
                "choose sgd."
            )
        if training.patience:
            return (
                "Unrolling SGD counts how often each picture was trained on, and early stopping keeps no record of "
                "it: set the patience under Training to 0."
            )
        return None

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * forget

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:  # noqa: ARG002
        """Yield the original and the networks one step on."""
        stepper = Stepper(original, total=1, lr=0.0)
        yield stepper.snapshot()
        record, forget = task.read("training record", original), task.forget
        recipe = task.training
        gradient = weighted_gradient(
            record.initial, forget, record.used, label_smoothing=recipe.label_smoothing, deviation=recipe.deviation
        )
        moved = {k: v + self.scale * gradient[k] for k, v in original.params.items()}
        stepper.place(moved, seen=len(forget), cost=len(forget) * (FORWARD + BACKWARD))
        yield stepper.snapshot()
