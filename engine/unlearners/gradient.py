"""Methods that follow or reverse the gradient of the cross-entropy: descent, ascent and their sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from torch import Tensor

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper, Student
from engine.ensemble import Ensemble
from engine.knobs import Knob
from engine.losses import log_probabilities
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

LearningRate = Annotated[float, Knob("learning rate", "Step length.", low=1e-7, high=1, scale="log")]
Epochs = Annotated[int, Knob("epochs", "Passes over the examples the method reads.", low=1, high=100)]
BatchSize = Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)]
Momentum = Annotated[float, Knob("momentum", "SGD momentum; Adam ignores it.", low=0, high=0.999, advanced=True)]
Optimizer = Annotated[str, Knob("optimizer", "The update rule.", choices=("sgd", "adam"), advanced=True)]


@dataclass(frozen=True)
class GradientDescent(Unlearner):
    """Go on training on the retain set only, so that the forget set fades (also: fine-tuning)."""

    key = "gradient_descent"
    order = 10
    card = Card(
        name="Gradient descent",
        summary="Goes on training on what is kept and hopes that the rest fades.",
        family="gradient",
        formula="theta <- theta - lr grad [CE(R) + wd / 2 |theta|^2], the recipe's own objective",
        reads=("retain",),
        cost="3 forward-equivalents x |R| x epochs",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="The paper's grid is lr 1e-5 to 1e-2 and 1 to 10 epochs; the default lies inside it. Weight decay and "
        "label smoothing are the recipe's.",
        fails="Points that the network has memorised stay memorised: no force pushes their margins down.",
    )
    published = Preset(
        settings={"optimizer": "adam", "lr": 1e-3, "epochs": 30, "batch_size": 256},
        source="Dataset Condensation Driven Machine Unlearning, table II, as CF",
        number="4-conv CNN on CIFAR-10, 10 % random: retain accuracy 98.45, forget 90.24, attack 56.80 %",
        gap="the network is another (the small CNN here has two convolutions)",
    )
    tuned = MappingProxyType({"lr": "1e-4|1e-3|1e-2|1e-1", "epochs": "1|5|10"})

    lr: LearningRate = 1e-2
    epochs: Epochs = 5
    optimizer: Optimizer = "sgd"
    batch_size: BatchSize = 64
    momentum: Momentum = 0.9

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * retain * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        streams = Streams(seed, self.key, original.ids, original.device)
        total, objective = self.epochs * task.retain.steps(self.batch_size), task.objective
        stepper = Stepper(
            original,
            total=total,
            lr=self.lr,
            optimizer=self.optimizer,
            momentum=self.momentum,
            weight_decay=objective.weight_decay,
        )
        yield stepper.snapshot()
        for _ in range(self.epochs):
            for x, y in task.retain.epoch(streams, self.batch_size):
                size = y.shape[1]
                stepper.step(objective.loss, x, y, seen=size, cost=size * (FORWARD + BACKWARD), name="retain loss")
                yield stepper.snapshot()


@dataclass(frozen=True)
class GradientAscent(Unlearner):
    """Climb the loss of the forget set with plain SGD (also: NegGrad)."""

    key = "gradient_ascent"
    order = 11
    card = Card(
        name="Gradient ascent",
        summary="Walks up the loss of what should be forgotten; pushed too far it destroys the network.",
        family="gradient",
        formula="theta <- theta + lr grad min(CE(F), ceiling), example by example",
        reads=("forget",),
        cost="3 forward-equivalents x |F| x epochs",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="The paper climbs without end, which is a ceiling of 0; its grid of rates, 1e-5 to 1e-2, is CIFAR-10's "
        "and moves little in the few steps a small data set makes.",
        fails="One ceiling for all pictures is no oracle's answer to each; without one margins fall on and on, and "
        "retain accuracy with them.",
    )
    published = Preset(
        settings={"lr": 1e-2, "epochs": 10, "ceiling": 0.0},
        source="Unlearning via Simulated Oracle Matching, appendix D.4, the far corner of its grid",
        number="ResNet-9 on CIFAR-10, nine forget sets: test accuracy 84 to 88 %, 10.92 % on the ninth",
        gap="the paper reports the best of a grid for each forget set",
    )
    tuned = MappingProxyType({"lr": "1e-2|3e-2|1e-1", "epochs": "5|10", "ceiling": "0|1|2"})

    lr: LearningRate = 3e-2
    epochs: Epochs = 10
    ceiling: Annotated[
        float,
        Knob(
            "ceiling",
            "A picture whose loss is above this is left alone in that step, so that no rate tears the network apart; "
            "a network that guesses among 10 classes has a loss of 2.3. 0: none, as in the paper.",
            low=0,
            high=100,
            unit="nats",
        ),
    ] = 1.0
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * forget * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        def ascent(student: Student, x: Tensor, y: Tensor) -> Tensor:
            each = -log_probabilities(student(x)).gather(0, y.unsqueeze(0)).squeeze(0)  # (B,)
            return -(each.clamp(max=self.ceiling) if self.ceiling else each).mean()

        streams = Streams(seed, self.key, original.ids, original.device)
        stepper = Stepper(original, total=self.epochs * task.forget.steps(self.batch_size), lr=self.lr)
        yield stepper.snapshot()
        for _ in range(self.epochs):
            for x, y in task.forget.epoch(streams, self.batch_size):
                size = y.shape[1]
                stepper.step(ascent, x, y, seen=size, cost=size * (FORWARD + BACKWARD), name="forget objective")
                yield stepper.snapshot()


@dataclass(frozen=True)
class NegGradPlus(Unlearner):
    """Descend on the retain set and ascend on the forget set in one step, the forget set cycled."""

    key = "neg_grad_plus"
    order = 12
    card = Card(
        name="NegGrad+",
        summary="Learns what is kept and un-learns what is not, in every step at once.",
        family="gradient",
        formula="theta <- theta - lr grad [a CE(R) - b CE(F) + wd / 2 |theta|^2]",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x 2 |R| x epochs",
        paper="Towards Unbounded Machine Unlearning",
        year=2023,
        arxiv="2302.09880",
        departs="A constant rate; the balance is tuned in the paper, where b = 1 - a, and begins at 0.95 here. Weight "
        "decay and label smoothing are the recipe's.",
        fails="The balance has no value that suits every point: some pass the oracle while others have not moved.",
    )
    published = Preset(
        settings={},
        source="Towards Unbounded Machine Unlearning",
        gap="the paper tunes rate and balance for each case and prints none that carries over",
    )
    tuned = MappingProxyType({"lr": "1e-4|1e-3|1e-2", "epochs": "3|5|10"})

    lr: LearningRate = 1e-2
    epochs: Epochs = 3
    retain_weight: Annotated[float, Knob("retain weight a", "Weight of the retain loss.", low=0, high=10)] = 0.95
    forget_weight: Annotated[
        float, Knob("forget weight b", "Weight of the climb on the forget loss; 1 - a in the paper.", low=0, high=10)
    ] = 0.05
    optimizer: Optimizer = "sgd"
    batch_size: BatchSize = 64
    momentum: Momentum = 0.9

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 3 forward-equivalents per retain example and per forget example it is paired with."""
        steps = self.epochs * -(-retain // self.batch_size)
        cycles, rest = divmod(steps, -(-forget // self.batch_size))
        paired = cycles * forget + min(rest * self.batch_size, forget)
        return 3.0 * (self.epochs * retain + paired)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update on a retain batch paired with a forget batch."""
        objective = task.objective

        def both(student: Student, x: Tensor, y: Tensor, x_forget: Tensor, y_forget: Tensor) -> Tensor:
            keep = objective.loss(student, x, y)
            drop = objective.loss(student, x_forget, y_forget)
            return self.retain_weight * keep - self.forget_weight * drop

        streams = Streams(seed, self.key, original.ids, original.device)
        total = self.epochs * task.retain.steps(self.batch_size)
        stepper = Stepper(
            original,
            total=total,
            lr=self.lr,
            optimizer=self.optimizer,
            momentum=self.momentum,
            weight_decay=objective.weight_decay,
        )
        forget = _cycle(task, streams, self.batch_size)
        yield stepper.snapshot()
        for _ in range(self.epochs):
            for x, y in task.retain.epoch(streams, self.batch_size):
                x_forget, y_forget = next(forget)
                size = y.shape[1] + y_forget.shape[1]
                cost = size * (FORWARD + BACKWARD)
                stepper.step(both, x, y, x_forget, y_forget, seen=size, cost=cost, name="objective")
                yield stepper.snapshot()


def _cycle(task: ForgetTask, streams: Streams, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield forget batches without end, each pass in a fresh order."""
    while True:
        yield from task.forget.epoch(streams, batch_size)
