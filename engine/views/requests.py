"""Requests in a row: how far each method is from never having seen this request, the earlier ones, and all else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.records import EARLIER, SPLITS
from engine.theme import Look, fade
from engine.views.base import CEILING, KLOM_RANGE, SPLIT_TITLES, ViewCard, styled
from engine.views.headline import REFERENCES
from engine.views.palette import hue

CARD = ViewCard(
    title="Request after request",
    question="Does a method still forget when it is asked again, and does what it forgot stay forgotten?",
    how=(
        "One line per method, from the first request to the last; each request starts from the networks that the one "
        "before it left. The green bars are the noise floor of that request, what two sets of networks score that saw "
        "none of the pictures gone by then. A line that climbs under “All earlier requests” shows a method that loses "
        "again what it had forgotten; one that climbs under “Retain set” pays for every request with what is kept."
    ),
)
QUANTITIES: Mapping[str, str] = MappingProxyType(
    {"klom": "KLOM", "accuracy": "Accuracy", "compute": "Compute", "seconds": "Time"}
)
PANELS: Mapping[str, str] = MappingProxyType(
    {"forget": "This request", EARLIER: "All earlier requests", **{s: SPLIT_TITLES[s] for s in SPLITS[1:]}}
)
_UNITS = {
    "klom": "KLOM, 95th percentile (nats)",
    "accuracy": "accuracy",
    "compute": "compute (share of a retrain)",
    "seconds": "seconds of all networks together",
}
_NUMBERS = ("models", "klom_p95", "low", "high", "floor_p95", "accuracy", "accuracy_oracle", "compute", "seconds")
_HALF = 0.32
"""Half the width of a bar of the floor, in requests."""


@dataclass(frozen=True)
class Entry:
    """What one method measured at one request: its number from 1, what was asked, and the rows of numbers."""

    request: int
    asked: str
    method: str
    name: str
    rows: Sequence[Mapping[str, Any]]


def frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return one row per request, method and split (forget, earlier, retain, test); NaN for what was not measured.

    klom_p95, low, high, floor_p95 in nats; accuracies from 0 to 1; compute as a share of a retrain without everything
    that is gone by then; seconds of all models together.
    """
    rows = [
        {
            "request": entry.request,
            "asked": entry.asked,
            "method": entry.method,
            "name": entry.name,
            "split": row["split"],
            **{number: row.get(number) for number in _NUMBERS},
        }
        for entry in sorted(entries, key=lambda entry: entry.request)
        for row in entry.rows
        if row["split"] in PANELS
    ]
    table = pd.DataFrame(rows, columns=["request", "asked", "method", "name", "split", *_NUMBERS])
    table[list(_NUMBERS)] = table[list(_NUMBERS)].apply(pd.to_numeric)
    return table


def said(table: pd.DataFrame) -> str:
    """Say who is closest after the newest request, on its own pictures and on those of earlier ones; "" without any."""
    tried = table[~table["method"].str.startswith(REFERENCES) & table["klom_p95"].notna()]
    if tried.empty:
        return ""
    newest = tried[tried["request"] == tried["request"].max()]
    parts = []
    for split, where in (("forget", "its own pictures"), (EARLIER, "those of earlier requests")):
        here = newest[newest["split"] == split]
        if not here.empty:
            best = here.loc[here["klom_p95"].idxmin()]
            floor = f", floor {best['floor_p95']:.2f}" if np.isfinite(best["floor_p95"]) else ""
            parts.append(f"on {where} {best['name']}, {best['klom_p95']:.2f}{floor}")
    return f"After request {newest['request'].iloc[0]}, closest {'; '.join(parts)}." if parts else ""


