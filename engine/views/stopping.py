"""When would one have to stop: the best moment of the run for each forgotten picture."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.theme import Look
from engine.views.base import Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="When would one have to stop?",
    question="At which moment of the run is each picture closest to its target?",
    how=(
        "Each bar counts the pictures whose best moment falls there. Good is one tall bar at the right end: the whole "
        "run helps every picture. Bars spread over the run mean that each picture asks for another stopping point."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "share": Column("Share of the run, to the nearest tenth", "", 0.5),
        "pictures": Column("Pictures whose best moment this is", "pictures", 12),
    }
)
_BINS = 10
"""Methods have frames of their own; moments are counted to the nearest tenth of a run."""


def frame(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method and tenth of its run, from a table of :mod:`engine.views.missing`."""
    rows = []
    for (method, name), part in table.groupby(["method", "name"], sort=False):
        best = part.drop_duplicates("point")["best"].to_numpy()
        counts = np.bincount(np.rint(best * _BINS).astype(int), minlength=_BINS + 1)
        rows += [
            {"method": method, "name": name, "share": number / _BINS, "pictures": int(count)}
            for number, count in enumerate(counts)
        ]
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a group of bars for each moment, one bar per method."""
    made = go.Figure()
    shades = [colours.hue("unlearned"), colours.hue("original"), colours.quiet, colours.hue("oracle"), colours.bad]
    for number, ((_, name), part) in enumerate(table.groupby(["method", "name"], sort=False)):
        made.add_bar(
            x=[f"{100 * share:.0f}" for share in part["share"]],
            y=part["pictures"],
            name=plain(name),
            marker={"color": shades[number % len(shades)]},
            hovertemplate=f"{plain(name)}<br>%{{x}} % of the run: best for %{{y}} pictures<extra></extra>",
        )
    made.update_xaxes(title_text="best moment: share of the run (%)", type="category", fixedrange=True)
    made.update_yaxes(title_text="pictures", rangemode="tozero", fixedrange=True)
    made = styled(made, colours, height=300)
    return made.update_layout(barmode="group", legend={"y": 1.2}, margin={"t": 50})
