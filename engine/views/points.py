"""The points a method does worst, or best, on: a short ranked table that the picture grid shows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from engine.views.base import Column, ViewCard, typed

CARD = ViewCard(
    title="Points one by one",
    question="Which pictures does the network still remember, or remember wrongly?",
    how=(
        "The number under a picture is its KLOM, the bar the same up to the ceiling, the green mark its noise "
        "floor. Click a picture to see the margins of every network on it."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "point": Column("Number of the point; training points come first", "", 12),
        "klom": Column("KLOM of this point under the method", "nats", 2.5),
        "floor": Column("Noise floor of this point: KLOM of two sets of retrained networks", "nats", 0.625),
        "label": Column("Number of its class; -1 where it is not known", "", 3),
    }
)


def frame(
    *, klom: np.ndarray, floor: np.ndarray, points: np.ndarray, labels: np.ndarray | None, most: int, worst: bool = True
) -> pd.DataFrame:
    """Return the ``most`` points of ``points`` with the highest (or lowest) KLOM: point, klom, floor, label.

    ``klom`` and ``floor`` are (P,). Equal values keep the order of their numbers. ``labels`` (P,) may be unknown.
    """
    ids = np.sort(np.asarray(points, dtype=np.int64))
    values = klom[ids]  # (n,)
    order = np.argsort(-values if worst else values, kind="stable")[:most]
    chosen = ids[order]
    table = pd.DataFrame(
        {
            "point": chosen,
            "klom": klom[chosen],
            "floor": floor[chosen],
            "label": labels[chosen] if labels is not None else np.full(len(chosen), -1),
        }
    )
    return typed(COLUMNS, table)
