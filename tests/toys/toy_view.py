"""Toy peak: the surest forgotten picture of each role's networks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views.base import Column, ViewCard, styled, tidy

CARD = ViewCard(
    title="Toy peak",
    question="How sure are networks of the forgotten picture they are surest of?",
    how="Each bar is a mean over networks. Good is where the oracles are.",
)

COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": Column("Whose networks these are", "", "oracle"),
        "split": Column("Split", "", "forget"),
        "toy_peak": Column("Mean of the largest margin", "logits", 7.5),
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role."""
    peaks = measurement.arrays["peak"].mean(axis=0)  # (R,)
    rows = [
        {"role": role, "split": "forget", "toy_peak": float(peak)}
        for role, peak in zip(measurement.facts["roles"], peaks, strict=True)
    ]
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a bar per role."""
    made = go.Figure(go.Bar(x=table["role"], y=table["toy_peak"]))
    made.update_xaxes(title_text="networks")
    made.update_yaxes(title_text="largest margin (logits)")
    return styled(made, colours, height=280)
