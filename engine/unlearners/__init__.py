"""Unlearning methods: plug-ins that turn originals into models that should have forgotten."""

from __future__ import annotations

from collections.abc import Mapping

from engine.registry import discover
from engine.unlearners.base import Unlearner


def unlearners() -> Mapping[str, type[Unlearner]]:
    """Return every method by key, in the order a visitor sees."""
    return discover("engine.unlearners", Unlearner)
