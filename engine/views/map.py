"""The map of the training points as measured; :mod:`engine.views.datamap` draws it with what is chosen on it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views import datamap
from engine.views.base import Column, ViewCard, typed

CARD = ViewCard(
    title="Map of the training pictures",
    question="Which pictures lie together?",
    how=(
        "Each dot is one training picture, its colour its class; pictures that resemble each other lie close together. "
        "With PCA across and up are the two directions in which the pictures vary most; with UMAP only who is near "
        "whom means something. A good map for choosing keeps classes apart, and what lies among another class is worth "
        "a look."
    ),
)

COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "point": Column("Number of the training picture", "", 3),
        "class": Column("Its class", "", "cat"),
        "x": Column("Its place across; scaled to -1 to 1", "no unit", 0.25),
        "y": Column("Its place up; scaled like x", "no unit", -0.5),
        "layout": Column("How the map was laid out", "", "pca", ("pca", "umap")),
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per training point: point, class, x, y, layout."""
    xy, labels = measurement.arrays["xy"], measurement.arrays["labels"]  # (N, 2), (N,)
    names = np.asarray(measurement.facts["classes"], dtype=object)
    layout = str(measurement.facts["layout"])
    columns = {"point": np.arange(len(xy)), "class": names[labels], "x": xy[:, 0], "y": xy[:, 1], "layout": layout}
    return typed(COLUMNS, pd.DataFrame(columns))


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw the map, coloured by class."""
    drawn = table.rename(columns={"point": "picture", "class": "label"}).assign(chosen=False)
    layout = str(table["layout"].iloc[0]) if len(table) else "pca"
    return datamap.figure(drawn, colours, by="label", layout=layout)
