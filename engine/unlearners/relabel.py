"""Methods that teach the network wrong labels for what it should forget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch
from torch import Tensor

from engine.cards import Card, Preset
from engine.curvature import flatten, unflatten
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import mean_gradient
from engine.images import Images
from engine.knobs import Knob
from engine.losses import cross_entropy
from engine.ranks import smallest
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
        departs="The paper relabels a whole class; here any forget set. Adam with Amnesiac's settings is the default. "
        "Weight decay and label smoothing are the recipe's.",
        fails="The network learns to be wrong on purpose: margins end below the oracle's, which is a trace of its own.",
    )
    published = Preset(
        settings={"lr": 1e-4, "epochs": 3, "optimizer": "adam"},
        source="Amnesiac's settings, as Efficient Machine Unlearning via Influence Approximation runs it",
        gap="no number of its own is published for labels redrawn at each visit",
    )
    tuned = MappingProxyType({"lr": "1e-4|1e-3|1e-2", "epochs": "1|3|5"})

    lr: LearningRate = 1e-4
    epochs: Epochs = 3
    optimizer: Optimizer = "adam"
    batch_size: BatchSize = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * (forget + retain) * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        streams = Streams(seed, self.key, original.ids, original.device)
        both = task.forget.join(task.retain)
        yield from _relabelled(self, original, task, streams, both, len(task.forget), None)


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
        "rate is ten times the usual 1e-4, which forgets no class in the few steps a small data set makes. Weight "
        "decay and label smoothing are the recipe's.",
        fails="Fixed wrong labels are memorised in turn: the network is confidently wrong where the oracle is unsure.",
    )
    published = Preset(
        settings={"lr": 1e-4, "epochs": 3, "optimizer": "adam"},
        source="Efficient Machine Unlearning via Influence Approximation, table II",
        number="ResNet-18 on CIFAR-10, 5 % random: accuracy gap 5.13, attack gap 64.80, 39 s",
        gap="attack and network are other ones",
    )
    tuned = MappingProxyType({"lr": "1e-4|1e-3", "epochs": "1|3|5"})

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
        yield from _relabelled(self, original, task, streams, copies.join(task.retain), len(copies), labels)


@dataclass(frozen=True)
class SalUn(Unlearner):
    """Random labels, but only the weights that matter most for the forget set may move."""

    key = "salun"
    order = 40
    card = Card(
        name="SalUn",
        summary="Finds the weights that matter for what should be forgotten and relabels through those alone.",
        family="sparsity",
        formula="mask = the largest |grad CE(F)|, by rank; random labels, theta moves only inside the mask",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x (|F| + (|F| + |R|) x epochs)",
        paper="SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency",
        year=2023,
        arxiv="2310.12508",
        departs="Weights are ranked over all layers of a model at once; equal ones, such as zeros, enter in the "
        "order of the layers. Weights outside are restored exactly; weight decay and label smoothing are the recipe's.",
        fails="Inherits random labels' habit of being confidently wrong on what was forgotten.",
    )
    published = Preset(
        settings={"share": 0.5},
        source="SalUn, half of the weights",
        gap="rate and epochs are searched for each case in the paper",
    )
    tuned = MappingProxyType({"lr": "1e-4|1e-3", "epochs": "1|3", "share": "0.3|0.5|0.7"})

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
        movable = salient(original, task.forget, self.share)
        before = len(task.forget) * (FORWARD + BACKWARD)
        yield from _relabelled(
            self, original, task, streams, both, len(task.forget), None, movable=movable, before=before
        )


def salient(original: Ensemble, forget: Images, share: float) -> dict[str, Tensor]:
    """Return which weights have the largest |gradient of CE on F|, a ``share`` of each model's: bool (M, ...).

    Exactly that share, by rank: with one picture most gradients of a ReLU network are 0, and a threshold of 0 would let
    every weight move.
    """
    size = flatten(mean_gradient(original, cross_entropy, forget)).abs()  # (M, P)
    count = max(1, round(share * size.shape[1]))
    return unflatten(smallest(-size, count), original.params)


def _relabelled(
    method: RandomLabels | Amnesiac | SalUn,
    original: Ensemble,
    task: ForgetTask,
    streams: Streams,
    both: Images,
    relabelled: int,
    labels: Tensor | None,
    *,
    movable: dict[str, Tensor] | None = None,
    before: float = 0.0,
) -> Iterator[Snapshot]:
    """Train on ``both``; its first ``relabelled`` examples carry ``labels`` (M, relabelled), or fresh wrong ones.

    ``before`` is the cost of what came first, counted with the first update.
    """
    objective = task.objective
    stepper = Stepper(
        original,
        total=method.epochs * both.steps(method.batch_size),
        lr=method.lr,
        optimizer=method.optimizer,
        weight_decay=objective.weight_decay,
        movable=movable,
    )
    yield stepper.snapshot()
    stepper.cost += before
    for _ in range(method.epochs):
        for order in streams.epoch(len(both), method.batch_size):  # (M, B)
            x, y = both.batch(order, streams)
            if labels is None:
                wrong = streams.wrong_labels(y, task.net.classes)  # (M, B)
            else:
                wrong = labels.gather(1, order.clamp(max=relabelled - 1))  # (M, B)
            y = torch.where(order < relabelled, wrong, y)  # (M, B)
            size = order.shape[1]
            stepper.step(objective.loss, x, y, seen=size, cost=size * (FORWARD + BACKWARD), name="relabelled loss")
            yield stepper.snapshot()
