"""The record of a training: where models began, how much they used each example, every step, every slice."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine.descent import learning_rate
from engine.ensemble import Ensemble
from engine.streams import Streams
from engine.training import Training


@dataclass(frozen=True)
class TrainingPath:
    """A training step by step, as "keep the trajectory" leaves it (:func:`path`).

    ``gradients`` float32 (T, M, P) are those of each step's batch, before weight decay and momentum, laid out as
    :func:`engine.curvature.flatten` does; usually on disk and read as they are touched. The weights follow from them
    by the training's own arithmetic. ``orders()`` yields for each epoch the examples in the order in which the models
    saw them, int64 (M, n): numbers below the retain set's size are positions in it, the others in the forget set.
    """

    gradients: np.ndarray
    orders: Callable[[], Iterator[Tensor]]


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingRecord:
    """The record of the training of ``original`` on ``size`` examples, with ``forget`` int64 (F,) to be forgotten.

    All of it follows from seed, role and model numbers but the gradients of its steps and the models after its slices:
    those are read on first use from where the training stored them, if it did.
    """

    original: Ensemble
    training: Training
    size: int
    forget: Tensor
    seed: int
    role: str
    _gradients: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    _after: Callable[[int], Ensemble] | None = field(default=None, repr=False)

    @functools.cached_property
    def initial(self) -> Ensemble:
        """The models as they began. Cost: no passes."""
        original = self.original
        about = {"seed": self.seed, "role": self.role, "ids": original.ids}
        return Ensemble.initial(original.net, **about, device=original.device, strategy=original.strategy)

    @functools.cached_property
    def used(self) -> Tensor:
        """How much each forget example went into the weights, float32 (M, F): :func:`uses`."""
        about = {"seed": self.seed, "role": self.role, "ids": self.original.ids}
        return uses(self.training, self.size, self.forget, **about)

    def path(self) -> TrainingPath:
        """Return every step of the training; it is read from disk only now.

        Raises:
            ValueError: the training stored no trajectory.
        """
        if not self.training.trajectory or self._gradients is None:
            raise ValueError("this method reads the trajectory, and the training stored none")
        about = {"seed": self.seed, "role": self.role, "ids": self.original.ids}
        return path(self.training, self.size, self.forget, self._gradients(), **about)

    def after(self, slice_: int) -> Ensemble:
        """Return the models as they were after a slice, from 0, not the last.

        Raises:
            ValueError: the training stored no slices.
        """
        if self._after is None:
            raise ValueError("this method reads the slices of the training, and none were stored")
        return self._after(slice_)


def uses(training: Training, n: int, of: Tensor, *, seed: int, role: str, ids: Sequence[int]) -> Tensor:
    """Return how much :func:`engine.train.train` on all n examples used those numbered ``of`` (F,): float32 (M, F).

    The factor with which an example's gradient went into the final weights, summed over its visits: the step length
    divided by the batch size, and what momentum made of it at later steps. Weight decay and changes of the gradient are
    not in it; for Adam it is the bare step length. Batches are replayed from their streams, no network is touched.
    """
    steps = -(-n // training.batch_size)
    total = training.epochs * steps
    momentum = training.momentum if training.optimizer == "sgd" else 0.0
    reach = torch.zeros(total + 1, dtype=torch.float64)
    for step in range(total - 1, -1, -1):  # the gradient of step t moves the weights by lr_t + m lr_t+1 + m^2 ...
        reach[step] = learning_rate(training, step, total) + momentum * reach[step + 1]
    sizes = torch.full((steps,), float(training.batch_size), dtype=torch.float64)  # (steps,)
    sizes[-1] = n - (steps - 1) * training.batch_size
    streams = Streams(seed, f"{role}:batches", ids, torch.device("cpu"))
    used = torch.zeros(len(ids), len(of), dtype=torch.float64)  # (M, F)
    for epoch in range(training.epochs):
        order = streams.permutation(n)  # (M, n)
        step = order.argsort(dim=1)[:, of.cpu()] // training.batch_size  # (M, F)
        used += reach[epoch * steps + step] / sizes[step]
    return used.float().to(of.device)


def path(
    training: Training, n: int, of: Tensor, gradients: np.ndarray, *, seed: int, role: str, ids: Sequence[int]
) -> TrainingPath:
    """Return the steps of :func:`engine.train.train` on all n examples, for a request to forget those numbered ``of``.

    ``gradients`` (T, M, P) are those passed to its ``keep``. Batches are replayed from their streams.
    """
    forgotten = torch.zeros(n, dtype=torch.bool)
    forgotten[of.cpu()] = True
    place = torch.empty(n, dtype=torch.int64)  # (n,) example to its position in retain, then forget
    place[~forgotten] = torch.arange(n - len(of))
    place[of.cpu()] = torch.arange(n - len(of), n)

    def orders() -> Iterator[Tensor]:
        streams = Streams(seed, f"{role}:batches", ids, torch.device("cpu"))
        for _ in range(training.epochs):
            yield place[streams.permutation(n)].to(of.device)  # (M, n)

    return TrainingPath(gradients, orders)
