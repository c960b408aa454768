"""Architectures: plug-ins that build one network; the engine stacks many of them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.models.base import Architecture
from engine.registry import discover


def architectures() -> Mapping[str, type[Architecture]]:
    """Return every architecture by key, in the order a visitor sees."""
    return discover("engine.models", Architecture)
