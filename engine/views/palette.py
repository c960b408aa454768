"""The colour of each method in figures that have many: blue to violet, greys for points of reference."""

from __future__ import annotations

from collections.abc import Mapping

from engine.cards import MethodFacts
from engine.theme import Look

_LIGHT = ("#0072B2", "#9B3FD0", "#C2307F", "#1F2466", "#3E9BD6", "#6A58E8", "#7A4A6E", "#00519C")
_DARK = ("#56B4E9", "#B98AFF", "#FF7FC0", "#4468FF", "#F3C6E8", "#8F97FF", "#2E86CC", "#D39BC4")
_PLAIN_LIGHT, _PLAIN_DARK = ("#5F6B7A", "#8A94A0", "#3D4652"), ("#97A3B0", "#6F7C8A", "#C3CCD6")


def places(facts: Mapping[str, MethodFacts]) -> dict[str, int]:
    """Return the place of each method (by id) in the palette: from 0 on, references from -1 down."""
    taken: dict[str, int] = {}
    for method, known in facts.items():
        reference = known.reference != ""
        before = sum(1 for place in taken.values() if (place < 0) == reference)
        taken[method] = -1 - before if reference else before
    return taken


def hue(place: int, colours: Look) -> str:
    """Return the colour at a place; never an original's or an oracle's."""
    if place < 0:
        greys = _PLAIN_DARK if colours.dark else _PLAIN_LIGHT
        return greys[(-1 - place) % len(greys)]
    shades = _DARK if colours.dark else _LIGHT
    return shades[place % len(shades)]
