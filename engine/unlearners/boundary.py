"""Boundary unlearning: give a class's region to its neighbours, or to a shadow class that is then cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

import torch
from torch import Tensor

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import INPUT_COST, input_gradient
from engine.images import Images
from engine.knobs import Knob
from engine.losses import cross_entropy
from engine.models.base import Net
from engine.seeds import derive
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

LearningRate = Annotated[float, Knob("learning rate", "Step length of SGD.", low=1e-7, high=1, scale="log")]
Epochs = Annotated[int, Knob("epochs", "Passes over the forget set.", low=1, high=100)]
BatchSize = Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)]
Momentum = Annotated[float, Knob("momentum", "SGD momentum.", low=0, high=0.999, advanced=True)]
PAPER = "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the Decision Boundary"
NEIGHBOUR_COST = INPUT_COST + FORWARD
"""Cost of one neighbour label: a gradient to the pixels, and another forward pass."""


@dataclass(frozen=True)
class BoundaryShrink(Unlearner):
    """Fine-tune on the forget set with the label of the nearest wrong class, so that the neighbours take its region."""

    key = "boundary_shrink"
    order = 17
    card = Card(
        name="Boundary shrink",
        summary="Teaches each picture to be forgotten the wrong class that lies nearest to it.",
        family="gradient",
        formula="min CE(F, y'), y' = the wrong class that f ranks first at x + epsilon sign(grad_x CE(f(x), y))",
        reads=("forget",),
        cost="3 forward-equivalents x |F| x (epochs + 1)",
        paper=PAPER,
        year=2023,
        arxiv="2303.11570",
        claims=("whole classes",),
        departs="A true label that survives the step is never kept: the first wrong class is taken. The rate is larger "
        "than the paper's 1e-5, which moves nothing when the forget set makes only a few steps.",
        fails="Made for whole classes; nothing holds the retain set, and pushed too far its accuracy goes too.",
    )
    published = Preset(
        settings={"lr": 1e-5, "epochs": 10, "epsilon": 0.1},
        source="Boundary Unlearning, CIFAR-10",
        gap="5,000 pictures a class make 40 times as many steps as 146 digits do",
    )
    tuned = MappingProxyType({"lr": "1e-5|1e-4|1e-3", "epochs": "3|10"})

    lr: LearningRate = 2e-3
    epochs: Epochs = 10
    epsilon: Annotated[
        float,
        Knob(
            "epsilon",
            "Length of the step to the neighbour, pixels going from 0 to 1; of a table, in standard deviations.",
            low=0,
            high=10,
        ),
    ] = 0.1
    momentum: Momentum = 0.9
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 3 forward-equivalents per forget example for its label, and 3 in each epoch."""
        return forget * NEIGHBOUR_COST + 3.0 * forget * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update; the cost of the labels is counted with the first."""
        streams = Streams(seed, self.key, original.ids, original.device)
        forget = task.forget
        total = self.epochs * forget.steps(self.batch_size)
        stepper = Stepper(original, total=total, lr=self.lr, momentum=self.momentum)
        yield stepper.snapshot()
        labels = nearest_wrong(original, forget, self.epsilon)  # (M, F)
        stepper.cost += len(forget) * NEIGHBOUR_COST
        for _ in range(self.epochs):
            for order in streams.epoch(len(forget), self.batch_size):  # (M, B)
                size = order.shape[1]
                stepper.step(
                    cross_entropy,
                    forget.pictures(order),
                    labels.gather(1, order),
                    seen=size,
                    cost=size * (FORWARD + BACKWARD),
                    name="neighbour loss",
                )
                yield stepper.snapshot()


@dataclass(frozen=True)
class BoundaryExpand(Unlearner):
    """Fine-tune on the forget set with the label of a class that does not exist, then cut that class's output off."""

    key = "boundary_expand"
    order = 18
    card = Card(
        name="Boundary expanding",
        summary="Adds a shadow class, moves what should be forgotten into it, and cuts it off again.",
        family="gradient",
        formula="min CE(F, C + 1) of f with an extra output, which is then removed",
        reads=("forget",),
        cost="3 forward-equivalents x |F| x epochs",
        paper=PAPER,
        year=2023,
        arxiv="2303.11570",
        claims=("whole classes",),
        departs="The new output is initialised as the architecture's own. The rate is larger than the paper's 1e-5, "
        "which moves nothing when the forget set makes only a few steps.",
        fails="Made for whole classes; nothing holds the retain set, and a random subset takes its neighbours along.",
    )
    published = Preset(
        settings={"lr": 1e-5, "epochs": 10},
        source="Boundary Unlearning, CIFAR-10",
        gap="5,000 pictures a class make 40 times as many steps as 146 digits do",
    )
    tuned = MappingProxyType({"lr": "1e-5|1e-4|1e-3", "epochs": "3|10"})

    lr: LearningRate = 1e-3
    epochs: Epochs = 10
    momentum: Momentum = 0.9
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * forget * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update, always without the shadow class."""
        streams = Streams(seed, self.key, original.ids, original.device)
        forget, net = task.forget, original.net
        total = self.epochs * forget.steps(self.batch_size)
        stepper = Stepper(widened(original, seed=seed), total=total, lr=self.lr, momentum=self.momentum)

        def snapshot() -> Snapshot:
            wide = stepper.snapshot()
            return replace(wide, ensemble=cut(wide.ensemble, net))

        yield snapshot()
        for _ in range(self.epochs):
            for order in streams.epoch(len(forget), self.batch_size):  # (M, B)
                size = order.shape[1]
                shadow = torch.full_like(order, net.classes)  # (M, B)
                cost = size * (FORWARD + BACKWARD)
                stepper.step(cross_entropy, forget.pictures(order), shadow, seen=size, cost=cost, name="shadow loss")
                yield snapshot()


def nearest_wrong(original: Ensemble, images: Images, epsilon: float) -> Tensor:
    """Return the nearest wrong class of every picture as each model sees it: labels (M, n), never the true one.

    x' = x + epsilon sign(grad_x CE(f(x), y)), clipped to a valid picture; the wrong class with the largest logit at x'
    is the neighbour. ``epsilon`` is in input units, pixels from 0 to 1; pictures are normalised, so the step in
    each channel is epsilon / std. A row of a table moves by ``epsilon`` standard deviations and is not clipped. Cost:
    3 forward-equivalents per picture. Source: Boundary Unlearning (shrink).
    """
    if original.strategy == "looped" and len(original) > 1:
        return torch.cat([nearest_wrong(original[m : m + 1], images, epsilon) for m in range(len(original))])
    low, high = -images.mean / images.std, (1 - images.mean) / images.std  # (c, 1, 1): black and white, normalised
    labels = []
    for span in original.spans(len(images)):
        y = images.y[span]
        x = images.pictures(span).expand(len(original), -1, -1, -1, -1)  # (M, B, c, h, w)
        gradient = input_gradient(original, cross_entropy, x, y.expand(len(original), -1))  # (M, B, c, h, w)
        if images.tabular:
            attacked = x + gradient.sign() * epsilon  # (M, B, D, 1, 1)
        else:
            attacked = x + gradient.sign() * (epsilon / images.std)  # (M, B, c, h, w)
            attacked = torch.maximum(torch.minimum(attacked, high), low)
        logits = original.logits(attacked)  # (M, B, C)
        true = y.expand(len(original), -1).unsqueeze(-1)  # (M, B, 1)
        labels.append(logits.scatter(-1, true, float("-inf")).argmax(-1))  # (M, B)
    return torch.cat(labels, dim=1)  # (M, n)


def widened(original: Ensemble, *, seed: int) -> Ensemble:
    """Return the models with one more class, the last; all other weights are the original's.

    The new output is initialised like a fresh network's, for model i from (seed, i) alone.
    """
    net = replace(original.net, classes=original.net.classes + 1)
    fresh = Ensemble.initial(
        net,
        seed=derive(seed, "shadow class"),
        role="shadow class",
        ids=original.ids,
        device=original.device,
        strategy=original.strategy,
    )
    params = {}
    for name, weight in original.params.items():
        new = fresh.params[name]  # (M, C + 1, ...) in the last layer, elsewhere the shape of ``weight``
        params[name] = weight if new.shape == weight.shape else torch.cat([weight, new[:, weight.shape[1] :]], dim=1)
    return replace(fresh, params=params, buffers=dict(original.buffers))


def cut(wide: Ensemble, net: Net) -> Ensemble:
    """Return the models without the classes that ``net`` does not have, which :func:`widened` added."""
    shapes = {name: weight.shape for name, weight in net.evaluation_skeleton.named_parameters()}
    params = {name: weight[:, : shapes[name][0]].contiguous() for name, weight in wide.params.items()}  # (M, ...)
    return replace(wide, net=net, params=params)
