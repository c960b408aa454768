"""Does a map mean something: what happens to the answer while the most attended pixels are taken away."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._networks import ROLE, look_of, spread
from engine.views.base import Column, ViewCard, styled, tidy

CARD = ViewCard(
    title="Does the map mean something?",
    question="Does the answer fall faster when the most attended pixels go first?",
    how=(
        "Solid: the mean probability of the class while the most attended pixels are taken away first; faint: while "
        "pixels go at random. A map is good where its solid line falls well before the faint one; where both fall "
        "alike, the map says nothing about what the network uses."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "order": Column("Which pixels go first", "", "attended", ("attended", "random")),
        "gone": Column("Share of the pixels that are gone", "", 0.3),
        "probability": Column("Mean probability of the class asked about, over pictures and networks", "", 0.6),
        "sd": Column("Standard deviation of that mean over networks", "", 0.1),
    }
)
ORDERS = ("attended", "random")


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role, order and share of pixels that are gone."""
    values = measurement.arrays["deletion"]  # (M, roles, 2, steps + 1)
    steps = values.shape[-1] - 1
    rows = []
    for r, role in enumerate(measurement.facts["roles"]):
        for o, order in enumerate(ORDERS):
            for step in range(steps + 1):
                each = spread(values[:, r, o, step])
                row = {"role": role, "order": order, "gone": step / steps, "probability": each.mean, "sd": each.sd}
                rows.append(row)
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a line per role and order."""
    made = go.Figure()
    for (role, order), part in table.groupby(["role", "order"], sort=False):
        look = look_of(str(role), colours)
        made.add_scatter(
            x=100 * part["gone"],
            y=np.asarray(part["probability"]),
            mode="lines",
            name=str(role),
            legendgroup=str(role),
            showlegend=order == ORDERS[0],
            opacity=1 if order == ORDERS[0] else 0.35,
            line={"color": look["colour"], "width": 2, "dash": look["dash"]},
            hovertemplate=f"{role}, {order} pixels first<br>%{{x:.0f}} % gone: %{{y:.2f}}<extra></extra>",
        )
    made.update_xaxes(title_text="pixels that are gone (%)", fixedrange=True)
    made.update_yaxes(title_text="probability of the class", range=[0, 1.02], fixedrange=True)
    made = styled(made, colours, height=340)
    return made.update_layout(legend={"y": 1.16}, margin={"t": 50})
