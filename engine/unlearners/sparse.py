"""L1-sparse unlearning: go on training on the retain set, with a penalty that thins the weights out."""

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
from engine.knobs import Knob
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class L1Sparse(Unlearner):
    """Fine-tune on the retain set with gamma ||theta||_1, gamma falling linearly to zero."""

    key = "l1_sparse"
    order = 41
    card = Card(
        name="L1-sparse",
        summary="Goes on training on what is kept while a penalty presses weights towards zero.",
        family="sparsity",
        formula="theta <- theta - lr grad [CE(R) + wd / 2 |theta|^2 + gamma_t |theta|_1], gamma_t falling to 0",
        reads=("retain",),
        cost="3 forward-equivalents x |R| x epochs",
        paper="Model Sparsity Can Simplify Machine Unlearning",
        year=2023,
        arxiv="2304.04934",
        departs="The penalty reaches zero a chosen share before the end, so that the last steps only repair. Weight "
        "decay and label smoothing are the recipe's.",
        fails="Nothing points at the forget set: it fades only as far as its weights are pressed out.",
    )
    published = Preset(
        settings={"optimizer": "adam", "lr": 1e-3, "epochs": 30, "gamma": 1e-4, "free": 0.5, "batch_size": 256},
        source="Dataset Condensation Driven Machine Unlearning, table II, as S",
        gap="no number is compared: networks and attack are other ones",
    )
    tuned = MappingProxyType({"gamma": "1e-5|1e-4|1e-3", "lr": "1e-3|1e-2"})

    lr: Annotated[float, Knob("learning rate", "Step length.", low=1e-7, high=1, scale="log")] = 1e-2
    epochs: Annotated[int, Knob("epochs", "Passes over the retain set.", low=1, high=100)] = 5
    gamma: Annotated[float, Knob("gamma", "Weight of the penalty at the start.", low=0, high=0.1, scale="log")] = 1e-4
    free: Annotated[
        float, Knob("free share", "Share of the steps at the end without penalty.", low=0, high=0.9, advanced=True)
    ] = 0.3
    optimizer: Annotated[str, Knob("optimizer", "The update rule.", choices=("sgd", "adam"), advanced=True)] = "sgd"
    momentum: Annotated[float, Knob("momentum", "SGD momentum; Adam ignores it.", low=0, high=0.999, advanced=True)] = (
        0.9
    )
    batch_size: Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)] = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * retain * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        recipe = task.objective

        def objective(student: Student, x: Tensor, y: Tensor, gamma: Tensor) -> Tensor:
            weights = torch.stack([weight.abs().sum() for weight in student.params.values()])  # (layers,)
            return recipe.loss(student, x, y) + gamma * weights.sum()

        streams = Streams(seed, self.key, original.ids, original.device)
        total = self.epochs * task.retain.steps(self.batch_size)
        stepper = Stepper(
            original,
            total=total,
            lr=self.lr,
            optimizer=self.optimizer,
            momentum=self.momentum,
            weight_decay=recipe.weight_decay,
        )
        yield stepper.snapshot()
        for _ in range(self.epochs):
            for x, y in task.retain.epoch(streams, self.batch_size):
                size = y.shape[1]
                remaining = max(0.0, 1 - stepper.step_count / ((1 - self.free) * total))
                gamma = torch.full((len(original),), self.gamma * remaining, device=original.device)  # (M,)
                cost = size * (FORWARD + BACKWARD)
                stepper.step(objective, x, y, gamma, seen=size, cost=cost, name="penalised loss")
                yield stepper.snapshot()
