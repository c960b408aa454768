"""DeltaGrad: train again without the forget set, correcting the saved gradients instead of computing them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

import torch
from torch import Tensor

from engine.cards import Card, Preset
from engine.curvature import QuasiHessian, flatten, unflatten
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper, learning_rate
from engine.ensemble import Ensemble
from engine.gradients import batch_gradient
from engine.knobs import Knob
from engine.models.base import Architecture
from engine.record import TrainingPath
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class DeltaGrad(Unlearner):
    """Replay the originals' training, batch by batch, on what is left of each batch without the forget set.

    At step t let w be the original's weights, g the saved gradient of its batch of B examples, v the replayed weights,
    and f the sum of the gradients at v of the batch's k forgotten examples. The batch's gradient at v is computed at
    the first ``burn_in`` steps and at every ``period``-th after them, and estimated as g + H (v - w) at the others;
    in either case v takes the training's own step (rate, momentum, weight decay) with (B gradient - f) / (B - k). H is
    the L-BFGS matrix of the last ``history`` computed pairs of v - w and of what that did to the batch's gradient. A
    batch of nothing but forgotten examples adds no gradient; momentum and weight decay go on.

    Source: DeltaGrad, Algorithm 1, and its form for stochastic gradient descent.
    """

    key = "deltagrad"
    order = 31
    starts = "fresh"
    remedy = MappingProxyType({"trajectory": True})
    card = Card(
        name="DeltaGrad",
        summary="Trains again from the same start without the pictures, mostly by correcting the gradients it kept.",
        family="second order",
        formula="v <- v - lr (B (g_t + H (v - w_t)) - sum over F in batch t of grad CE(v)) / (B - k)",
        reads=("forget", "retain", "training record"),
        cost="3 forward-equivalents x (E |F| + every period-th batch); the trajectory on disk",
        paper="DeltaGrad: Rapid retraining of machine learning models",
        year=2020,
        arxiv="2006.14755",
        departs="Momentum is replayed; weight decay is exact and not in H; a pair without positive curvature is left "
        "out of H, where the paper computes that step, so that the work is known beforehand.",
        fails="H is one matrix for all batches: small batches and networks that bend need a short period. Step 0 is "
        "the untrained network.",
        claims=("linear models", "SGD"),
    )
    published = Preset(
        settings={"burn_in": 20},
        source="the released code of DeltaGrad",
        gap="its batches are 16,384 of 60,000 examples",
    )

    period: Annotated[
        int, Knob("period", "Every how many steps a batch's gradient is computed; 1 is a retrain.", low=1, high=1000)
    ] = 5
    burn_in: Annotated[int, Knob("burn-in", "First steps, all computed.", low=1, high=100_000)] = 10
    history: Annotated[
        int, Knob("history", "Computed steps behind the curvature estimate.", low=1, high=50, advanced=True)
    ] = 2

    def misfit(self, training: Training, architecture: Architecture) -> str | None:
        """Return what of the training cannot be replayed."""
        if training.sharded or training.patience:
            return (
                "DeltaGrad replays one training of all epochs: set shards, slices and patience under Training to 1, 1 "
                "and 0."
            )
        if not training.trajectory:
            return (
                'DeltaGrad replays the training: turn on "keep the trajectory" under Training, among the rarely used '
                "settings."
            )
        if training.optimizer != "sgd":
            return "DeltaGrad replays steps of SGD, and this recipe trains otherwise: choose sgd under Training."
        if training.augmented:
            return "DeltaGrad replays pictures as they are: turn off random crop and random flip under Training."
        if training.clip:
            return "DeltaGrad takes pictures out of a gradient as it is: set the gradient clipping under Training to 0."
        if training.restriction:
            return (
                "DeltaGrad takes single pictures out of a batch's gradient, and the GR loss ties them together: set "
                "the gradient restriction to 0."
            )
        if training.precision != "float32":
            return "DeltaGrad compares gradients, which bf16 rounds too coarsely: set the precision to float32."
        if architecture.batch_norm:
            return (
                "DeltaGrad takes single pictures out of a batch's gradient, and batch norm ties them together: choose "
                "a model without batch norm."
            )
        return None

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:
        """Return 3 forward-equivalents per example of a computed batch, and per forget example and epoch."""
        sizes = _sizes(forget + retain, training)
        computed = sum(size for step, size in enumerate(sizes) if self._computes(step))
        return (FORWARD + BACKWARD) * (computed + training.epochs * forget)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:  # noqa: ARG002
        """Yield every step of the replay; step 0 is the originals' own untrained start.

        Forget examples fall into batches at random, each model's own: ``seen`` and ``cost`` count them evenly over an
        epoch, at whose end every model has read each once.
        """
        record, training, forget = task.read("training record", original), task.training, task.forget
        path, everything, retained = record.path(), task.retain.join(forget), len(task.retain)
        sizes = _sizes(len(everything), training)
        whole, single = task.objective.loss, task.objective.summed_loss
        stepper = Stepper(record.initial, total=len(sizes), lr=0.0)
        yield stepper.snapshot()
        old, new = (_SGD(flatten(record.initial.params), training) for _ in range(2))
        curvature = QuasiHessian(new.weights, self.history)
        for step, (batch, forgotten, weight) in enumerate(_batches(path, retained, training.batch_size)):
            size = batch.shape[1]
            models = replace(record.initial, params=unflatten(new.weights, record.initial.params))
            saved = torch.from_numpy(path.gradients[step].copy()).to(batch.device)  # (M, P)
            change = new.weights - old.weights
            if self._computes(step):
                gradient = flatten(batch_gradient(models, whole, *everything.batch(batch)))
                curvature.remember(change=change, bent=gradient - saved)
            else:
                gradient = saved + curvature.times(change)
            remaining = size - weight.sum(dim=1, keepdim=True)  # (M, 1)
            rest = size * gradient  # (M, P)
            if forgotten.shape[1]:
                rest = rest - flatten(batch_gradient(models, single, *everything.batch(forgotten), weight))
            lr = learning_rate(training, step, len(sizes))
            new.move(torch.where(remaining > 0, rest / remaining.clamp(min=1), 0.0), lr)
            old.move(saved, lr)
            read = self._read(step, sizes, len(forget), len(everything))
            place = unflatten(new.weights, record.initial.params)
            stepper.place(place, seen=read, cost=read * (FORWARD + BACKWARD))
            yield stepper.snapshot()

    def _computes(self, step: int) -> bool:
        return step < self.burn_in or (step - self.burn_in) % self.period == 0

    def _read(self, step: int, sizes: list[int], forget: int, n: int) -> int:
        """Return what a step counts: the examples of its batch if that is computed, and its share of the forget set."""
        before = sum(sizes[:step])
        share = forget * (before + sizes[step]) // n - forget * before // n
        return share + (sizes[step] if self._computes(step) else 0)


class _SGD:
    """Weights (M, P) that move as ``torch.optim.SGD`` moves them."""

    def __init__(self, weights: Tensor, training: Training) -> None:
        self.weights = weights
        self._velocity = torch.zeros_like(weights)
        self._momentum, self._decay = training.momentum, training.weight_decay

    def move(self, gradient: Tensor, lr: float) -> None:
        self._velocity = self._momentum * self._velocity + gradient + self._decay * self.weights
        self.weights = self.weights - lr * self._velocity


def _batches(path: TrainingPath, retained: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield of every step its examples (M, B), the forgotten ones among them (M, K), and which of those are (M, K).

    K is the most that any model has in the step, 0 if none has one; shorter rows are filled up with examples that
    weigh 0 where the others weigh 1.
    """
    for order in path.orders():  # (M, n)
        column = (order >= retained).nonzero()[:, 1].view(len(order), -1)  # (M, F), rising along each row
        examples, at = order.gather(1, column), column // batch_size  # (M, F)
        for number, batch in enumerate(order.split(batch_size, dim=1)):  # (M, B)
            count = (at == number).sum(dim=1, keepdim=True)  # (M, 1)
            first = (at < number).sum(dim=1, keepdim=True)  # (M, 1)
            along = torch.arange(int(count.max()), device=order.device)  # (K,)
            forgotten = examples.gather(1, (first + along).clamp(max=examples.shape[1] - 1))  # (M, K)
            yield batch, forgotten, (along < count).float()


def _sizes(n: int, training: Training) -> list[int]:
    """Return the number of examples in the batch of every step."""
    steps = -(-n // training.batch_size)
    return [*[training.batch_size] * (steps - 1), n - (steps - 1) * training.batch_size] * training.epochs
