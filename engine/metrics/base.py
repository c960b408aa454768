"""What a metric is, and the evidence it reads: margins and hits of four ensembles, as plain arrays."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from engine.cards import Card
from engine.knobs import Configured
from engine.metrics._bins import CONVENTIONS, Convention, MetricError
from engine.metrics.health import diverged, fit, small_n_warning
from engine.metrics.klom import intervals, klom, refuse_shared
from engine.records import SPLITS

ROLES = ("oracle", "floor", "original", "unlearned")
REFERENCES = ("oracle", "floor", "original")
"""Ensembles that every metric also measures in the unlearned models' place; the floor is the second oracles'."""
PARTS = ("value", "low", "high", *REFERENCES)
"""The numbers of one metric on one split."""
WHOLE = ""
"""The split of a number that belongs to the method as a whole, such as its compute."""


@dataclass(frozen=True)
class Reading:
    """One measured number, with the bounds of its 95% interval where one is measured."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Everything a metric may look at for one method.

    Margins are float (M, P), logits; ``*_correct`` are bool (M, P), whether the prediction is the true class. M may
    differ between ensembles. ``floor_*`` is a second oracle ensemble, trained independently of the first. ``points``
    holds the numbers of the points of each split. ``seconds`` is the method's time for all models together; ``cost``
    and ``retrain_cost`` are forward-equivalent example passes per model (a forward pass counts 1, a backward pass 2)
    of the method and of retraining. ``bootstrap`` resamples, drawn from ``seed``, make the intervals; 0 makes none.
    Ensembles that no method made (:attr:`instead`) have neither seconds nor cost.

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
    seconds: float | None
    cost: float | None
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

    def left_out(self, role: str) -> np.ndarray:
        """Return the numbers of the models of an ensemble that diverged; KLOM is measured without them.

        Of unlearned models at most one in twenty: more are the method's own doing, see :attr:`broken`.
        """
        if role not in self._diverged:
            if role == "unlearned":
                self._diverged[role] = self._fit[0]
            else:
                self._diverged[role] = diverged(getattr(self, f"{role}_margins"))
        return self._diverged[role]

    @functools.cached_property
    def broken(self) -> int:
        """Number of unlearned models that broke and are measured with the others: too many to leave out.

        A method that breaks so many is no candidate, whatever its numbers are.
        """
        return len(self._fit[1])

    @functools.cached_property
    def _fit(self) -> tuple[np.ndarray, np.ndarray]:
        others = np.unique(np.concatenate([np.asarray(v, np.int64) for k, v in self.points.items() if k != "forget"]))
        return fit(unlearned=self.unlearned_margins[:, others], oracle=self._sound("oracle")[:, others])

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
        return self.instead["floor"].klom if "floor" in self.instead else None

    @functools.cached_property
    def floor_other(self) -> np.ndarray | None:
        """The floor, as :attr:`floor`, in the convention that was not chosen: float64 (P,), nats."""
        return self.instead["floor"].klom_other if "floor" in self.instead else None

    @functools.cached_property
    def instead(self) -> Mapping[str, Evidence]:
        """The evidence on each of :data:`REFERENCES` in the unlearned models' place, against the same oracles.

        Without second oracles the floor is that of one half of the oracles against the other half; with fewer than four
        oracles there is none.

        Raises:
            MetricError: the second oracles share models with the first.
        """
        others = {role: self._with(role) for role in ("oracle", "original")}
        if self.floor_margins is not None:
            refuse_shared(oracle=self._sound("oracle"), second=self._sound("floor"))
            # As many as the unlearned models that are measured: KLOM grows as models get fewer.
            rows = np.delete(np.arange(len(self.floor_margins)), self.left_out("floor"))  # (N'',)
            rows = rows[: len(self._sound("unlearned"))] if len(self.left_out("unlearned")) else rows
            others["floor"] = dataclasses.replace(
                self._with("floor"),
                unlearned_margins=self.floor_margins[rows],
                unlearned_correct=None if self.floor_correct is None else self.floor_correct[rows],
            )
            others["floor"]._diverged.update(oracle=self.left_out("oracle"), unlearned=np.empty(0, np.int64))
        elif len(self._sound("oracle")) >= 4:
            sound = np.delete(np.arange(len(self.oracle_margins)), self.left_out("oracle"))  # (N,)
            half = len(sound) // 2
            one, other = sound[:half], sound[half : 2 * half]
            others["floor"] = dataclasses.replace(
                self._with("oracle"),
                oracle_margins=self.oracle_margins[one],
                oracle_correct=self.oracle_correct[one],
                unlearned_margins=self.oracle_margins[other],
                unlearned_correct=self.oracle_correct[other],
            )
            others["floor"]._diverged.update(dict.fromkeys(("oracle", "unlearned"), np.empty(0, np.int64)))
        return others

    def interval(self, split: str, metric: str) -> tuple[float, float] | tuple[None, None]:
        """Return the 95% interval on a split of one of :func:`engine.metrics.statistics`; None without a bootstrap."""
        return self._intervals[split][metric] if self.bootstrap else (None, None)

    @functools.cached_property
    def _intervals(self) -> Mapping[str, Mapping[str, tuple[float, float]]]:
        """Intervals of all statistics on all splits: together they cost what one does."""
        from engine.metrics import statistics  # which lists what is made from this module

        return intervals(
            oracle=self._sound("oracle"),
            unlearned=self._sound("unlearned"),
            points=self.points,
            summaries={key: statistic.quantile for key, statistic in statistics().items()},
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
        sentences = []
        names = {"oracle": "oracle", "floor": "second oracle", "unlearned": "unlearned model"}
        for role, name in names.items():
            numbers = self.left_out(role) if getattr(self, f"{role}_margins") is not None else ()
            if len(numbers) == 0:
                continue
            many = len(numbers) > 1
            some = ", ".join(map(str, numbers[:10])) + (" and more" if len(numbers) > 10 else "")
            sentences.append(
                f"{len(numbers)} {name}{'s' if many else ''} diverged and {'are' if many else 'is'} left out of "
                f"KLOM (number{'s' if many else ''} {some}); accuracy still counts {'them' if many else 'it'}"
            )
        if self.broken:
            sentences.append(
                f"{self.broken} of {len(self.unlearned_margins)} networks broke: on what should be kept they answer "
                "more than ten times as far from the oracles as oracles from each other. They are counted in, and the "
                "method is not ranked"
            )
        small = small_n_warning(self.models)
        if small is not None:
            sentences.append(small)
        if self.floor_margins is None:
            what = "unknown: there are too few oracles to halve"
            if self.floor is not None:
                what = "that of two halves of the oracles, and too high"
            sentences.append(f"There is no second oracle ensemble, so the noise floor is {what}")
        return tuple(sentences)

    def accuracy(self, role: str, split: str) -> float:
        """Return the share of correct answers of an ensemble on a split, averaged over all its models."""
        return float(getattr(self, f"{role}_correct")[:, self.points[split]].mean())

    def compute(self) -> float:
        """Return the method's work as a share of a retrain.

        Raises:
            MetricError: the cost of a retrain is unknown, or no method made these models.
        """
        if self.cost is None:
            raise MetricError("no method made these models, so there is no cost to give")
        if not self.retrain_cost > 0:
            raise MetricError("the cost of a retrain is unknown, so the method's cannot be given as a share of it")
        return self.cost / self.retrain_cost

    @property
    def _not_chosen(self) -> Convention:
        return next(c for c in CONVENTIONS if c != self.convention)

    @functools.cached_property
    def _diverged(self) -> dict[str, np.ndarray]:
        return {}

    def _with(self, role: str) -> Evidence:
        """Return the evidence with another ensemble in the unlearned models' place; no method made that one."""
        other = dataclasses.replace(
            self,
            unlearned_margins=getattr(self, f"{role}_margins"),
            unlearned_correct=getattr(self, f"{role}_correct"),
            seconds=None,
            cost=None,
            bootstrap=0,
        )
        other._diverged.update(oracle=self.left_out("oracle"), unlearned=self.left_out(role))
        return other

    def _klom(self, convention: Convention) -> np.ndarray:
        return klom(oracle=self._sound("oracle"), unlearned=self._sound("unlearned"), convention=convention)

    def _sound(self, role: str) -> np.ndarray:
        """Return the margins of the models that did not diverge, without a copy where that is all of them."""
        margins, out = getattr(self, f"{role}_margins"), self.left_out(role)
        if len(margins) - len(out) < 2:
            raise MetricError(
                f"KLOM needs at least 2 {role} models that did not diverge, and {len(margins) - len(out)} of "
                f"{len(margins)} are left; lower the learning rate or train more models"
            )
        if role == "unlearned" and self.broken:
            return self._counted_in
        return margins if len(out) == 0 else np.delete(margins, out, axis=0)

    @functools.cached_property
    def _counted_in(self) -> np.ndarray:
        """Return the margins of all unlearned models, those of broken ones no farther off than those of any other.

        KLOM cuts the joint range in bins: a few answers far outside would put all others into one bin and hide
        everything. At the edge of the others' range they count as what they are, answers no oracle gives.
        """
        margins, lost = self.unlearned_margins.copy(), self._fit[1]
        others = np.concatenate([self._sound("oracle"), np.delete(margins, lost, axis=0)])  # (n, P)
        low, high = others.min(axis=0), others.max(axis=0)  # (P,)
        margins[lost] = np.clip(np.where(np.isfinite(margins[lost]), margins[lost], low), low, high)
        return margins


@dataclass(frozen=True)
class Metric(Configured, abc.ABC):
    """A question about a method, answered per split. Subclasses live in ``engine/metrics`` and are found by scanning.

    ``read`` is all a metric must have: :func:`engine.metrics.evaluate.evaluate` also asks it about each of
    :data:`REFERENCES` in the unlearned models' place. ``card.better`` says which value is best: lower, higher, or
    closest to the oracle's own. Tables show it under ``short`` (the card's name without one), as a ``form`` with
    ``digits`` after the point, and the parts of it in ``beside`` next to it. A metric that is not ``per_split`` has one
    number for the method as a whole. ``bounds`` are the least and the largest value there can be, None where there is
    no end. Exactly one metric is the ``headline``, by which methods are ranked. An ``extra`` one is in files and JSON,
    and in tables for people only when it is chosen.
    """

    card: ClassVar[Card]
    order: ClassVar[int] = 100
    short: ClassVar[str] = ""
    form: ClassVar[Literal["number", "percent"]] = "number"
    digits: ClassVar[int] = 2
    per_split: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("floor",)
    bounds: ClassVar[tuple[float | None, float | None]] = (None, None)
    headline: ClassVar[bool] = False
    extra: ClassVar[bool] = False

    @abc.abstractmethod
    def read(self, evidence: Evidence) -> dict[str, Reading]:
        """Return the answer for each split; where it is not :attr:`per_split`, one for :data:`WHOLE`.

        Raises:
            MetricError: it cannot be measured; :meth:`missing` says so beforehand.
        """

    def missing(self, evidence: Evidence) -> str | None:  # noqa: ARG002
        """Return what the evidence lacks for this metric, as a sentence, or None."""
        return None

    @classmethod
    def title(cls) -> str:
        """Return the title of a column of values."""
        return cls.short or cls.card.name

    @classmethod
    def axis(cls) -> str:
        """Return the title of an axis of values, with their unit."""
        return f"{cls.card.name} ({cls.card.unit})" if cls.card.unit else cls.card.name

    @classmethod
    def written(cls, value: float | None) -> str:
        """Return a value as text, "-" where it was not measured."""
        if value is None or not math.isfinite(value):
            return "-"
        return f"{100 * value:z.{cls.digits}f} %" if cls.form == "percent" else f"{value:z.{cls.digits}f}"

    @classmethod
    def distance(cls, value: float, oracle: float | None = None) -> float:
        """Return how far a value is from the best one, up to a constant: the lowest is the best."""
        if cls.card.better == "oracle":
            return abs(value - (0.0 if oracle is None else oracle))
        return -value if cls.card.better == "higher" else value
