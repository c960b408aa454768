"""KLOM as metrics: three statistics over the points of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.metrics._statistic import KlomStatistic, klom_card


@dataclass(frozen=True)
class KlomP95(KlomStatistic):
    """The headline: the value that all but the worst twentieth of the points stay below."""

    key = "klom_p95"
    order: ClassVar[int] = 10
    card = klom_card(
        "KLOM, 95th percentile",
        "How far the worst points answer from a network that never saw the forget set: 0 is perfect, about 11.5 the "
        "most.",
    )
    short = "KLOM p95"
    headline = True
    quantile = 0.95
    label = "95th percentile"
    meaning = "the KLOM that 95 % of the points stay below"


@dataclass(frozen=True)
class KlomMean(KlomStatistic):
    """The average over points."""

    key = "klom_mean"
    order: ClassVar[int] = 11
    card = klom_card(
        "KLOM, mean", "How far the average point answers from a network that never saw the forget set: 0 is perfect."
    )
    short = "KLOM mean"
    label = "Mean"
    meaning = "the mean KLOM of the points"


@dataclass(frozen=True)
class KlomMedian(KlomStatistic):
    """The middle over points."""

    key = "klom_median"
    order: ClassVar[int] = 12
    card = klom_card(
        "KLOM, median", "How far the middle point answers from a network that never saw the forget set: 0 is perfect."
    )
    short = "KLOM median"
    quantile = 0.5
    label = "Median"
    meaning = "the KLOM that half of the points stay below"


@dataclass(frozen=True)
class KlomP85(KlomStatistic):
    """The value that 85 % of the points stay below: for methods whose worst points are always far off."""

    key = "klom_p85"
    order: ClassVar[int] = 13
    card = klom_card(
        "KLOM, 85th percentile",
        "How far most points answer from a network that never saw the forget set, the worst 15 % aside: 0 is perfect.",
    )
    short = "KLOM p85"
    extra = True
    quantile = 0.85
    label = "85th percentile"
    meaning = "the KLOM that 85 % of the points stay below"


@dataclass(frozen=True)
class KlomP99(KlomStatistic):
    """The value that all but the worst hundredth of the points stay below; with few points, their worst."""

    key = "klom_p99"
    order: ClassVar[int] = 14
    card = klom_card(
        "KLOM, 99th percentile",
        "How far the very worst points answer from a network that never saw the forget set: 0 is perfect.",
    )
    short = "KLOM p99"
    extra = True
    quantile = 0.99
    label = "99th percentile"
    meaning = "the KLOM that 99 % of the points stay below"
