"""Architectures: plug-ins that build one network; the engine stacks many of them."""

from __future__ import annotations

from collections.abc import Mapping

from engine import registry
from engine.models.base import Architecture


def architectures() -> Mapping[str, type[Architecture]]:
    """Return every architecture by key, in the order a visitor sees."""
    return registry.discover("engine.models", Architecture)


def make_architecture(choice: Mapping[str, object]) -> Architecture:
    """Return the architecture that ``choice`` names, with its settings; see :func:`engine.registry.make`."""
    return registry.make("engine.models", Architecture, choice, what="model")
