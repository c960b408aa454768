"""How sure are they: the largest probability and the entropy of answers, as distributions over networks and points."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._answers import Answers
from engine.views._networks import ROLE, SPLIT, look_of
from engine.views.base import SPLIT_TITLES, Column, ViewCard, styled, tidy

CARD = ViewCard(
    title="How sure are they?",
    question="Are the networks as sure, and as torn, as networks that never saw the forget set?",
    how=(
        "Each curve says for how large a share of answers the largest probability (left) or the entropy (right) is at "
        "most so much. Good is a blue curve on the green one. A blue curve further right means networks that are surer "
        "than they should be, on the left, and that hesitate where the oracles do not, on the right."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "measure": Column("The largest probability, or the entropy in nats", "", "sure", ("sure", "entropy")),
        "share": Column("Share of answers with at most this value", "", 0.5),
        "value": Column("The value: a probability, or nats", "", 0.9),
    }
)
_SHARES = np.linspace(0, 1, 51)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role, split, measure and quantile over networks and points."""
    answers = Answers(measurement)
    rows = []
    for role in answers.roles:
        for split, points in answers.splits.items():
            if not len(points):
                continue
            for measure in ("sure", "entropy"):
                values = np.quantile(answers.of(measure, role)[:, points], _SHARES)
                rows += [
                    {"role": role, "split": split, "measure": measure, "share": float(s), "value": float(v)}
                    for s, v in zip(_SHARES, values, strict=True)
                ]
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look, *, split: str = "forget") -> go.Figure:
    """Draw two panels of one split: largest probability and entropy, a curve for each role."""
    made = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    for column, measure in enumerate(("sure", "entropy"), start=1):
        part = table[(table["split"] == split) & (table["measure"] == measure)]
        for role, one in part.groupby("role", sort=False):
            look = look_of(str(role), colours)
            made.add_scatter(
                row=1,
                col=column,
                x=one["value"],
                y=100 * one["share"],
                mode="lines",
                name=str(role),
                legendgroup=str(role),
                showlegend=column == 1,
                line={"color": look["colour"], "width": 2, "dash": look["dash"]},
                hovertemplate=f"{role}<br>%{{y:.0f}} % of answers: at most %{{x:.2f}}<extra></extra>",
            )
    made.update_xaxes(fixedrange=True)
    made.update_xaxes(title_text="largest probability", range=[-0.02, 1.02], row=1, col=1)
    made.update_xaxes(title_text="entropy (nats)", rangemode="tozero", row=1, col=2)
    made.update_yaxes(title_text=f"answers on the {SPLIT_TITLES.get(split, split).lower()} (%)", row=1, col=1)
    made.update_yaxes(range=[-2, 102], fixedrange=True)
    made = styled(made, colours, height=340)
    return made.update_layout(legend={"y": 1.16}, margin={"t": 50})
