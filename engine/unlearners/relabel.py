"""Methods that teach the network wrong labels for what it should forget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.cards import Card
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import mean_gradient
from engine.images import Images
from engine.knobs import Knob
from engine.losses import cross_entropy
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

LearningRate = Annotated[float, Knob("learning rate", "Step length.", low=1e-7, high=1, scale="log")]
Epochs = Annotated[int, Knob("epochs", "Passes over the relabelled forget set and the retain set.", low=1, high=100)]
BatchSize = Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)]
Optimizer = Annotated[str, Knob("optimizer", "The update rule.", choices=("sgd", "adam"), advanced=True)]


@dataclass(frozen=True)
class RandomLabels(Unlearner):
    """Fine-tune on everything, with a fresh random wrong label for each forget example each time it is seen."""

    key = "random_labels"
    order = 14
    card = Card(
        name="Random labels",
        summary="Shows what should be forgotten with wrong labels, a new one each time, among what is kept.",
        family="gradient",
        formula="min CE(R) + CE(F, y'), y' drawn evenly from the wrong classes at each visit",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x (|F| + |R|) x epochs",
        paper="Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        year=2020,
        arxiv="1911.04933",
        departs="The paper relabels a whole class; here any forget set. Adam with Amnesiac's settings is the default.",
        fails="The network learns to be wrong on purpose: margins end below the oracle's, which is a trace of its own.",
    )

    lr: LearningRate = 1e-4
    epochs: Epochs = 3
    optimizer: Optimizer = "adam"
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * (forget + retain) * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        streams = Streams(seed, self.key, original.ids, original.device)
        both = task.forget.join(task.retain)
        stepper = Stepper(
            original, total=self.epochs * both.steps(self.batch_size), lr=self.lr, optimizer=self.optimizer
        )
        yield stepper.snapshot()
        yield from _relabelled(
            stepper, streams, both, len(task.forget), None, self.epochs, self.batch_size, task.net.classes
        )


@dataclass(frozen=True)
class Amnesiac(Unlearner):
    """Fine-tune on the retain set and on copies of the forget set whose wrong labels are drawn once."""

    key = "amnesiac"
    order = 15
    card = Card(
        name="Amnesiac",
        summary="Gives each picture to be forgotten a few fixed wrong labels and trains on them with the rest.",
        family="gradient",
        formula="min CE(R) + sum over copies CE(F, y'_copy), y' drawn once from the wrong classes",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x (copies |F| + |R|) x epochs",
        paper="Amnesiac Machine Learning",
        year=2021,
        arxiv="2010.10981",
        departs="The paper's relabelling form; its other one, undoing stored updates, needs those of the training. The "
        "rate is ten times the usual 1e-4, which forgets no class in the few steps a small data set makes.",
        fails="Fixed wrong labels are memorised in turn: the network is confidently wrong where the oracle is unsure.",
    )

    lr: LearningRate = 1e-3
    epochs: Epochs = 3
    copies: Annotated[int, Knob("copies", "Wrong labels per forget example.", low=1, high=20)] = 3
    optimizer: Optimizer = "adam"
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 3 forward-equivalents per example, each copy of a forget example counted, and epoch."""
        return 3.0 * (self.copies * forget + retain) * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        streams = Streams(seed, self.key, original.ids, original.device)
        copies = task.forget
        for _ in range(self.copies - 1):
            copies = copies.join(task.forget)
        labels = streams.wrong_labels(copies.y, task.net.classes)  # (M, copies * F)
        both = copies.join(task.retain)
        stepper = Stepper(
            original, total=self.epochs * both.steps(self.batch_size), lr=self.lr, optimizer=self.optimizer
        )
        yield stepper.snapshot()
        yield from _relabelled(
            stepper, streams, both, len(copies), labels, self.epochs, self.batch_size, task.net.classes
        )


@dataclass(frozen=True)
class SalUn(Unlearner):
    """Random labels, but only the weights that matter most for the forget set may move."""

    key = "salun"
    order = 40
    card = Card(
        name="SalUn",
        summary="Finds the weights that matter for what should be forgotten and relabels through those alone.",
        family="sparsity",
        formula="mask = |grad CE(F)| >= its quantile; random labels, theta moves only inside the mask",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x (|F| + (|F| + |R|) x epochs)",
        paper="SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency",
        year=2023,
        arxiv="2310.12508",
        departs="The quantile is taken over all weights of a model at once; weights outside are restored exactly.",
        fails="Inherits random labels' habit of being confidently wrong on what was forgotten.",
    )

    lr: LearningRate = 1e-3
    epochs: Epochs = 3
    share: Annotated[
        float, Knob("share of weights", "How many of the weights may move, the most salient ones.", low=0.01, high=1)
    ] = 0.5
    optimizer: Optimizer = "adam"
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return the saliency's pass over the forget set and 3 forward-equivalents per example and epoch."""
        return 3.0 * (forget + (forget + retain) * self.epochs)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update; the saliency's cost is counted with the first."""
        streams = Streams(seed, self.key, original.ids, original.device)
        both = task.forget.join(task.retain)
        stepper = Stepper(
            original,
            total=self.epochs * both.steps(self.batch_size),
            lr=self.lr,
            optimizer=self.optimizer,
            movable=salient(original, task.forget, self.share),
        )
        yield stepper.snapshot()
        stepper.cost += len(task.forget) * (FORWARD + BACKWARD)
        yield from _relabelled(
            stepper, streams, both, len(task.forget), None, self.epochs, self.batch_size, task.net.classes
        )


def salient(original: Ensemble, forget: Images, share: float) -> dict[str, Tensor]:
    """Return which weights have the largest |gradient of CE on F|, a ``share`` of each model's: bool (M, ...)."""
    gradient = mean_gradient(original, cross_entropy, forget)
    size = {k: v.abs().flatten(1) for k, v in gradient.items()}  # (M, weights of the layer)
    every = torch.cat(list(size.values()), dim=1)  # (M, P)
    count = max(1, round(share * every.shape[1]))
    threshold = every.topk(count, dim=1).values[:, -1:]  # (M, 1)
    return {k: (size[k] >= threshold).view_as(v) for k, v in gradient.items()}


def _relabelled(
    stepper: Stepper,
    streams: Streams,
    both: Images,
    relabelled: int,
    labels: Tensor | None,
    epochs: int,
    batch_size: int,
    classes: int,
) -> Iterator[Snapshot]:
    """Train on ``both``; its first ``relabelled`` examples carry ``labels`` (M, relabelled), or fresh wrong ones."""
    for _ in range(epochs):
        for order in streams.epoch(len(both), batch_size):  # (M, B)
            x, y = both.batch(order)
            if labels is None:
                wrong = streams.wrong_labels(y, classes)  # (M, B)
            else:
                wrong = labels.gather(1, order.clamp(max=relabelled - 1))  # (M, B)
            y = torch.where(order < relabelled, wrong, y)  # (M, B)
            size = order.shape[1]
            stepper.step(cross_entropy, x, y, seen=size, cost=size * (FORWARD + BACKWARD), name="relabelled loss")
            yield stepper.snapshot()
