"""The record of a training: where models began, how much they used each example, every step, every slice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from engine.ensemble import Ensemble
from engine.records import Training
from engine.train import TrainingPath, path, uses


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
        """How much each forget example went into the weights, float32 (M, F): :func:`engine.train.uses`."""
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
