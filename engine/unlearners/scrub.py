"""SCRUB: a student that disobeys its teacher on the forget set and obeys it on the retain set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from engine.cards import Card
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper, Student
from engine.ensemble import Ensemble
from engine.knobs import Knob
from engine.losses import kl_divergence
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


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
        departs="No rewinding (SCRUB+R), no learning-rate decay, no weight decay, no averaging of weights, no "
        "momentum of SGD. The small-scale settings are the default.",
        fails="Points reach the oracle's margin at different steps, so no stopping time suits them all.",
    )

    lr: Annotated[float, Knob("learning rate", "Step length.", low=1e-7, high=1, scale="log")] = 5e-4
    epochs: Annotated[int, Knob("epochs", "Minimise epochs over the retain set.", low=1, high=100)] = 10
    maximise_epochs: Annotated[
        int, Knob("maximise epochs", "How many of the first epochs begin with a maximise phase.", low=0, high=100)
    ] = 3
    alpha: Annotated[float, Knob("alpha", "Weight of the distillation loss on R.", low=0, high=10)] = 0.5
    gamma: Annotated[float, Knob("gamma", "Weight of the cross-entropy on R.", low=0, high=10)] = 1.0
    temperature: Annotated[
        float, Knob("temperature", "Softens teacher and student alike.", low=0.1, high=20, advanced=True)
    ] = 2.0
    optimizer: Annotated[str, Knob("optimizer", "The update rule.", choices=("sgd", "adam"), advanced=True)] = "adam"
    forget_batch_size: Annotated[
        int, Knob("forget batch size", "Examples per maximise step.", low=1, high=4096, advanced=True)
    ] = 32
    batch_size: Annotated[
        int, Knob("retain batch size", "Examples per minimise step.", low=1, high=4096, advanced=True)
    ] = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 4 forward-equivalents per example of either phase."""
        return 4.0 * (min(self.maximise_epochs, self.epochs) * forget + self.epochs * retain)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update; in an epoch with a maximise phase, that phase comes before the minimise phase."""

        def maximise(student: Student, x: Tensor, teacher: Tensor) -> Tensor:
            return -kl_divergence(teacher=teacher, student=student(x), temperature=self.temperature)

        def minimise(student: Student, x: Tensor, y: Tensor, teacher: Tensor) -> Tensor:
            logits = student(x)
            distill = kl_divergence(teacher=teacher, student=logits, temperature=self.temperature)
            return self.gamma * F.cross_entropy(logits, y) + self.alpha * distill

        streams = Streams(seed, self.key, original.ids, original.device)
        maximise_epochs = min(self.maximise_epochs, self.epochs)
        total = maximise_epochs * task.forget.steps(self.forget_batch_size) + self.epochs * task.retain.steps(
            self.batch_size
        )
        # The teacher is `original`, frozen and in evaluation mode; the optimiser holds the stepper's copy, the student.
        stepper = Stepper(original, total=total, lr=self.lr, optimizer=self.optimizer)
        per_example = FORWARD + FORWARD + BACKWARD
        yield stepper.snapshot()
        for epoch in range(self.epochs):
            if epoch < maximise_epochs:
                for x, y in task.forget.epoch(streams, self.forget_batch_size):
                    size = y.shape[1]
                    teacher = original.logits(x)  # (M, B, C)
                    stepper.step(maximise, x, teacher, seen=size, cost=size * per_example, name="maximise objective")
                    yield stepper.snapshot()
            for x, y in task.retain.epoch(streams, self.batch_size):
                size = y.shape[1]
                teacher = original.logits(x)  # (M, B, C)
                stepper.step(minimise, x, y, teacher, seen=size, cost=size * per_example, name="minimise objective")
                yield stepper.snapshot()
