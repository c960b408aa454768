"""Groups, outliers and near-duplicates among the training points."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views.base import Column, ViewCard, plain, styled, typed
from engine.views.datamap import kinds

CARD = ViewCard(
    title="Unusual pictures and near-duplicates",
    question="Which training pictures stand alone, and which are nearly the same as another?",
    how=(
        "Each dot is one training picture, its colour its class. Further right it has no near neighbour, further up it "
        "is unlike the rest as a whole. At the far left lie pictures that are nearly the same as another: forgetting "
        "only one of the two is hardly good for anything."
    ),
)

COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "point": Column("Number of the training picture", "", 3),
        "class": Column("Its class", "", "cat"),
        "cluster": Column("Its group of alike pictures, 0 the largest", "", 2),
        "outlier": Column("How unlike the rest it is", "isolation score", 0.5),
        "nearest": Column("The training picture most like it", "", 7),
        "distance": Column("How far that is: 0 the same, 1 black against white", "root mean square", 0.1),
        "margin": Column("Margin of trained networks, where some looked at it", "logits", 4.5),
        "loss": Column("Loss of trained networks, where some looked at it", "nats", 0.1),
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per training point: point, class, cluster, outlier, nearest, distance, margin, loss.

    ``nearest`` is the point that is most like it and ``distance`` how far that is; ``margin`` and ``loss`` are known
    where networks were run on the points.
    """
    arrays = measurement.arrays
    names = np.asarray(measurement.facts["classes"], dtype=object)
    unknown = np.full(len(arrays["cluster"]), np.nan)
    columns = {
        "point": np.arange(len(unknown)),
        "class": names[arrays["labels"]],
        "cluster": arrays["cluster"],
        "outlier": arrays["outlier"],
        "nearest": arrays["neighbours"][:, 0],
        "distance": arrays["distance"][:, 0],
        "margin": arrays.get("margin", unknown),
        "loss": arrays.get("loss", unknown),
    }
    return typed(COLUMNS, pd.DataFrame(columns))


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw how unusual each point is over how far its nearest neighbour is."""
    made, shades = go.Figure(), kinds(colours)
    for number, (name, part) in enumerate(table.groupby("class", sort=False)):
        made.add_scattergl(
            x=part["distance"],
            y=part["outlier"],
            mode="markers",
            name=plain(name),
            marker={"size": 6, "color": shades[number % len(shades)], "opacity": 0.8},
            customdata=part[["point", "nearest"]],
            hovertemplate="point %{customdata[0]}, nearest %{customdata[1]}<extra></extra>",
        )
    made.update_xaxes(title_text="distance to the nearest neighbour (root mean square, 0 is the same)")
    made.update_yaxes(title_text="unlike the rest (isolation score)")
    return styled(made, colours, height=420)
