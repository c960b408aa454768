"""What an analysis returns: named arrays and plain facts, however many jobs measured them. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Measurement:
    """Arrays by name, and facts as plain JSON data that say what their axes are."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the measurement of all networks from those of its chunks: arrays (m, ...) in their order.

        Raises:
            ValueError: the chunks do not speak of the same things.
        """
        first = parts[0]
        if any(part.facts != first.facts for part in parts):
            raise ValueError("chunks of one analysis must have the same facts")
        return cls({name: np.concatenate([p.arrays[name] for p in parts]) for name in first.arrays}, first.facts)
