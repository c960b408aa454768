"""Metrics: plug-ins that read :class:`engine.metrics.base.Evidence` and answer one question per split. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.metrics.base import Metric


def metrics() -> Mapping[str, type[Metric]]:
    """Return every metric by key, in the order a visitor sees."""
    from engine.metrics.base import Metric
    from engine.registry import discover

    return discover("engine.metrics", Metric)
