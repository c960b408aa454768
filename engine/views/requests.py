"""Requests in a row: how far each method is from never having seen this request, the earlier ones, and all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine import metrics
from engine.cards import REFERENCES
from engine.metrics import scores
from engine.metrics.base import Metric
from engine.metrics.scores import Scores
from engine.records import EARLIER, SPLITS
from engine.theme import Look, fade
from engine.views import headline
from engine.views.base import (
    CEILING,
    KLOM_RANGE,
    SPLIT_TITLES,
    Column,
    ViewCard,
    of_metrics,
    plain,
    styled,
    tidy,
)
from engine.views.palette import hue

CARD = ViewCard(
    title="Request after request",
    question="Does a method still forget when it is asked again, and does what it forgot stay forgotten?",
    how=(
        "One line per method, from the first request to the last; each request starts from the networks that the one "
        "before it left. The green bars are the noise floor of that request, what two sets of networks score that saw "
        "none of the pictures gone by then; a good line stays near them. A line that climbs under “All earlier "
        "requests” shows a method that loses again what it had forgotten; one that climbs under “Retain set” pays for "
        "every request with what is kept."
    ),
)
PANELS: Mapping[str, str] = MappingProxyType(
    {"forget": "This request", EARLIER: "All earlier requests", **{s: SPLIT_TITLES[s] for s in SPLITS[1:]}}
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "request": Column("Number of the request, from 1", "", 1),
        "asked": Column("What was to be forgotten", "", "class 3"),
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "reference": Column("What kind of reference the method is; empty for one that is tried", "", "", REFERENCES),
        "split": Column("Which points it is measured on", "", "forget", tuple(PANELS)),
        "models": Column("Networks of each ensemble", "models", 20),
        "broken": Column("Networks that lost what they should keep; a method with any is not ranked", "networks", 0.0),
    }
)
_HALF = 0.32
"""Half the width of a bar of the floor, in requests."""


@dataclass(frozen=True)
class Entry:
    """What one method measured at one request: its number from 1, the name of its forget set, and the scores.

    ``reference`` is the kind of reference the method is, one of :data:`engine.cards.REFERENCES`.
    """

    request: int
    forget_set: str
    method: str
    name: str
    scores: Scores
    reference: str = ""


def quantities() -> dict[str, type[Metric]]:
    """Return the metrics that can be drawn, by key: the headline for all statistics of KLOM, and every other."""
    others = {key: metric for key, metric in metrics.metrics().items() if key not in metrics.statistics()}
    return {metrics.headline().key: metrics.headline(), **others}


def columns() -> list[scores.Column]:
    """Return the columns of numbers, the headline metric first."""
    return scores.columns(metrics.headline(), ("value", "low", "high", "floor", "oracle"))


def documented() -> Mapping[str, Column]:
    """Return all columns of the table: :data:`COLUMNS` and those of metrics."""
    return {**COLUMNS, **of_metrics(columns())}


def frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return one row per request, method and split (forget, earlier, retain, test); NaN for what was not measured.

    Compute is a share of a retrain without everything that is gone by then.
    """
    measured = ["split", "models", "broken", *(column.name for column in columns())]
    rows = [
        {name: getattr(entry, name) for name in ("request", "method", "name", "reference")}
        | {"asked": entry.forget_set}
        | {name: row[name] for name in measured}
        for entry in sorted(entries, key=lambda entry: entry.request)
        for row in entry.scores.wide()
        if row["split"] in PANELS
    ]
    return tidy(documented(), rows)


def sentence(table: pd.DataFrame) -> str:
    """Say who is closest after the newest request, on its own points and on those of earlier ones; "" without any."""
    value, _, _, floor_of = headline.columns()
    tried = headline.ranked(table[table[value].notna()])
    if tried.empty:
        return ""
    newest = tried[tried["request"] == tried["request"].max()]
    parts = []
    for split, where in (("forget", "its own pictures"), (EARLIER, "those of earlier requests")):
        here = newest[newest["split"] == split]
        if not here.empty:
            best = here.loc[here[value].idxmin()]
            floor = f", floor {best[floor_of]:.2f}" if np.isfinite(best[floor_of]) else ""
            parts.append(f"on {where} {best['name']}, {best[value]:.2f}{floor}")
    return f"After request {newest['request'].iloc[0]}, closest {'; '.join(parts)}." if parts else ""


