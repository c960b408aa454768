"""Analyses: questions about stored networks, each answered by one file. See :mod:`engine.analyses.base`."""

from __future__ import annotations

from collections.abc import Mapping

from engine import registry
from engine.analyses.base import Analysis


def analyses() -> Mapping[str, type[Analysis]]:
    """Return every analysis by key, in the order a visitor sees."""
    return registry.discover("engine.analyses", Analysis)


def make_analysis(choice: Mapping[str, object]) -> Analysis:
    """Return the analysis that ``choice`` names, with its settings; see :func:`engine.registry.make`."""
    return registry.make("engine.analyses", Analysis, choice, what="analysis")
