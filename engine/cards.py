"""Cards: what a plug-in is, in words that pages, the command line and documents show."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
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
