"""Membership by threshold: how well forgotten points are told from test points, with each role's networks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._networks import NETWORKS, ROLE, SPLIT, look_of, spread
from engine.views.base import Column, ViewCard, number, styled, tidy

CARD = ViewCard(
    title="Membership by threshold",
    question="Do the networks give away that these pictures were once trained on?",
    how=(
        "Each dot is the mean over networks, the line one standard deviation. Left, how often a forgotten picture is "
        "answered more surely than a test picture: 0.5 is chance. Right, the share of forgotten pictures that are "
        "found while hardly any test picture is taken for one. It is good to lie where the oracles lie, not at "
        "chance: the second oracles (hollow) show how far apart two sets of oracles lie. Blue right of green: still "
        "remembered. Blue left of green: damaged where it can be seen."
    ),
)

COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "auc": Column("How often a forgotten point is answered more surely than a test point, ties half", "", 0.58),
        "auc_sd": Column("Standard deviation of the AUC over networks", "", 0.01),
        "tpr": Column("Share of forgotten points that are found at the false positive rate", "", 0.02),
        "tpr_sd": Column("Standard deviation of that share over networks", "", 0.01),
        "fpr": Column("Share of test points that may be called members", "", 0.01),
        "networks": NETWORKS,
    }
)
VALUE = "auc"


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role: role, split, auc, auc_sd, tpr, tpr_sd (over networks), fpr and networks."""
    auc, tpr = measurement.arrays["auc"], measurement.arrays["tpr"]  # (M, R)
    rows = []
    for r, role in enumerate(measurement.facts["roles"]):
        area, rate = spread(auc[:, r]), spread(tpr[:, r])
        rows.append(
            {
                "role": role,
                "split": "forget",
                "auc": area.mean,
                "auc_sd": area.sd,
                "tpr": rate.mean,
                "tpr_sd": rate.sd,
                "fpr": float(measurement.facts["fpr"]),
                "networks": area.networks,
            }
        )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw both numbers of every role side by side."""
    made = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.06)
    for row in table[::-1].to_dict("records"):
        look = look_of(row["role"], colours)
        for column, name in enumerate(("auc", "tpr"), start=1):
            text = f"{row['role']}<br>{name.upper()} {number(row[name], '.3f')}"
            made.add_scatter(
                row=1,
                col=column,
                x=[row[name]],
                y=[row["role"]],
                mode="markers",
                marker={"size": 11, "color": look["colour"], "symbol": look["symbol"]},
                error_x={
                    "array": [row[f"{name}_sd"]],
                    "arrayminus": [min(row[f"{name}_sd"], row[name])],  # no share lies below 0
                    "symmetric": False,
                    "color": look["colour"],
                    "thickness": 1.5,
                    "width": 4,
                },
                hovertemplate=f"{text}<extra></extra>",
                showlegend=False,
            )
    made.add_vline(x=0.5, row=1, col=1, line={"color": colours.quiet, "width": 1, "dash": "dot"})
    share = number(float(table["fpr"].iloc[0]) if len(table) else float("nan"), ".2g")
    made.update_xaxes(title_text="AUC, forget against test (0.5 is chance)", row=1, col=1, fixedrange=True)
    made.update_xaxes(
        title_text=f"share found at {share} false alarms (TPR)", row=1, col=2, fixedrange=True, rangemode="tozero"
    )
    made.update_yaxes(title_text="networks", row=1, col=1, fixedrange=True)
    made.update_yaxes(fixedrange=True, row=1, col=2)
    return styled(made, colours, height=280)
