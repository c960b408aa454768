"""Data sets: plug-ins that return :class:`engine.data.base.ImageData`, uint8 pixels in memory."""

from __future__ import annotations

from collections.abc import Mapping

from engine.data.base import Dataset
from engine.registry import discover


def datasets() -> Mapping[str, type[Dataset]]:
    """Return every data set by key, in the order a visitor sees."""
    return discover("engine.data", Dataset)
