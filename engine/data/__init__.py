"""Data sets: plug-ins that return :class:`engine.data.base.ImageData`, uint8 pixels in memory."""

from __future__ import annotations

from collections.abc import Mapping

from engine import registry
from engine.data.base import Dataset


def datasets() -> Mapping[str, type[Dataset]]:
    """Return every data set by key, in the order a visitor sees."""
    return registry.discover("engine.data", Dataset)


def make_dataset(choice: Mapping[str, object]) -> Dataset:
    """Return the data set that ``choice`` names, with its settings; see :func:`engine.registry.make`."""
    return registry.make("engine.data", Dataset, choice, what="data set")
