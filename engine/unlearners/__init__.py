"""Unlearning methods: plug-ins that turn originals into models that should have forgotten."""

from __future__ import annotations

from collections.abc import Mapping

from engine import registry
from engine.unlearners.base import Unlearner


def unlearners() -> Mapping[str, type[Unlearner]]:
    """Return every method by key, in the order a visitor sees."""
    return registry.discover("engine.unlearners", Unlearner)


def make_unlearner(choice: Mapping[str, object]) -> Unlearner:
    """Return the method that ``choice`` names, with its settings; see :func:`engine.registry.make`."""
    return registry.make("engine.unlearners", Unlearner, choice, what="method")
