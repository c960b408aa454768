"""What a metric is, and the evidence it reads: margins and hits of four ensembles, as plain arrays."""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine.knobs import Configured
from engine.metrics._bins import CONVENTIONS, Convention, MetricError
from engine.metrics.health import diverged, small_n_warning
from engine.metrics.klom import floor, intervals, klom
from engine.records import SPLITS, Card

SUMMARIES: Mapping[str, float | None] = {"mean": None, "median": 0.5, "p95": 0.95}
"""How per-point KLOM becomes one number: the mean, or a quantile over points."""

ROLES = ("oracle", "floor", "original", "unlearned")


@dataclass(frozen=True)
class Reading:
    """One measured number, with the bounds of its 95% interval and the value at every point of the split, if any.

    ``per_point`` is in the order of ``Evidence.points[split]``.
    """

    value: float
    low: float | None = None
    high: float | None = None
    per_point: np.ndarray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Everything a metric may look at for one method.

    Margins are float (M, P), logits; ``*_correct`` are bool (M, P), whether the prediction is the true class. M may
    differ between ensembles. ``floor_*`` is a second oracle ensemble, trained independently of the first. ``points``
    holds the numbers of the points of each split. ``seconds`` is the method's time for all models together; ``cost``
    and ``retrain_cost`` are forward-equivalent example passes per model (a forward pass counts 1, a backward pass 2)
    of the method and of retraining. ``bootstrap`` resamples, drawn from ``seed``, make the intervals.

    What is derived (per-point KLOM, floor, intervals, diverged models) is worked out once, when first asked for.

    Raises:
        MetricError: shapes that do not fit, a split that is missing, empty or out of range, a bad convention.
    """

    oracle_margins: np.ndarray
    oracle_correct: np.ndarray
    original_margins: np.ndarray
    original_correct: np.ndarray
    unlearned_margins: np.ndarray
    unlearned_correct: np.ndarray
    points: Mapping[str, np.ndarray]
    seconds: float
    cost: float
    retrain_cost: float
    floor_margins: np.ndarray | None = None
    floor_correct: np.ndarray | None = None
    convention: Convention = "paper"
    bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that everything speaks about the same points."""
        if self.convention not in CONVENTIONS:
            raise MetricError(f"unknown KLOM convention {self.convention!r} (known: {', '.join(CONVENTIONS)})")
        count = self.oracle_margins.shape[-1]
        for role in ROLES:
            margins, correct = getattr(self, f"{role}_margins"), getattr(self, f"{role}_correct")
            if margins is None:
                continue
            if margins.ndim != 2 or margins.shape[1] != count or len(margins) == 0:
                raise MetricError(f"the {role} margins must be (models, {count} points), not {margins.shape}")
            if correct is not None and correct.shape != margins.shape:
                raise MetricError(f"the {role} models have margins {margins.shape} but hits {correct.shape}")
        for split in SPLITS:
            chosen = np.asarray(self.points.get(split, ()))
            if len(chosen) == 0:
                raise MetricError(f"the {split} split has no points, so nothing can be measured on it")
            if chosen.min() < 0 or chosen.max() >= count:
                raise MetricError(f"the {split} split names points outside 0 to {count - 1}")

    @functools.cached_property
    def left_out(self) -> Mapping[str, np.ndarray]:
        """Numbers of the diverged models of each ensemble; KLOM is measured without them."""
        roles = [role for role in ROLES if role != "original" and getattr(self, f"{role}_margins") is not None]
        return {role: diverged(getattr(self, f"{role}_margins")) for role in roles}

    @functools.cached_property
    def klom(self) -> np.ndarray:
        """KLOM at every point, in the chosen convention: float64 (P,), nats."""
        return self._klom(self.convention)

    @functools.cached_property
    def klom_other(self) -> np.ndarray:
        """KLOM at every point, in the convention that was not chosen: float64 (P,), nats."""
        return self._klom(self._not_chosen)

    @functools.cached_property
    def floor(self) -> np.ndarray | None:
        """KLOM of the second oracles at every point, (P,); of two halves of the oracles where there are no second ones.

        None where there are fewer than four oracles to halve. Halves hold half the models, so that floor is too high.

        Raises:
            MetricError: the second oracles share models with the first.
        """
        return self._floor(self.convention)

    @functools.cached_property
    def floor_other(self) -> np.ndarray | None:
        """The floor, as :attr:`floor`, in the convention that was not chosen: float64 (P,), nats."""
        return self._floor(self._not_chosen)

    @functools.cached_property
    def intervals(self) -> Mapping[str, Mapping[str, tuple[float, float]]]:
        """95% intervals of each of :data:`SUMMARIES` on each split."""
        return intervals(
            oracle=self._sound("oracle"),
            unlearned=self._sound("unlearned"),
            points=self.points,
            summaries=SUMMARIES,
            resamples=self.bootstrap,
            seed=self.seed,
            convention=self.convention,
        )

    @functools.cached_property
    def models(self) -> int:
        """Number of models KLOM rests on: the smaller of the oracles and the unlearned models that did not diverge."""
        return min(len(self._sound("oracle")), len(self._sound("unlearned")))

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the numbers should know, in plain sentences."""
        said = []
        names = {"oracle": "oracle", "floor": "second oracle", "unlearned": "unlearned model"}
        for role, numbers in self.left_out.items():
            if len(numbers) == 0:
                continue
            many = len(numbers) > 1
            some = ", ".join(map(str, numbers[:10])) + (" and more" if len(numbers) > 10 else "")
            said.append(
                f"{len(numbers)} {names[role]}{'s' if many else ''} diverged and {'are' if many else 'is'} left out of "
                f"KLOM (number{'s' if many else ''} {some}); accuracy still counts {'them' if many else 'it'}"
            )
        small = small_n_warning(self.models)
        if small is not None:
            said.append(small)
        if self.floor_margins is None:
            what = "unknown: there are too few oracles to halve"
            if self.floor is not None:
                what = "that of two halves of the oracles, and too high"
            said.append(f"There is no second oracle ensemble, so the noise floor is {what}")
        return tuple(said)

    def summary(self, per_point: np.ndarray, split: str, name: str) -> float:
        """Return one of :data:`SUMMARIES` of (P,) values over the points of a split."""
        values, quantile = per_point[self.points[split]], SUMMARIES[name]  # (n,)
        return float(values.mean() if quantile is None else np.quantile(values, quantile))

    def accuracy(self, role: str, split: str) -> float:
        """Return the share of correct answers of an ensemble on a split, averaged over all its models."""
        return float(getattr(self, f"{role}_correct")[:, self.points[split]].mean())

    def compute(self) -> float:
        """Return the method's work as a share of a retrain.

        Raises:
            MetricError: the cost of a retrain is unknown.
        """
        if not self.retrain_cost > 0:
            raise MetricError("the cost of a retrain is unknown, so the method's cannot be given as a share of it")
        return self.cost / self.retrain_cost

    @property
    def _not_chosen(self) -> Convention:
        return next(c for c in CONVENTIONS if c != self.convention)

    def _floor(self, convention: Convention) -> np.ndarray | None:
        oracle = self._sound("oracle")
        if self.floor_margins is not None:
            return floor(oracle=oracle, second=self._sound("floor"), convention=convention)
        if len(oracle) < 4:
            return None
        half = len(oracle) // 2
        return floor(oracle=oracle[:half], second=oracle[half : 2 * half], convention=convention)

    def _klom(self, convention: Convention) -> np.ndarray:
        return klom(oracle=self._sound("oracle"), unlearned=self._sound("unlearned"), convention=convention)

    def _sound(self, role: str) -> np.ndarray:
        """Return the margins of the models that did not diverge, without a copy where that is all of them."""
        margins, out = getattr(self, f"{role}_margins"), self.left_out[role]
        if len(margins) - len(out) < 2:
            raise MetricError(
                f"KLOM needs at least 2 {role} models that did not diverge, and {len(margins) - len(out)} of "
                f"{len(margins)} are left; lower the learning rate or train more models"
            )
        return margins if len(out) == 0 else np.delete(margins, out, axis=0)


@dataclass(frozen=True)
class Metric(Configured, abc.ABC):
    """A question about a method, answered per split. Subclasses live in ``engine/metrics`` and are found by scanning.

    ``card.better`` says which value is best: lower, higher, or closest to the oracle's own.
    """

    card: ClassVar[Card]
    order: ClassVar[int] = 100

    @abc.abstractmethod
    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the answer for each split.

        Raises:
            MetricError: it cannot be measured; :meth:`missing` says so beforehand.
        """

    def missing(self, evidence: Evidence) -> str | None:  # noqa: ARG002
        """Return what the evidence lacks for this metric, as a sentence, or None."""
        return None
