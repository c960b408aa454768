"""What can be drawn from the weights, in numbers: how like the class is what an attack draws."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import SMALL, Look
from engine.views._networks import NETWORKS, ROLE, look_of, spread
from engine.views.base import Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="What can be drawn from the weights?",
    question="Do pictures drawn from these weights look more like the class than those drawn from oracles?",
    how=(
        "Each dot is the likeness (structural similarity, 1 is the same picture) of what an attack draws to the mean "
        "picture of the class, left, and to the nearest forgotten picture, right; lines are one standard deviation "
        "over networks. Good is a blue dot no higher than the green ones: what is drawn from them needs no memory."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "class": Column("The class, or the part of one, that was drawn", "", "cat"),
        "forgotten": Column("Pictures of the class that are forgotten", "pictures", 12),
        "like": Column("What it is compared with", "", "mean", ("mean", "nearest")),
        "ssim": Column("Structural similarity, mean over networks; 1 is the same picture", "", 0.3),
        "sd": Column("Standard deviation of the similarity over networks", "", 0.05),
        "mse": Column("Mean squared difference of pixels from 0 to 1", "", 0.1),
        "sure": Column("Probability that the attacked network gives to the class", "", 0.9),
        "networks": NETWORKS,
    }
)
VALUE = "ssim"
LIKE = ("mean", "nearest")


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role, class and what it is compared with."""
    facts, arrays = measurement.facts, measurement.arrays
    rows = []
    for r, role in enumerate(facts["roles"]):
        if not np.isfinite(arrays["sure"][r]).any():
            continue
        for c, name in enumerate(facts["classes"]):
            for which, like in enumerate(LIKE):
                each = spread(arrays["ssim"][r, :, c, which])
                rows.append(
                    {
                        "role": role,
                        "class": name,
                        "forgotten": int(facts["forgotten"][c]),
                        "like": like,
                        "ssim": each.mean,
                        "sd": each.sd,
                        "mse": float(arrays["mse"][r, :, c, which].mean()),
                        "sure": float(arrays["sure"][r, :, c].mean()),
                        "networks": arrays["sure"].shape[1],
                    }
                )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw two panels: likeness to the mean and to the nearest forgotten picture, a group of dots per class."""
    made = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        column_titles=["to the mean picture of the class", "to the nearest forgotten picture"],
    )
    roles = list(dict.fromkeys(table["role"]))
    for column, like in enumerate(LIKE, start=1):
        for place, role in enumerate(roles):
            part = table[(table["like"] == like) & (table["role"] == role)]
            look = look_of(str(role), colours)
            shift = 0.16 * (place - (len(roles) - 1) / 2)
            made.add_scatter(
                row=1,
                col=column,
                x=[n + shift for n in range(len(part))],
                y=part["ssim"],
                error_y={"array": part["sd"], "thickness": 1, "width": 3},
                mode="markers",
                name="second oracle (floor)" if role == "second oracle" else str(role),
                legendgroup=str(role),
                showlegend=column == 1,
                marker={"color": look["colour"], "symbol": look["symbol"], "size": 9},
                hovertemplate=f"{role}<br>%{{y:.2f}}<extra></extra>",
            )
    names = [plain(name) for name in dict.fromkeys(table["class"])]
    made.update_xaxes(
        title_text="class", tickvals=list(range(len(names))), ticktext=names, zeroline=False, fixedrange=True
    )
    made.update_yaxes(fixedrange=True)
    made.update_yaxes(title_text="structural similarity (1 is the same)", row=1, col=1)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=360)
    return made.update_layout(legend={"y": 1.2}, margin={"t": 70})
