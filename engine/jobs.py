"""The units of work, as records: each reads the store, computes one part of one artefact, and writes it.

A job's identity is its spec and its part, so two runs that need the same part need the same job, and a finished
job never runs again. ``inputs`` holds what it takes to do the work but does not change the numbers.
:mod:`engine.work` does the work.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from engine.records import SPLITS
from engine.specs import WHOLE, Spec
from engine.store import Store

S = TypeVar("S", bound=Spec)

CURVE_POINTS = 500
"""Most points per split behind a curve; the final margins are always measured on every point."""


class Cancelled(Exception):
    """The job was cancelled; nothing of it was stored."""


class Hooks(Protocol):
    """How a job reports to the process that runs it."""

    def progress(self, share: float, message: str) -> None:
        """Report the share done (0 to 1); raises :class:`Cancelled` when the job should stop."""

    def frame(self, frame: Mapping[str, Any]) -> None:
        """Report a measurement on the way, so that curves can grow while the job runs."""


@dataclass(frozen=True)
class Job:
    """One part of one artefact.

    ``needs`` are the ids of jobs that must be finished first; ``cost`` is expected forward-equivalent example passes
    over all models of the part, for progress and estimates, ``bytes`` what the part is expected to take on disk.
    ``doing`` describes the work, as in "training originals"; ``method`` is the recipe's name of the method it
    serves, ``earlier`` that it carries out an earlier request of a sequence, from which the run's own request goes on.
    """

    spec: Spec
    part: str = WHOLE
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    cost: float = 0.0
    bytes: int = 0
    doing: str = ""
    method: str = ""
    earlier: bool = False

    @property
    def kind(self) -> str:
        """The kind of the artefact it makes a part of."""
        return self.spec.kind

    @functools.cached_property
    def id(self) -> str:
        """Identifies the job across runs and processes."""
        return f"{self.kind}-{self.spec.digest}-{self.part}"

    def about(self, kind: type[S]) -> S:
        """Return its spec, checked to be of one kind.

        Raises:
            TypeError: it is of another.
        """
        if not isinstance(self.spec, kind):
            raise TypeError(f"a job of the kind {self.kind} is not about {kind.__name__}")
        return self.spec

    def done(self, store: Store) -> bool:
        """Return whether its part is already in the store."""
        return self.spec.artefact(store).has(self.part)


def part_name(models: tuple[int, int]) -> str:
    """Return the part that holds the half-open range of model numbers."""
    return f"{models[0]:05d}-{models[1]:05d}"


def part_models(part: str) -> range:
    """Return the model numbers of a part."""
    start, stop = part.split("-")
    return range(int(start), int(stop))


def followed(
    *, forget: np.ndarray, train: int, points: int, earlier: np.ndarray | Sequence[int] = ()
) -> dict[str, np.ndarray]:
    """Return the points of each split that curves follow, int64, sorted: all of them, or an even draw of 500.

    ``forget`` (F,) are training indices; points from ``train`` up to ``points`` are test examples. The draw depends on
    the arguments alone, so every method of every run on the same forget set follows the same points. What ``earlier``
    requests removed belongs to no split.
    """
    retained = np.setdiff1d(np.arange(train), np.union1d(forget, np.asarray(earlier, np.int64)))
    ids = dict(zip(SPLITS, (np.sort(forget), retained, np.arange(train, points)), strict=True))
    rng = np.random.default_rng(0)
    return {
        s: np.sort(rng.choice(i, CURVE_POINTS, replace=False)) if len(i) > CURVE_POINTS else i for s, i in ids.items()
    }


def summary(*, margins: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    """Return mean accuracy, margin and loss over models, and their standard deviations over models; arrays (M, n).

    The loss is the cross-entropy, which is ln(1 + exp(-margin)).
    """
    accuracy, margin = correct.mean(axis=1, dtype=np.float64), margins.mean(axis=1, dtype=np.float64)  # (M,)
    loss = np.logaddexp(0.0, -margins.astype(np.float64)).mean(axis=1)  # (M,)
    return {
        "accuracy": float(accuracy.mean()),
        "accuracy_sd": float(accuracy.std()),
        "margin": float(margin.mean()),
        "margin_sd": float(margin.std()),
        "loss": float(loss.mean()),
        "loss_sd": float(loss.std()),
    }
