"""KLOM over the points of each split: how many points are far from the oracle, and how far."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.records import SPLITS
from engine.theme import DASH, MARKER, Look, fade
from engine.views.base import KLOM_RANGE, SPLIT_TITLES, Column, ViewCard, largest, styled, typed

CARD = ViewCard(
    title="KLOM over points",
    question="Is it a few points that give it away, or all of them?",
    how=(
        "Blue are the points under this method, green the noise floor: the nearer the blue line runs to the green, the "
        "better. Height is the share of points with at most that KLOM, so a line that rises late means many points far "
        "from the oracle; click a dot to see its picture."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "point": Column("Number of the point; training points come first", "", 12),
        "split": Column("Which points it belongs to", "", "forget", SPLITS),
        "klom": Column("KLOM of this point under the method", "nats", 2.5),
        "floor": Column("Noise floor of this point: KLOM of two sets of retrained networks", "nats", 0.625),
        "share": Column("Share of the split's points whose KLOM is at most this one's", "", 0.5),
    }
)

SHAPES = ("Cumulative", "Histogram", "Violin")
_HISTOGRAM = (
    "Blue bars count the points under this method, green ones the noise floor: the more they cover each other, the "
    "better. Blue bars to the right of all green ones are points that give the unlearned networks away."
)
_VIOLIN = (
    "Each half shows how many points lie at a height: left, in green, the noise floor, right, in blue, the points "
    "under this method, with a line at the median. The more the two halves mirror each other the better; the dots are "
    "the worst points, click one to see its picture."
)
_WORST = 40
"""Dots beside a violin."""
_MOST_DOTS = 1500
"""Dots per split in the cumulative figure; beyond, dots at even ranks stand for all (the line stays exact enough)."""
_BINS = np.linspace(0, 12, 41)


def card(shape: str) -> ViewCard:
    """Return the card with the words that fit the shape."""
    how = {"Histogram": _HISTOGRAM, "Violin": _VIOLIN}.get(shape, CARD.how)
    return dataclasses.replace(CARD, how=how)


def frame(*, klom: np.ndarray, floor: np.ndarray, points: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return one row per point, sorted by KLOM within each split: point, split, klom, floor, share.

    ``klom`` and ``floor`` are (P,); ``points`` maps a split to its points' numbers. ``share`` is the rank of the
    point's KLOM within its split as a share, in (0, 1].
    """
    parts = []
    for split in SPLITS:
        ids = np.asarray(points[split], dtype=np.int64)
        order = ids[np.argsort(klom[ids], kind="stable")]  # (n,)
        parts.append(
            pd.DataFrame(
                {
                    "point": order,
                    "split": split,
                    "klom": klom[order],
                    "floor": floor[order],
                    "share": np.arange(1, len(order) + 1) / max(1, len(order)),
                }
            )
        )
    return typed(COLUMNS, pd.concat(parts, ignore_index=True))


def figure(table: pd.DataFrame, colours: Look, *, shape: str = "Cumulative", point: int | None = None) -> go.Figure:
    """Draw one panel per split in one of :data:`SHAPES`; ``point`` is ringed where points are dots.

    Custom data of a dot: (point, split).
    """
    figure = make_subplots(
        rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=[SPLIT_TITLES[s] for s in SPLITS]
    )
    reach = min(KLOM_RANGE[1], max(2.0, 1.06 * largest(table[["klom", "floor"]])))
    for column, split in enumerate(SPLITS, start=1):
        part = table[table["split"] == split]
        if shape == "Violin":
            traces = _violin(part, split, colours, point)
        else:
            traces = _cumulative(part, split, colours, point) if shape == SHAPES[0] else _histogram(part, colours)
        for trace in traces:
            trace.showlegend = column == 1 and bool(trace.name)
            figure.add_trace(trace, row=1, col=column)
    if shape == "Violin":
        figure.update_xaxes(range=[-1, 1.25], visible=False, fixedrange=True)
        figure.update_yaxes(range=[-0.02 * reach, reach], fixedrange=True)
        figure.update_yaxes(title_text="KLOM of a point (nats)", row=1, col=1)
    else:
        figure.update_xaxes(range=[-0.02 * reach, reach], nticks=7, fixedrange=True)
        figure.update_xaxes(title_text="KLOM of a point (nats)", row=1, col=2)
        figure.update_yaxes(fixedrange=True, tickformat=".0%", rangemode="tozero")
        figure.update_yaxes(title_text="share of points", row=1, col=1)
    for annotation in figure.layout.annotations:
        annotation.update(font={"color": colours.ink, "size": 13}, yshift=2)
    figure.update_layout(
        bargap=0,
        barmode="overlay",
        clickmode="event+select",
        legend={"y": -0.05 if shape == "Violin" else -0.24, "yanchor": "top"},
        hovermode="closest",
    )
    return styled(figure, colours, height=300)