def figure(
    table: pd.DataFrame,
    colours: Look,
    *,
    quantity: str = "klom",
    total: int = 0,
    shades: Mapping[str, int] | None = None,
) -> go.Figure:
    """Draw a quantity over the requests: four panels for KLOM and accuracy, one for compute and time.

    ``total`` is the number of requests, those to come included; ``shades`` each method's place in the palette
    (:func:`engine.views.palette.places`).
    """
    panels = list(PANELS) if quantity in ("klom", "accuracy") else ["forget"]
    titles = [PANELS[panel] for panel in panels] if len(panels) > 1 else None
    picture = make_subplots(
        rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.025, subplot_titles=titles
    )
    methods = list(dict.fromkeys(table["method"]))
    places = shades or {method: i for i, method in enumerate(methods)}
    for column, panel in enumerate(panels, start=1):
        here = table[table["split"] == panel]
        traces = _reference(here, quantity, colours, named=column == 1)
        for method in methods:
            way = here[here["method"] == method]
            named = column == 1 and not table[table["method"] == method].empty
            traces.append(_line(way, method, table, quantity, hue(places.get(method, 0), colours), named=named))
        picture.add_traces(traces, rows=1, cols=column)
    last = max(total, int(table["request"].max()) if len(table) else 1)
    picture.update_xaxes(
        tickvals=list(range(1, last + 1)), range=[0.5, last + 0.5], title_text="request", fixedrange=True
    )
    picture.update_yaxes(fixedrange=True, rangemode="tozero")
    picture.update_yaxes(title_text=_UNITS[quantity], row=1, col=1)
    if quantity == "klom":
        picture.update_yaxes(range=list(KLOM_RANGE))
        picture.add_hline(y=CEILING, line={"color": colours.line, "width": 1, "dash": "dot"})
    elif quantity != "seconds":
        picture.update_yaxes(tickformat=".0%")
        if quantity == "accuracy":
            picture.update_yaxes(range=[-0.03, 1.03])
    picture.update_annotations(font={"size": 13, "color": colours.ink})
    styled(picture, colours, height=400)
    picture.update_layout(
        hovermode="closest",
        margin={"l": 8, "r": 8, "t": 34, "b": 8},
        legend={"orientation": "h", "x": 0, "y": -0.24, "yanchor": "top"},
    )
    return picture


def _line(
    way: pd.DataFrame, method: str, table: pd.DataFrame, quantity: str, colour: str, *, named: bool
) -> go.Scatter:
    column = "klom_p95" if quantity == "klom" else quantity
    name = str(table.loc[table["method"] == method, "name"].iloc[0])
    bars = None
    if quantity == "klom":
        bars = {
            "type": "data",
            "symmetric": False,
            "array": (way["high"] - way["klom_p95"]).clip(lower=0).fillna(0),
            "arrayminus": (way["klom_p95"] - way["low"]).clip(lower=0).fillna(0),
            "width": 3,
            "thickness": 1,
            "color": fade(colour, 0.55),
        }
    return go.Scatter(
        x=way["request"],
        y=way[column],
        error_y=bars,
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": 7},
        name=_plain(name),
        legendgroup=method,
        showlegend=named,
        hovertext=[_hover(row, name) for row in way.to_dict("records")],
        hoverinfo="text",
    )


def _reference(here: pd.DataFrame, quantity: str, colours: Look, *, named: bool) -> list[go.Scatter]:
    """Return what to compare with: the floor as bars from zero, or the oracles' accuracy as short lines."""
    column = {"klom": "floor_p95", "accuracy": "accuracy_oracle"}.get(quantity)
    if column is None:
        return []
    # Methods that stopped early rest on fewer models, whose floor is higher: the band is that of the most models.
    known = here.dropna(subset=[column]).sort_values("models", kind="stable").groupby("request")[column].last()
    x: list[float | None] = []
    y: list[float | None] = []
    for request, value in known.items():
        left, right = float(request) - _HALF, float(request) + _HALF  # type: ignore[arg-type]
        if quantity == "klom":
            x += [left, right, right, left, left, None]
            y += [-1.0, -1.0, value, value, -1.0, None]
        else:
            x += [left, right, None]
            y += [value, value, None]
    floor = quantity == "klom"
    return [
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colours.oracle, "width": 1 if floor else 2.5},
            fill="toself" if floor else None,
            fillcolor=fade(colours.oracle, 0.18),
            name="noise floor" if floor else "oracles",
            legendgroup="@reference",
            showlegend=named and bool(x),
            hoverinfo="skip",
        )
    ]


def _hover(row: Mapping[str, Any], name: str) -> str:
    lines = [
        f"<b>{_plain(name)}</b>, request {row['request']}: {_plain(str(row['asked']))}",
        f"KLOM {row['klom_p95']:.2f} (floor {row['floor_p95']:.2f}), accuracy {row['accuracy']:.1%}",
    ]
    if not math.isnan(row["compute"]):
        lines.append(f"{row['compute']:.1%} of a retrain")
    return "<br>".join(lines)


def _plain(text: str) -> str:
    return "".join(c for c in text if c not in "<>&")
