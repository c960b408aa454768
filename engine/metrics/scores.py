"""The scores of one method as they are stored and sent: tidy rows, and the columns of tables made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from engine.metrics import metrics, statistics
from engine.metrics._statistic import KlomStatistic
from engine.metrics.base import PARTS, WHOLE, Metric


@dataclass(frozen=True)
class Scores:
    """What was measured of one method with its first ``models`` models.

    ``rows`` are plain JSON objects, one per metric and split, with the keys

    - split, metric: the split (:data:`engine.metrics.base.WHOLE`, "", for a number of the method as a whole) and the
      metric's key;
    - value, low, high: the number and its 95% interval;
    - oracle, floor, original: what the same metric says of the oracles, of the second oracles and of the originals in
      the unlearned models' place; the floor of KLOM is its noise floor, that of accuracy the second oracles' own.

    A number that was not measured is None. ``models`` is how many KLOM rests on; ``convention`` is KLOM's; ``warnings``
    are sentences that a reader should know. ``broken`` networks are counted in although they lost what they should
    keep, because the method broke too many to leave them out: such a method is never ranked.
    """

    models: int
    convention: str
    warnings: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    broken: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the scores as plain JSON data."""
        return {**dataclasses.asdict(self), "warnings": list(self.warnings), "rows": [dict(row) for row in self.rows]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        warnings, rows = tuple(value["warnings"]), tuple(value["rows"])
        return cls(value["models"], value["convention"], warnings, rows, value.get("broken", 0))

    @property
    def splits(self) -> list[str]:
        """The splits that were measured, in their order."""
        return [split for split in dict.fromkeys(row["split"] for row in self.rows) if split != WHOLE]

    def value(self, metric: type[Metric], split: str, part: str = "value") -> float | None:
        """Return a number of a metric on a split, or that of the method as a whole; None where it was not measured."""
        rows = {row["split"]: row for row in self.rows if row["metric"] == metric.key}
        row = rows.get(split) or rows.get(WHOLE)
        return None if row is None else row[part]

    def wide(self) -> list[dict[str, Any]]:
        """Return one row per split: split, models, broken, convention, and every column of :func:`columns`."""
        by = {(row["metric"], row["split"]): row for row in self.rows}
        about = {"models": self.models, "broken": self.broken, "convention": self.convention}
        rows = []
        for split in self.splits:
            here = {key: by.get((key, split)) or by.get((key, WHOLE)) or {} for key in metrics()}
            rows.append({"split": split, **about, **{c.name: here[c.metric.key].get(c.part) for c in columns()}})
        return rows

    def recomputed(
        self, *, klom: np.ndarray, floor: np.ndarray, points: Mapping[str, np.ndarray], convention: str
    ) -> Self:
        """Return the scores with every statistic of KLOM made anew from per-point values, (P,) each.

        For a convention that was not asked for: its intervals, and the originals' KLOM, were not measured.
        """
        rows = []
        for row in self.rows:
            statistic = statistics().get(row["metric"])
            if statistic is not None:
                ids = points[row["split"]]  # (n,)
                made = {"value": _of(statistic, klom[ids]), "floor": _of(statistic, floor[ids])}
                row = {**row, **made, "low": None, "high": None, "original": None}
            rows.append(row)
        return dataclasses.replace(self, convention=convention, rows=tuple(rows))


def _of(statistic: type[KlomStatistic], values: np.ndarray) -> float | None:
    """Return the statistic of (n,) values, None where they are unknown."""
    return statistic.of(values) if len(values) and np.isfinite(values).all() else None


@dataclass(frozen=True)
class Column:
    """A column of a wide table: one part of one metric."""

    metric: type[Metric]
    part: str = "value"

    @property
    def name(self) -> str:
        """Its name in frames, JSON and CSV: the metric's key, and the part where it is not the value."""
        return self.metric.key if self.part == "value" else f"{self.metric.key}_{self.part}"

    @property
    def title(self) -> str:
        """Its title in tables for people."""
        return {
            "value": self.metric.title(),
            "floor": f"{self.metric.title()}, floor",
            "oracle": f"{self.metric.title()}, oracles",
            "original": f"{self.metric.title()}, originals",
        }.get(self.part, self.part)

    @property
    def help(self) -> str:
        """What it says, as a sentence."""
        return {
            "value": self.metric.card.summary,
            "low": "95 % bootstrap interval over models, lower end.",
            "high": "95 % bootstrap interval over models, upper end.",
            "floor": "The same of a second, independent set of oracles.",
            "oracle": "The same of the oracles.",
            "original": "The same of the originals.",
        }[self.part]


def columns(chosen: type[Metric] | None = None, parts: Sequence[str] = PARTS) -> list[Column]:
    """Return the columns of a wide table: every metric, each followed by those of ``parts`` that stand beside it.

    With a ``chosen`` statistic of KLOM it comes first, and the other statistics show their values alone.
    """
    first = [] if chosen is None else [chosen]
    others = statistics() if chosen is not None else {}
    return [
        Column(metric, part)
        for metric in dict.fromkeys([*first, *metrics().values()])
        for part in PARTS
        if part in parts
        and (part == "value" or (part in metric.beside and (metric is chosen or metric.key not in others)))
    ]
