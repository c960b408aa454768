"""Prerequisites: plug-ins, each something that methods and forget sets read and that is computed before."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine import registry
from engine.prerequisites.base import Prerequisite, Reading, Reads
from engine.scope import Scope
from engine.unlearners.base import Unlearner

__all__ = [
    "Prerequisite",
    "Reading",
    "Reads",
    "fragments",
    "make_prerequisite",
    "once",
    "prerequisites",
    "prerequisites_of",
]


def prerequisites() -> Mapping[str, type[Prerequisite]]:
    """Return every prerequisite by key, in a stable order."""
    return registry.discover("engine.prerequisites", Prerequisite)


def make_prerequisite(choice: Mapping[str, object]) -> Prerequisite:
    """Return the prerequisite that ``choice`` names, with its settings; see :func:`engine.registry.make`."""
    return registry.make("engine.prerequisites", Prerequisite, choice, what="prerequisite")


def prerequisites_of(plugin: Reads) -> tuple[Prerequisite, ...]:
    """Return what a method or selector reads, with the settings it reads it with, in a stable order."""
    each = (kind.read_by(plugin) for kind in prerequisites().values())
    return tuple(prerequisite for prerequisite in each if prerequisite is not None)


def fragments(reads: Sequence[Prerequisite], scope: Scope) -> dict[str, Any]:
    """Return the part ``reads`` of a reader's spec: what each prerequisite's numbers depend on, by its word."""
    each = {prerequisite.reads: prerequisite.fragment(scope) for prerequisite in reads}
    return {word: fragment for word, fragment in each.items() if fragment is not None}


def once(method: Unlearner) -> str | None:
    """Return in one sentence why a method cannot take a second request on what the first left, else None.

    What was computed for the originals alone is wrong for networks that were already unlearned: a method that reads it
    works once, unless its ``goes_on`` is set.
    """
    words = [prerequisite.reads for prerequisite in prerequisites_of(method) if prerequisite.once]
    if not words or method.goes_on:
        return None
    return (
        f"{method.key}: it reads the {words[0]}, which tells of the originals and not of networks that have already "
        "forgotten something; take it out of a sequence of requests, or ask for all pictures at once"
    )
