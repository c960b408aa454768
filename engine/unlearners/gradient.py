"""Methods that follow or reverse the gradient of the cross-entropy: descent, ascent and their sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from engine.cards import Card
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper, Student
from engine.ensemble import Ensemble
from engine.knobs import Knob
from engine.losses import cross_entropy
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

LearningRate = Annotated[float, Knob("learning rate", "Step length of SGD.", low=1e-7, high=1, scale="log")]
Epochs = Annotated[int, Knob("epochs", "Passes over the examples the method reads.", low=1, high=100)]
BatchSize = Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)]
Momentum = Annotated[float, Knob("momentum", "SGD momentum.", low=0, high=0.999, advanced=True)]


@dataclass(frozen=True)
class GradientDescent(Unlearner):
    """Go on training on the retain set only, so that the forget set fades (also: fine-tuning)."""

    key = "gradient_descent"
    order = 10
    card = Card(
        name="Gradient descent",
        summary="Goes on training on what is kept and hopes that the rest fades.",
        family="gradient",
        formula="theta <- theta - lr grad CE(R)",
        reads=("retain",),
        cost="3 forward-equivalents x |R| x epochs",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="The paper's grid is lr 1e-5 to 1e-2 and 1 to 10 epochs; the default lies inside it.",
        fails="Points that the network has memorised stay memorised: no force pushes their margins down.",
    )

    lr: LearningRate = 1e-2
    epochs: Epochs = 5
    batch_size: BatchSize = 64
    momentum: Momentum = 0.9

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * retain * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        streams = Streams(seed, self.key, original.ids, original.device)
        total = self.epochs * task.retain.steps(self.batch_size)
        stepper = Stepper(original, total=total, lr=self.lr, momentum=self.momentum)
        yield stepper.snapshot()
        for _ in range(self.epochs):
            for x, y in task.retain.epoch(streams, self.batch_size):
                size = y.shape[1]
                stepper.step(cross_entropy, x, y, seen=size, cost=size * (FORWARD + BACKWARD), name="retain loss")
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
        formula="theta <- theta + lr grad CE(F)",
        reads=("forget",),
        cost="3 forward-equivalents x |F| x epochs",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        fails="It has no target to stop at: margins pass the oracle's and fall on, and retain accuracy with them.",
    )

    lr: LearningRate = 1e-2
    epochs: Epochs = 5
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * forget * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        def ascent(student: Student, x: Tensor, y: Tensor) -> Tensor:
            return -cross_entropy(student, x, y)

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
        formula="theta <- theta - lr grad [a CE(R) - (1 - a) CE(F)]",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x 2 |R| x epochs",
        paper="Towards Unbounded Machine Unlearning",
        year=2023,
        arxiv="2302.09880",
        departs="A constant rate and no weight decay; the balance a is tuned in the paper, here it begins at 0.95.",
        fails="The balance a has no value that suits every point: some pass the oracle while others have not moved.",
    )

    lr: LearningRate = 1e-2
    epochs: Epochs = 3
    retain_weight: Annotated[
        float, Knob("retain weight a", "Weight of the retain loss; the forget loss gets 1 - a.", low=0, high=1)
    ] = 0.95
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

        def both(student: Student, x: Tensor, y: Tensor, x_forget: Tensor, y_forget: Tensor) -> Tensor:
            keep = cross_entropy(student, x, y)
            drop = cross_entropy(student, x_forget, y_forget)
            return self.retain_weight * keep - (1 - self.retain_weight) * drop

        streams = Streams(seed, self.key, original.ids, original.device)
        total = self.epochs * task.retain.steps(self.batch_size)
        stepper = Stepper(original, total=total, lr=self.lr, momentum=self.momentum)
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
