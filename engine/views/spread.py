"""Where the spread comes from, and how many runs of each kind one needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._networks import SPLIT
from engine.views.base import SPLIT_TITLES, Column, ViewCard, styled, tidy

CARD = ViewCard(
    title="Where the spread comes from",
    question="If this were done again, what would change the result: the network, the method's dice, or the pictures?",
    how=(
        "Each bar is how much one run's result varies (one standard deviation) through one source alone: starts, the "
        "network the method begins with; seeds, its own random choices; points, which pictures happen to be in the "
        "split. A method without chance has no seed bar, and still varies with the start: one network is not enough. "
        "Good is a result whose bars are small beside the difference one wants to see. The table says how many of each "
        "bring the standard error down to 1 percentage point of accuracy, or to 0.1 logits."
    ),
)
ENOUGH = {"margin": 0.1, "accuracy": 0.01}
"""The standard error that the needed numbers are counted for, by measure."""
TITLES = {"margin": "mean margin (logits)", "accuracy": "accuracy (percentage points)"}
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "measure": Column("Mean margin of the split, or its accuracy", "", "accuracy", tuple(TITLES)),
        "split": SPLIT,
        "source": Column("What varies", "", "starts", ("starts", "seeds", "points")),
        "level": Column("Mean over all runs: logits, or a share of 1", "", 0.9),
        "sd": Column("Standard deviation of one run through this source alone: logits, or a share of 1", "", 0.01),
        "share": Column("Share of the variance of one run", "", 0.4),
        "needed": Column("How many of these bring the standard error to 0.1 logits or 0.01", "", 4),
        "runs": Column("How many of these there were", "", 8),
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per measure, split and source: measure, split, source, level, sd, share, needed, runs."""
    sd, level, facts = measurement.arrays["sd"], measurement.arrays["level"], measurement.facts
    rows = []
    for m, measure in enumerate(facts["measures"]):
        for s, split in enumerate(facts["splits"]):
            total = float((sd[m, s].astype(float) ** 2).sum())
            for source, value in zip(facts["sources"], sd[m, s].astype(float), strict=True):
                runs = facts["points"][s] if source == "points" else facts[source]
                one = value**2 * (runs if source == "points" else 1)  # variance with one point instead of all
                rows.append(
                    {
                        "measure": measure,
                        "split": split,
                        "source": source,
                        "level": float(level[m, s]),
                        "sd": value,
                        "share": value**2 / total if total else 0.0,
                        "needed": max(1, math.ceil(one / ENOUGH[measure] ** 2 - 1e-9)),
                        "runs": runs,
                    }
                )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a panel per measure: a group of bars per split, one bar for each source."""
    made = make_subplots(rows=1, cols=len(TITLES), horizontal_spacing=0.12)
    hues = {"starts": colours.hue("original"), "seeds": colours.hue("unlearned"), "points": colours.quiet}
    for column, measure in enumerate(TITLES, start=1):
        scale = 100 if measure == "accuracy" else 1
        for source, part in table[table["measure"] == measure].groupby("source", sort=False):
            made.add_bar(
                row=1,
                col=column,
                x=[SPLIT_TITLES.get(split, split) for split in part["split"]],
                y=scale * part["sd"],
                name=str(source),
                legendgroup=str(source),
                showlegend=column == 1,
                marker={"color": hues[str(source)]},
                customdata=part[["needed", "runs"]],
                hovertemplate=f"{source}<br>%{{x}}: %{{y:.3g}}<br>needed: %{{customdata[0]:,}}, there were "
                "%{customdata[1]:,}<extra></extra>",
            )
        made.update_yaxes(title_text=f"spread of {TITLES[measure]}", row=1, col=column)
    made.update_xaxes(title_text="split", fixedrange=True)
    made.update_yaxes(rangemode="tozero", fixedrange=True)
    made = styled(made, colours, height=400)
    return made.update_layout(barmode="group", legend={"y": 1.14}, margin={"t": 50})
