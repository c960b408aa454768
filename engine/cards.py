"""Cards: what a plug-in is, in words that pages, the command line and documents show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Card:
    """What a plug-in is, in words a page can show.

    ``summary`` is one sentence for a newcomer. ``reads`` names what a method may look at. ``departs`` says where and
    why we differ from the paper; empty means we do not. ``arxiv`` is the bare number. ``claims`` names the kinds of
    request the paper makes a claim about (:data:`engine.claims.CLAIMS`); none means any.
    """

    name: str
    summary: str
    family: str = ""
    formula: str = ""
    reads: tuple[str, ...] = ()
    cost: str = ""
    paper: str = ""
    year: int = 0
    arxiv: str = ""
    departs: str = ""
    fails: str = ""
    better: Literal["", "lower", "higher", "oracle"] = ""
    unit: str = ""
    claims: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the card as plain JSON data."""
        return {**dataclasses.asdict(self), "reads": list(self.reads), "claims": list(self.claims)}


@dataclass(frozen=True)
class Preset:
    """Settings that belong together, with where they come from.

    ``settings`` maps knobs to values, the others have their default; ``training`` are settings of the networks'
    training that belong to it; ``source`` says where they were published or chosen; ``number`` is what was published
    with them and on what; ``gap`` says what is not the same here, or cannot be expressed. Without settings there is
    nothing to choose, only the gap to know of.
    """

    settings: Mapping[str, int | float | bool | str]
    source: str
    number: str = ""
    gap: str = ""
    training: Mapping[str, int | float | bool | str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return the preset as plain JSON data."""
        about = {"source": self.source, "number": self.number, "gap": self.gap}
        return {"settings": dict(self.settings), **about, "training": dict(self.training)}


RANDOM, CLASSES, PAPER = "random pictures", "a class or cluster", "as in the paper"
PRESETS = (RANDOM, CLASSES, PAPER)
"""Kinds of preset: two for kinds of forget set, searched for on networks of their own, and one that was published."""

REFERENCES = ("", "do nothing", "retrain", "partial retrain")
"""Kinds of reference, there to be compared with; a method that is tried is none."""


@dataclass(frozen=True)
class MethodFacts:
    """What a view needs of a method with its settings, besides its name.

    ``starts`` is where its step 0 stands, "original" or "fresh"; ``reference`` one of :data:`REFERENCES`.
    """

    key: str = ""
    starts: str = "original"
    reference: str = ""
