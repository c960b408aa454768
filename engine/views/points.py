"""The points a method does worst, or best, on: a short ranked table that the picture grid shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.views.base import ViewCard

CARD = ViewCard(
    title="Points one by one",
    question="Which pictures does the network still remember, or remember wrongly?",
    how=(
        "The number under a picture is its KLOM, the bar the same up to the ceiling, the green mark its noise "
        "floor. Click a picture to see the margins of every network on it."
    ),
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
    return pd.DataFrame(
        {
            "point": chosen,
            "klom": klom[chosen],
            "floor": floor[chosen],
            "label": labels[chosen] if labels is not None else np.full(len(chosen), -1),
        }
    )
