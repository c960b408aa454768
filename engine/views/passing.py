"""Where the forgotten pictures stand along a run: before, within or past the band of the oracles."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.theme import SMALL, Look, fade
from engine.views.base import Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="How many are there, when?",
    question="At each moment of the run, how many pictures are before, within and past the oracles' band?",
    how=(
        "Green is the share of pictures within one standard deviation of the oracles, blue those that have not come so "
        "far, red those pushed past it. Good is a figure that is green on the right. Where red grows while blue is "
        "still there, no single stopping point is right for all pictures."
    ),
)
PLACES = ("before", "within", "past")
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "share": Column("Examples seen so far as a share of the method's run", "", 0.5),
        "place": Column("Where the pictures stand", "", "within", PLACES),
        "pictures": Column("Share of the pictures that stand there", "", 0.3),
    }
)


def frame(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method, frame and place, from a table of :mod:`engine.views.missing`."""
    rows = []
    for (method, name), part in table.groupby(["method", "name"], sort=False):
        wide = part.pivot_table(index="share", columns="point", values="z").sort_index()  # (frames, n)
        z = wide.to_numpy()
        way = z * np.where(z[0] >= 0, 1.0, -1.0)  # rising is further from where it began
        for share, here in zip(wide.index, way, strict=True):
            counts = {"before": (here > 1).mean(), "within": (np.abs(here) <= 1).mean(), "past": (here < -1).mean()}
            rows += [
                {"method": method, "name": name, "share": float(share), "place": place, "pictures": float(value)}
                for place, value in counts.items()
            ]
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look, *, mark: float | None = None) -> go.Figure:
    """Draw a panel per method with the three shares stacked; ``mark`` is a moment of the run."""
    names = list(dict.fromkeys(zip(table["method"], table["name"], strict=True)))
    columns = 2 if len(names) in (2, 4) else max(1, min(3, len(names)))
    rows = max(1, -(-len(names) // columns))
    made = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.14,
        subplot_titles=[plain(name) for _, name in names],
    )
    hues = {"before": colours.hue("unlearned"), "within": colours.hue("oracle"), "past": colours.bad}
    for number, (method, _) in enumerate(names):
        at = {"row": number // columns + 1, "col": number % columns + 1}
        for place in PLACES:
            part = table[(table["method"] == method) & (table["place"] == place)]
            made.add_scatter(
                **at,
                x=100 * part["share"],
                y=100 * part["pictures"],
                mode="lines",
                stackgroup=f"of {method}",
                name=place,
                legendgroup=place,
                showlegend=number == 0,
                line={"color": hues[place], "width": 1},
                fillcolor=fade(hues[place], 0.55),
                hovertemplate=f"{place}: %{{y:.0f}} %<extra></extra>",
            )
        if mark is not None:
            made.add_vline(x=100 * mark, line={"color": colours.quiet, "width": 1, "dash": "dot"}, **at)
    made.update_xaxes(fixedrange=True, range=[0, 100])
    made.update_yaxes(fixedrange=True, range=[0, 100])
    for column in range(1, columns + 1):
        made.update_xaxes(title_text="share of the run (%)", row=rows, col=column)
    for row in range(1, rows + 1):
        made.update_yaxes(title_text="pictures (%)", row=row, col=1)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=120 + 190 * rows)
    return made.update_layout(legend={"y": 1.16 if rows == 1 else 1.08}, margin={"t": 70})