def figure(
    table: pd.DataFrame,
    colours: Look,
    *,
    quantity: str = "",
    total: int = 0,
    shades: Mapping[str, int] | None = None,
) -> go.Figure:
    """Draw a metric over the requests: four panels, or one for a metric of the method as a whole.

    ``quantity`` is the key of one of :func:`quantities`, the headline without one; ``total`` the number of requests,
    those to come included; ``shades`` each method's place in the palette (:func:`engine.views.palette.places`).
    """
    metric = quantities()[quantity] if quantity else metrics.headline()
    panels = list(PANELS) if metric.per_split else ["forget"]
    titles = [PANELS[panel] for panel in panels] if len(panels) > 1 else None
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.025, subplot_titles=titles)
    methods = list(dict.fromkeys(table["method"]))
    places = shades or {method: i for i, method in enumerate(methods)}
    for column, panel in enumerate(panels, start=1):
        here = table[table["split"] == panel]
        traces = _reference(here, metric, colours, named=column == 1)
        for method in methods:
            way = here[here["method"] == method]
            named = column == 1 and not table[table["method"] == method].empty
            traces.append(_line(way, method, table, metric, hue(places.get(method, 0), colours), named=named))
        figure.add_traces(traces, rows=1, cols=column)
    last = max(total, int(table["request"].max()) if len(table) else 1)
    figure.update_xaxes(
        tickvals=list(range(1, last + 1)), range=[0.5, last + 0.5], title_text="request", fixedrange=True
    )
    figure.update_yaxes(fixedrange=True, rangemode="tozero")
    figure.update_yaxes(title_text=metric.axis(), row=1, col=1)
    if metric.form == "percent":
        figure.update_yaxes(tickformat=".0%")
    if metric is metrics.headline():
        figure.update_yaxes(range=list(KLOM_RANGE))
        figure.add_hline(y=CEILING, line={"color": colours.line, "width": 1, "dash": "dot"})
    elif metric.bounds == (0.0, 1.0):
        figure.update_yaxes(range=[-0.03, 1.03])
    figure.update_annotations(font={"size": 13, "color": colours.ink})
    styled(figure, colours, height=400)
    figure.update_layout(
        hovermode="closest",
        margin={"l": 8, "r": 8, "t": 34, "b": 8},
        legend={"orientation": "h", "x": 0, "y": -0.24, "yanchor": "top"},
    )
    return figure


def _line(
    way: pd.DataFrame, method: str, table: pd.DataFrame, metric: type[Metric], colour: str, *, named: bool
) -> go.Scatter:
    name = str(table.loc[table["method"] == method, "name"].iloc[0])
    bars = None
    if "low" in metric.beside:
        value, low, high = (way[scores.Column(metric, part).name] for part in ("value", "low", "high"))
        bars = {
            "type": "data",
            "symmetric": False,
            "array": (high - value).clip(lower=0).fillna(0),
            "arrayminus": (value - low).clip(lower=0).fillna(0),
            "width": 3,
            "thickness": 1,
            "color": fade(colour, 0.55),
        }
    return go.Scatter(
        x=way["request"],
        y=way[metric.key],
        error_y=bars,
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": 7},
        name=plain(name),
        legendgroup=method,
        showlegend=named,
        hovertext=[_hover(row, name) for row in way.to_dict("records")],
        hoverinfo="text",
    )


def _reference(here: pd.DataFrame, metric: type[Metric], colours: Look, *, named: bool) -> list[go.Scatter]:
    """Return what to compare with: a floor to stay above as bars from zero, other values as short lines."""
    part = next((part for part in ("oracle", "floor") if part in metric.beside), None)
    if part is None:
        return []
    column, filled = scores.Column(metric, part).name, metric.card.better == "lower"
    # Methods that stopped early rest on fewer models, whose floor is higher: the band is that of the most models.
    known = here.dropna(subset=[column]).sort_values("models", kind="stable").groupby("request")[column].last()
    x: list[float | None] = []
    y: list[float | None] = []
    for request, value in known.items():
        left, right = float(request) - _HALF, float(request) + _HALF  # type: ignore[arg-type]
        if filled:
            x += [left, right, right, left, left, None]
            y += [-1.0, -1.0, value, value, -1.0, None]
        else:
            x += [left, right, None]
            y += [value, value, None]
    return [
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colours.oracle, "width": 1 if filled else 2.5},
            fill="toself" if filled else None,
            fillcolor=fade(colours.oracle, 0.18),
            name="noise floor" if filled else "oracles" if part == "oracle" else "second oracles",
            legendgroup="@reference",
            showlegend=named and bool(x),
            hoverinfo="skip",
        )
    ]


def _hover(row: Mapping[str, Any], name: str) -> str:
    first, *others = quantities().values()
    floor = first.written(row[scores.Column(first, "floor").name])
    numbers = [f"{metric.title()} {metric.written(row[metric.key])}" for metric in others]
    return "<br>".join(
        [
            f"<b>{plain(name)}</b>, request {row['request']}: {plain(row['asked'])}",
            f"{first.title()} {first.written(row[first.key])} (floor {floor})",
            ", ".join(numbers),
        ]
    )
