"""Epsilon per point: what is proved of how far the answers are from indistinguishable, per split."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import SMALL, Look
from engine.views._networks import ROLE, SPLIT, look_of
from engine.views.base import SPLIT_TITLES, Column, ViewCard, styled, tidy

CARD = ViewCard(
    title="Is the promise kept?",
    question="For how many points do the answers prove that the networks are not like retrained ones?",
    how=(
        "Points are sorted by what is proved of them: the curve says how large an epsilon is certain, with 95 % "
        "confidence, for how many. Epsilon 0 is no difference that can be proved, 1 means that some answer is e times "
        "as likely under one kind of network as under the other. Good is a blue curve that lies on the dotted one, two "
        "independent sets of oracles. A bound from few networks is low: no proof is no promise."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "share": Column("Share of the split's points for which no more than this is proved", "", 0.5),
        "epsilon": Column("Lower bound of epsilon, 95 % confidence", "nats", 0.5),
        "points": Column("Points of the split", "points", 50),
    }
)
_SHARES = np.linspace(0, 1, 41)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role, split and quantile over points: role, split, share, epsilon, points."""
    values, facts = measurement.arrays["epsilon"].clip(min=0), measurement.facts  # (roles, P)
    rows = []
    for r, role in enumerate(facts["roles"]):
        start = 0
        for split, end in zip(facts["splits"], facts["ends"], strict=True):
            here = values[r, start:end]  # (n,)
            if len(here):
                bounds = np.quantile(here, _SHARES)
                rows += [
                    {"role": role, "split": split, "share": float(s), "epsilon": float(e), "points": len(here)}
                    for s, e in zip(_SHARES, bounds, strict=True)
                ]
            start = end
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a panel per split: epsilon over the share of points, a line per role."""
    splits = list(dict.fromkeys(table["split"])) or ["forget"]
    made = make_subplots(
        rows=1,
        cols=len(splits),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        column_titles=[SPLIT_TITLES.get(split, split) for split in splits],
    )
    for column, split in enumerate(splits, start=1):
        for role, part in table[table["split"] == split].groupby("role", sort=False):
            look = look_of(str(role), colours)
            made.add_scatter(
                row=1,
                col=column,
                x=100 * part["share"],
                y=part["epsilon"],
                mode="lines",
                name=str(role),
                legendgroup=str(role),
                showlegend=column == 1,
                line={"color": look["colour"], "width": 2, "dash": look["dash"]},
                hovertemplate=f"{role}<br>%{{x:.0f}} % of points: at most %{{y:.2f}} is proved<extra></extra>",
            )
    made.update_xaxes(title_text="points, sorted (%)", fixedrange=True)
    made.update_yaxes(rangemode="tozero", fixedrange=True)
    made.update_yaxes(title_text="epsilon proved (nats)", row=1, col=1)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=400)
    return made.update_layout(legend={"y": 1.16}, margin={"t": 60})
