"""KLOM along a method's run: how far its networks are from the oracles after each part of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import plotly.graph_objects as go

from engine.metrics import scores, statistics
from engine.records import SPLITS
from engine.theme import DASH, Look
from engine.views import course
from engine.views.base import SPLIT_TITLES, Column, ViewCard, of_metrics, styled
from engine.views.headline import chosen_statistic, columns

CARD = ViewCard(
    title="KLOM along the run",
    question="At which moment of the run are the networks closest to networks that never saw the forget set?",
    how=(
        "Each line is KLOM on one split after so much of the run: lower is better, and the noise floor is as good as "
        "retraining. A forget line that falls and rises again has passed its best moment; a retain line that rises "
        "says what that costs the kept pictures."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "share": Column("How much of the method's run is done", "", 0.5),
        "split": Column("Which points it is measured on", "", "forget", SPLITS),
        "points": Column("Points it is measured on: all of a split, or an even draw of 500", "points", 50),
        "models": Column("Models of each ensemble", "models", 100),
    }
)
frame = course.frame


def documented() -> Mapping[str, Column]:
    """Return all columns of the table: :data:`COLUMNS`, and the value of each statistic of KLOM."""
    return {**COLUMNS, **of_metrics([scores.Column(metric, "value") for metric in statistics().values()])}


def figure(table: pd.DataFrame, colours: Look, *, statistic: str = "", mark: float | None = None) -> go.Figure:
    """Draw a line per split; ``mark`` is a moment of the run."""
    value = columns(statistic)[0]
    made = go.Figure()
    for split, part in table.groupby("split", sort=False):
        title = SPLIT_TITLES.get(str(split), str(split))
        made.add_scatter(
            x=100 * part["share"],
            y=part[value],
            mode="lines+markers",
            name=title,
            line={"color": colours.hue("unlearned"), "width": 2, "dash": DASH.get(str(split), "solid")},
            marker={"size": 7},
            hovertemplate=f"{title}<br>%{{x:.0f}} % of the run: %{{y:.2f}}<extra></extra>",
        )
    if mark is not None:
        made.add_vline(x=100 * mark, line={"color": colours.quiet, "width": 1, "dash": "dot"})
    made.update_xaxes(title_text="share of the run (%)", range=[-2, 102], fixedrange=True)
    made.update_yaxes(
        title_text=f"KLOM, {chosen_statistic(statistic).label.lower()} (nats)", rangemode="tozero", fixedrange=True
    )
    made = styled(made, colours, height=300)
    return made.update_layout(legend={"y": 1.2}, margin={"t": 50})
