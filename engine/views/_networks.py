"""What views of analyses share: numbers of networks one by one become a mean and a spread, and roles a look."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.records import EARLIER, SPLITS
from engine.theme import Look
from engine.views.base import Column

ROLES = ("original", "unlearned", "oracle", "second oracle")
ROLE = Column("Whose networks these are; the second oracles are the floor", "", "unlearned", ROLES)
SPLIT = Column("The points that were looked at", "", "forget", (*SPLITS, EARLIER))
NETWORKS = Column("Networks that have a value", "networks", 10)


class Spread(NamedTuple):
    """Mean and standard deviation over the networks that have a value, and how many those are."""

    mean: float
    sd: float
    networks: int


def spread(values: np.ndarray) -> Spread:
    """Return the spread of one number per network (M,); NaN of a network that has none is left out."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return Spread(float("nan"), float("nan"), 0)
    return Spread(float(known.mean()), float(known.std()), int(known.size))


def look_of(role: str, colours: Look) -> dict[str, Any]:
    """Return colour, dash and symbol of a role; second oracles, the floor, are as the oracles but hollow and dotted."""
    second = role == "second oracle"
    colour = colours.hue("oracle" if second else role)
    return {"colour": colour, "dash": "dot" if second else "solid", "symbol": "circle-open" if second else "circle"}