def _cumulative(part: pd.DataFrame, split: str, colours: Look, point: int | None) -> list[go.Scatter]:
    keep = np.unique(np.linspace(0, len(part) - 1, min(len(part), _MOST_DOTS)).astype(int)) if len(part) else []
    shown = part.iloc[keep]
    if point is not None and point not in set(shown["point"]):
        shown = pd.concat([shown, part[part["point"] == point]]).sort_values("share")
    floor = np.sort(part["floor"].to_numpy())[keep]
    small = 6 if len(part) <= 100 else 3
    ringed = [p == point for p in shown["point"]]
    return [
        go.Scatter(
            x=floor,
            y=part["share"].to_numpy()[keep],
            mode="lines",
            line={"color": colours.oracle, "width": 2, "dash": DASH[split]},
            name="noise floor",
            legendgroup="floor",
            hoverinfo="skip",
        ),
        go.Scatter(
            x=shown["klom"],
            y=shown["share"],
            mode="lines+markers",
            line={"color": fade(colours.unlearned, 0.6), "width": 1.2, "dash": DASH[split]},
            marker={
                "color": colours.unlearned,
                "symbol": MARKER[split],
                "size": [small + 7 if r else small for r in ringed],
                "line": {"color": colours.ink, "width": [2 if r else 0 for r in ringed]},
            },
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            name="unlearned",
            legendgroup="unlearned",
            customdata=[[int(p), split] for p in shown["point"]],
            hovertemplate="point %{customdata[0]}<br>KLOM %{x:.2f}<br>%{y:.0%} are at most this far<extra></extra>",
        ),
    ]


def _histogram(part: pd.DataFrame, colours: Look) -> list[go.Bar]:
    middles = (_BINS[:-1] + _BINS[1:]) / 2
    traces = []
    for column, name, colour in (("floor", "noise floor", colours.oracle), ("klom", "unlearned", colours.unlearned)):
        counts = np.histogram(part[column].clip(_BINS[0], _BINS[-1]), _BINS)[0]  # (bins,)
        traces.append(
            go.Bar(
                x=middles,
                y=counts / max(1, len(part)),
                width=_BINS[1] - _BINS[0],
                marker={"color": fade(colour, 0.55), "line": {"color": colour, "width": 1}},
                name=name,
                legendgroup=name,
                hovertemplate="KLOM about %{x:.2f}: %{y:.1%} of points<extra>" + name + "</extra>",
            )
        )
    return traces


def _violin(part: pd.DataFrame, split: str, colours: Look, point: int | None) -> list[go.Violin | go.Scatter]:
    """Halves for the floor and for the method, and the worst points as dots at the outer right.

    Halves are drawn from values at even ranks, so that 70,000 points need not travel to the browser.
    """
    keep = np.unique(np.linspace(0, len(part) - 1, min(len(part), _MOST_DOTS)).astype(int)) if len(part) else []
    halves: list[go.Violin | go.Scatter] = []
    for column, name, colour, side in (
        ("floor", "noise floor", colours.oracle, "negative"),
        ("klom", "unlearned", colours.unlearned, "positive"),
    ):
        values = np.sort(part[column].to_numpy())[keep]
        halves.append(
            go.Violin(
                y=values[np.isfinite(values)],
                x0=0,
                side=side,
                width=1.8,
                points=False,
                spanmode="hard",
                meanline={"visible": False},
                box={"visible": False},
                line={"color": colour, "width": 1.5},
                fillcolor=fade(colour, 0.3),
                name=name,
                legendgroup=name,
                hoverinfo="skip",
            )
        )
        if np.isfinite(values).any():
            middle = float(np.nanmedian(part[column]))
            halves.append(
                go.Scatter(
                    x=[0, -0.5 if side == "negative" else 0.5],
                    y=[middle, middle],
                    mode="lines",
                    line={"color": colour, "width": 2, "dash": DASH[split]},
                    showlegend=False,
                    hoverinfo="skip",
                )
            )
    shown = part.iloc[max(0, len(part) - _WORST) :]
    if point is not None and point not in set(shown["point"]):
        shown = pd.concat([shown, part[part["point"] == point]])
    ringed = [p == point for p in shown["point"]]
    # Spread sideways by a fixed rule, so that equal values do not hide each other and nothing moves on a redraw.
    place = 1.0 + 0.16 * ((shown["point"].to_numpy() * 0.618034) % 1.0)  # (n,)
    dots = go.Scatter(
        x=place,
        y=shown["klom"],
        mode="markers",
        marker={
            "color": colours.unlearned,
            "symbol": MARKER[split],
            "size": [12 if r else 6 for r in ringed],
            "line": {"color": colours.ink, "width": [2 if r else 0 for r in ringed]},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        showlegend=False,
        customdata=[[int(p), split] for p in shown["point"]],
        hovertemplate="point %{customdata[0]}<br>KLOM %{y:.2f}<extra></extra>",
    )
    return [*halves, dots]
