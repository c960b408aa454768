"""Metrics: plug-ins that read :class:`engine.metrics.base.Evidence` and answer one question per split. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.metrics._statistic import KlomStatistic
    from engine.metrics.base import Metric


def metrics() -> Mapping[str, type[Metric]]:
    """Return every metric by key, in the order a visitor sees."""
    from engine.metrics.base import Metric
    from engine.registry import discover

    return discover("engine.metrics", Metric)


def statistics() -> Mapping[str, type[KlomStatistic]]:
    """Return the metrics that are statistics of KLOM over the points of a split, by key."""
    from engine.metrics._statistic import KlomStatistic

    return {key: metric for key, metric in metrics().items() if issubclass(metric, KlomStatistic)}


def headline() -> type[KlomStatistic]:
    """Return the metric by which methods are ranked."""
    return next(metric for metric in statistics().values() if metric.headline)
