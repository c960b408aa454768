"""SCRUB: a student that disobeys its teacher on the forget set and obeys it on the retain set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch
from torch import Tensor

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper, Student
from engine.ensemble import Ensemble
from engine.knobs import BadSetting, Knob
from engine.losses import kl_divergence
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

_ROUNDING = 1e-4
"""Largest difference of two logits that counts as rounding: float32 leaves about 1e-6 of a logit of 20."""


@dataclass(frozen=True)
class SCRUB(Unlearner):
    """Alternate a maximise phase on F and a minimise phase on R, both against the frozen original."""

    key = "scrub"
    order = 13
    card = Card(
        name="SCRUB",
        summary="A student starts as the original, moves away from it on the forget set and stays with it elsewhere.",
        family="distillation",
        formula="max KL(teacher || student) on F, then min gamma CE + alpha KL(teacher || student) on R",
        reads=("forget", "retain"),
        cost="4 forward-equivalents x (|F| x maximise epochs + |R| x epochs)",
        paper="Towards Unbounded Machine Unlearning",
        year=2023,
        arxiv="2302.09880",
        departs="No rewinding (SCRUB+R). Weight decay and label smoothing are the recipe's. Adam at 2e-3 for 5 "
        "epochs is the default: the published rates move small networks too little for the maximise phase to begin.",
        fails="Points reach the oracle's margin at different steps, so no stopping time suits them all.",
    )
    published = Preset(
        settings={
            "optimizer": "sgd",
            "lr": 5e-4,
            "epochs": 3,
            "maximise_epochs": 2,
            "gamma": 0.99,
            "alpha": 0.001,
            "temperature": 4.0,
            "decay_after": "3 5 9",
        },
        source="Towards Unbounded Machine Unlearning, large-scale setting",
        number="ResNet-9 on CIFAR-10, best of a grid of such settings: test accuracy 81.6 to 88.4 %",
        gap="rewinding is left out, and at this rate small networks hardly move",
    )
    tuned = MappingProxyType({"lr": "5e-4|2e-3|5e-3", "epochs": "5|10", "maximise_epochs": "1|3"})

    lr: Annotated[float, Knob("learning rate", "Step length.", low=1e-7, high=1, scale="log")] = 2e-3
    epochs: Annotated[int, Knob("epochs", "Minimise epochs over the retain set.", low=1, high=100)] = 5
    maximise_epochs: Annotated[
        int, Knob("maximise epochs", "How many of the first epochs begin with a maximise phase.", low=0, high=100)
    ] = 3
    alpha: Annotated[float, Knob("alpha", "Weight of the distillation loss on R.", low=0, high=10)] = 0.5
    gamma: Annotated[float, Knob("gamma", "Weight of the cross-entropy on R.", low=0, high=10)] = 1.0
    temperature: Annotated[
        float, Knob("temperature", "Softens teacher and student alike.", low=0.1, high=20, advanced=True)
    ] = 2.0
    optimizer: Annotated[str, Knob("optimizer", "The update rule.", choices=("sgd", "adam"), advanced=True)] = "adam"
    momentum: Annotated[float, Knob("momentum", "SGD momentum; Adam ignores it.", low=0, high=0.999, advanced=True)] = (
        0.9
    )
    decay_after: Annotated[
        str,
        Knob(
            "decay after epochs",
            "Epochs after which the rate falls to a tenth, with spaces between them as in 3 5 9; empty: never.",
            advanced=True,
        ),
    ] = ""
    averaging: Annotated[
        float,
        Knob(
            "averaging",
            "The result is an average of the weights at the ends of the epochs; each new one enters with one minus "
            "this. 0: the last weights, as in the authors' code, which computes an average and returns the student.",
            low=0,
            high=0.999,
            advanced=True,
        ),
    ] = 0.0
    forget_batch_size: Annotated[
        int, Knob("forget batch size", "Examples per maximise step.", low=1, high=4096, advanced=True)
    ] = 32
    batch_size: Annotated[
        int, Knob("retain batch size", "Examples per minimise step.", low=1, high=4096, advanced=True)
    ] = 64

    def __post_init__(self) -> None:
        """Check every knob, and that the epochs of the decay are whole numbers.

        Raises:
            BadSetting: a setting is out of bounds.
        """
        super().__post_init__()
        self._decays()

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 4 forward-equivalents per example of either phase."""
        return 4.0 * (min(self.maximise_epochs, self.epochs) * forget + self.epochs * retain)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update; in an epoch with a maximise phase, that phase comes before the minimise phase."""
        objective = task.objective

        def maximise(student: Student, x: Tensor, teacher: Tensor) -> Tensor:
            logits = student(x)
            # Where student and teacher still agree KL has no slope: what float32 leaves of it is rounding, which Adam
            # would blow up to whole steps.
            moved = (logits - teacher).abs().amax() > _ROUNDING
            return -kl_divergence(teacher=teacher, student=logits, temperature=self.temperature) * moved

        def minimise(student: Student, x: Tensor, y: Tensor, teacher: Tensor) -> Tensor:
            logits = student(x)
            distill = kl_divergence(teacher=teacher, student=logits, temperature=self.temperature)
            return self.gamma * objective.logits_loss(logits, y) + self.alpha * distill

        streams = Streams(seed, self.key, original.ids, original.device)
        maximise_epochs = min(self.maximise_epochs, self.epochs)
        total = maximise_epochs * task.forget.steps(self.forget_batch_size) + self.epochs * task.retain.steps(
            self.batch_size
        )
        # The teacher is `original`, frozen and in evaluation mode; the optimiser holds the stepper's copy, the student.
        stepper = Stepper(
            original,
            total=total + (self.averaging > 0),
            lr=self.lr,
            optimizer=self.optimizer,
            momentum=self.momentum,
            weight_decay=objective.weight_decay,
        )
        average: dict[str, Tensor] = {}
        per_example = FORWARD + FORWARD + BACKWARD
        yield stepper.snapshot()
        for epoch in range(self.epochs):
            lr = self.lr * 0.1 ** sum(epoch >= after for after in self._decays())
            if epoch < maximise_epochs:
                for x, y in task.forget.epoch(streams, self.forget_batch_size):
                    size = y.shape[1]
                    teacher = original.logits(x)  # (M, B, C)
                    stepper.step(
                        maximise, x, teacher, seen=size, cost=size * per_example, name="maximise objective", lr=lr
                    )
                    yield stepper.snapshot()
            for x, y in task.retain.epoch(streams, self.batch_size):
                size = y.shape[1]
                teacher = original.logits(x)  # (M, B, C)
                stepper.step(
                    minimise, x, y, teacher, seen=size, cost=size * per_example, name="minimise objective", lr=lr
                )
                yield stepper.snapshot()
            # The first average is the weights after the first epoch, as torch's AveragedModel has it.
            here = stepper.ensemble.params
            average = {k: torch.lerp(v, average.get(k, v), self.averaging) for k, v in here.items()}
        if self.averaging:
            stepper.place(average, seen=0, cost=0.0)
            yield stepper.snapshot()

    def _decays(self) -> list[int]:
        try:
            return [int(part) for part in self.decay_after.replace(",", " ").split()]
        except ValueError:
            raise BadSetting(
                f"scrub: decay after epochs must be numbers as in 3 5 9, not {self.decay_after!r}"
            ) from None
