"""A bound on the loss beside the loss: what the distance of the weights promises, and whether that says anything."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._networks import NETWORKS, ROLE, SPLIT, look_of, spread
from engine.views.base import Column, ViewCard, number, styled, tidy

CARD = ViewCard(
    title="What the weights promise",
    question="How much worse than a retrain can these networks be, judged by their weights alone?",
    how=(
        "A dot is the loss that is measured, the bar above it the most it could be, given how far the weights lie "
        "from a retrained network's. A bar below the dashed line is a good promise; one above it is vacuous, for "
        "guessing costs no more. Second oracles show how much two retrained networks promise about each other."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "loss": Column("Mean cross-entropy of the points, mean over networks", "nats", 0.2),
        "oracle": Column("The same of the oracles", "nats", 0.3),
        "distance": Column("Length of the difference to the oracle's weights, mean over networks", "weights", 1.0),
        "bound": Column("Most the loss can be: the oracle's plus slope times distance, mean", "nats", 2.0),
        "holds": Column("Share of networks whose loss is below their bound", "", 1.0),
        "vacuous": Column("Share of networks whose bound is no better than guessing", "", 0.0),
        "guess": Column("Loss of a guess, log of the number of classes", "nats", 2.3),
        "networks": NETWORKS,
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role but the oracle and split: role, split, loss, oracle, distance, bound, holds, vacuous."""
    facts, loss = measurement.facts, measurement.arrays["loss"].astype(float)  # (M, roles, splits)
    oracle, chance = loss[:, facts["roles"].index("oracle")], facts["chance"]  # (M, splits)
    rows = []
    for d, role in enumerate(facts["against"]):
        distance = measurement.arrays["distance"][:, d].astype(float)  # (M,)
        for s, split in enumerate(facts["splits"]):
            most = oracle[:, s] + measurement.arrays["slope"] * distance  # (M,)
            own = loss[:, facts["roles"].index(role), s]
            rows.append(
                {
                    "role": role,
                    "split": split,
                    "loss": spread(own).mean,
                    "oracle": spread(oracle[:, s]).mean,
                    "distance": spread(distance).mean,
                    "bound": spread(most).mean,
                    "holds": float((own <= most).mean()),
                    "vacuous": float((most >= chance).mean()),
                    "guess": chance,
                    "networks": len(own),
                }
            )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw loss and bound of every role for each split, on a log scale, with the loss of a guess."""
    made = go.Figure()
    for role, part in table.groupby("role", sort=False):
        look = look_of(str(role), colours)
        text = [
            f"{role}, {row['split']}<br>loss {number(row['loss'], '.3f')}, at most {number(row['bound'], '.3g')}"
            for row in part.to_dict("records")
        ]
        for what, symbol in (("loss", look["symbol"]), ("bound", "line-ew")):
            made.add_scatter(
                x=[f"{split}<br>{role}" for split in part["split"]],
                y=part[what],
                mode="markers",
                marker={
                    "size": 11 if what == "loss" else 26,
                    "color": look["colour"],
                    "symbol": symbol,
                    "line": {"color": look["colour"], "width": 3},
                },
                text=text,
                hovertemplate="%{text}<extra></extra>",
                showlegend=False,
            )
    if len(table):
        guess = float(table["guess"].iloc[0])
        made.add_hline(y=guess, line={"color": colours.quiet, "dash": "dash", "width": 1})
    order = [f"{split}<br>{role}" for split in dict.fromkeys(table["split"]) for role in dict.fromkeys(table["role"])]
    made.update_xaxes(
        title_text="split and networks", fixedrange=True, categoryorder="array", categoryarray=order, tickangle=0
    )
    made.update_yaxes(title_text="loss and its bound (nats, log)", type="log", fixedrange=True)
    return styled(made, colours, height=360)
