"""Curves while networks unlearn: margin, accuracy and loss per split against the oracles, method by method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.cards import REFERENCES, MethodFacts
from engine.records import SPLITS
from engine.theme import DASH, MARKER, SMALL, Look, fade
from engine.views.base import SPLIT_TITLES, Column, ViewCard, largest, plain, styled, tidy
from engine.views.palette import hue

ROLES = ("unlearned", "original", "oracle")
STARTS = ("original", "fresh", "")
CARD = ViewCard(
    title="On the way",
    question="Does it forget before it breaks?",
    how=(
        "One line per method, mean over networks. The green band is where networks stand that never saw the forget "
        "set (mean and one standard deviation over networks), the orange line where the originals stood. A good method "
        "brings the forget set into the band and leaves the other two there. Drag to zoom, double-click to see all, "
        "click a name to hide its line."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": Column("Which networks: unlearned by a method, original, or oracle", "", "unlearned", ROLES),
        "method": Column("The method's id in its run; @original and @oracle for the others", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "starts": Column("Where a method's step 0 stands; empty for originals and oracles", "", "original", STARTS),
        "reference": Column("What kind of reference a method is; empty for one that is tried", "", "", REFERENCES),
        "split": Column("Which points the quantities are measured on", "", "forget", SPLITS),
        "step": Column("Steps done; 0 for originals and oracles", "steps", 5),
        "total": Column("Steps of the whole run of the method", "steps", 10),
        "seen": Column("Examples seen so far by one network", "examples", 640),
        "share": Column("Compute so far as a share of a retrain; missing before an oracle is trained", "", 0.125),
        "seconds": Column("Time so far for a chunk of networks; for oracles, of a retrain", "seconds", 2.5),
        "models": Column("Networks measured at this step", "networks", 20),
        "margin": Column("Margin, mean over points and networks", "logits", 3.25),
        "margin_sd": Column("Standard deviation over networks of the mean margin", "logits", 0.75),
        "accuracy": Column("Accuracy, mean over networks", "", 0.875),
        "accuracy_sd": Column("Standard deviation over networks of the accuracy", "", 0.03125),
        "loss": Column("Cross-entropy, mean over points and networks", "nats", 0.4375),
        "loss_sd": Column("Standard deviation over networks of the mean cross-entropy", "nats", 0.0625),
    }
)
QUANTITIES: Mapping[str, str] = MappingProxyType({"margin": "Margin", "accuracy": "Accuracy", "loss": "Loss"})
_UNITS = {"margin": "mean margin (logits)", "accuracy": "accuracy", "loss": "cross-entropy (nats)"}
AXES: Mapping[str, str] = MappingProxyType(
    {"step": "Steps", "seen": "Examples seen", "share": "Compute", "seconds": "Seconds"}
)
_AXIS_TITLES = {
    "step": "steps",
    "seen": "examples seen per network",
    "share": "compute (share of a retrain)",
    "seconds": "seconds per chunk of networks",
}
_ROW = 250
_HEAD, _FOOT = 74, 44
_MOST_CHARACTERS = 36


class Chunk(Protocol):
    """The frames of one chunk of networks, as the queue hands them out."""

    method_id: str
    chunk: str
    frames: Sequence[Mapping[str, Any]]


def frame(
    rows: Sequence[Chunk], names: Mapping[str, str], facts: Mapping[str, MethodFacts] = MappingProxyType({})
) -> pd.DataFrame:
    """Put the frames of all chunks together: one row per method, split and step, and per reference and split.

    ``names`` gives the methods to draw, in their order, ``facts`` what is known of them; one without facts counts as
    one that is tried and starts from the originals. Chunks weigh by their number of networks; the spread over networks
    is that of all of them together. A chunk that is not as far yet does not count at later steps.
    """
    chunks: dict[str, list[Chunk]] = {}
    for row in rows:
        chunks.setdefault(row.method_id, []).append(row)
    oracles = [(_models(row.chunk), row.frames[0]) for row in chunks.get("@oracle", []) if row.frames]
    cost = next((float(measured["cost"]) for _, measured in oracles if measured.get("cost")), math.nan)
    table: list[dict[str, Any]] = []
    for method, name in names.items():
        steps: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
        for row in chunks.get(method, []):
            for measured in row.frames:
                steps.setdefault(int(measured["step"]), []).append((_models(row.chunk), measured))
        for _, weighed in sorted(steps.items()):
            share = float(weighed[0][1].get("cost", math.nan)) / cost
            known = facts.get(method, MethodFacts())
            about = {"method": method, "name": name, "starts": known.starts, "reference": known.reference}
            table += _rows({"role": "unlearned", **about, "share": share}, weighed)
    for role, share in (("original", math.nan), ("oracle", 1.0)):
        weighed = [(_models(row.chunk), row.frames[0]) for row in chunks.get(f"@{role}", []) if row.frames]
        if weighed:
            about = {"method": f"@{role}", "name": role.capitalize(), "starts": "", "reference": ""}
            table += _rows({"role": role, **about, "share": share}, weighed)
    return tidy(COLUMNS, table)


def ways(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of methods."""
    return table[table["role"] == "unlearned"]


def level(table: pd.DataFrame, role: str, split: str) -> pd.Series | None:
    """Return where the originals or the oracles stand on a split, None before that is measured."""
    rows = table[(table["role"] == role) & (table["split"] == split)]
    return None if rows.empty else rows.iloc[0]


def _rows(method: Mapping[str, Any], weighed: Sequence[tuple[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row per split from what chunks, each with its number of networks, measured at one step."""
    first = weighed[0][1]
    about = {
        **method,
        **{count: int(first.get(count, 0)) for count in ("step", "total", "seen")},
        "seconds": _mean([(networks, float(measured.get("seconds", math.nan))) for networks, measured in weighed]),
        "models": sum(networks for networks, _ in weighed),
    }
    return [{**about, "split": split, **_pooled(weighed, split)} for split in SPLITS if split in first]


def _models(chunk: str) -> int:
    start, _, stop = chunk.partition("-")
    return max(1, int(stop) - int(start)) if start.isdigit() and stop.isdigit() else 1


def _mean(weighed: Sequence[tuple[int, float]]) -> float:
    return sum(w * v for w, v in weighed) / sum(w for w, _ in weighed)


def _pooled(weighed: Sequence[tuple[int, Mapping[str, Any]]], split: str) -> dict[str, float]:
    """Return mean and sd over the networks of all chunks, from each chunk's own; NaN where one was not measured."""
    values: dict[str, float] = {}
    for quantity in QUANTITIES:
        chunks = [
            (networks, measured[split][quantity], measured[split].get(f"{quantity}_sd", 0.0))
            for networks, measured in weighed
            if quantity in measured.get(split, {})
        ]
        if not chunks:
            continue
        mean = _mean([(networks, value) for networks, value, _ in chunks])
        square = _mean([(networks, sd * sd + (value - mean) ** 2) for networks, value, sd in chunks])
        values |= {quantity: mean, f"{quantity}_sd": math.sqrt(square)}
    return values


def figure(
    table: pd.DataFrame,
    colours: Look,
    *,
    quantities: Sequence[str] = ("margin",),
    axis: str = "step",
    shades: Mapping[str, int] | None = None,
    revision: str = "",
) -> go.Figure:
    """Draw a row of three panels (forget, retain, test) per quantity, one line per method.

    ``shades`` gives each method its place in the palette (:func:`engine.views.palette.places`), else its order does.
    While ``revision`` stays the same a page that redraws the figure in place keeps what the visitor zoomed and hid.
    """
    figure = make_subplots(
        rows=len(quantities),
        cols=len(SPLITS),
        shared_xaxes="all",
        horizontal_spacing=0.055,
        vertical_spacing=0.09 if len(quantities) > 1 else 0.0,
        column_titles=[SPLIT_TITLES[split] for split in SPLITS],
    )
    drawn = ways(table)
    methods = list(dict.fromkeys(drawn["method"]))
    shades = shades or {method: i for i, method in enumerate(methods)}
    end = _end(drawn, axis)
    for i, quantity in enumerate(quantities, start=1):
        for j, split in enumerate(SPLITS, start=1):
            named = i == 1 and j == 1
            traces = _levels(table, quantity, split, colours, end=end, named=named)
            for method in methods:
                way = drawn[(drawn["method"] == method) & (drawn["split"] == split)]
                if not way.empty:
                    colour = hue(shades.get(method, 0), colours)
                    traces.append(_way(way, quantity, split, axis, colour, named=named))
            # All at once: plotly checks the whole figure at every call.
            figure.add_traces(traces, rows=i, cols=j)
            figure.update_yaxes(range=_reach(table, quantity, split), row=i, col=j)
        figure.update_yaxes(tickformat=".0%" if quantity == "accuracy" else None, row=i)
        figure.update_yaxes(title_text=_UNITS[quantity], row=i, col=1)
    figure.update_xaxes(
        range=[-0.03 * end, 1.03 * end], showticklabels=True, tickformat=".0%" if axis == "share" else None
    )
    figure.update_xaxes(title_text=_AXIS_TITLES[axis], row=len(quantities))
    height = _HEAD + _FOOT + _ROW * len(quantities) - 50
    styled(figure, colours, height=height)
    figure.update_layout(
        uirevision=revision,
        dragmode="zoom",
        hovermode="closest",
        # Above the panels' titles; a legend of several rows makes the margin grow.
        legend={"y": 1 + 26 / (height - _HEAD - _FOOT), "itemsizing": "constant"},
        margin={"t": _HEAD, "b": _FOOT, "l": 8, "r": 8},
    )
    figure.update_annotations(font={"size": SMALL, "color": colours.ink})
    return figure


def _end(drawn: pd.DataFrame, axis: str) -> float:
    """Return where the x axis ends once all have finished, so that it does not move while they run."""
    done = (drawn["step"] / drawn["total"].clip(lower=1)).where(drawn["total"] > 0, 1.0)
    whole = drawn["total"] if axis == "step" else drawn[axis] / done.where(done > 0)
    if axis == "seconds":  # the time that a run takes in all is not known before its end
        whole = drawn["seconds"]
    top = largest(whole)
    return top if top > 0 else 1.0


def _reach(table: pd.DataFrame, quantity: str, split: str) -> list[float] | None:
    """Return the range of a panel's y axis, None where plotly may choose it.

    Methods that start from a fresh network come from far away and would press all others into one line, so only where
    they end counts, not the way there.
    """
    here = table[table["split"] == split]
    drawn, levels = ways(here), here[here["role"] != "unlearned"]
    fresh = drawn["starts"] == "fresh"
    if not fresh.any() or fresh.all():
        return None
    ends = drawn[fresh].groupby("method")[quantity].last()
    band = [levels[quantity] - levels[f"{quantity}_sd"], levels[quantity] + levels[f"{quantity}_sd"]]
    values = pd.concat([drawn.loc[~fresh, quantity], ends, *band]).dropna()
    if values.empty:
        return None
    low, high = float(values.min()), float(values.max())
    pad = 0.08 * (high - low) or 0.05
    return [low - pad, high + pad]


def _way(way: pd.DataFrame, quantity: str, split: str, axis: str, colour: str, *, named: bool) -> go.Scatter:
    method, name = str(way["method"].iloc[0]), str(way["name"].iloc[0])
    text = plain(name)
    value = "%{y:.1%}" if quantity == "accuracy" else "%{y:.4g}"
    spread = "%{customdata[0]:.1%}" if quantity == "accuracy" else "%{customdata[0]:.2g}"
    along = "%{x:.0%}" if axis == "share" else "%{x:.4g}"
    return go.Scatter(
        x=[_short(v) for v in way[axis]],
        y=[_short(v) for v in way[quantity]],
        customdata=[[_short(s), int(m)] for s, m in zip(way[f"{quantity}_sd"], way["models"], strict=True)],
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"symbol": MARKER[split], "size": 5 if len(way) > 1 else 8},
        name=text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…",
        legendgroup=method,
        showlegend=named,
        uid=f"{method}|{quantity}|{split}",
        hovertemplate=(
            f"{text}<br>{value} ± {spread} over %{{customdata[1]}} networks"
            f"<br>{AXES[axis].lower()} {along}<extra></extra>"
        ),
    )


def _levels(
    table: pd.DataFrame, quantity: str, split: str, colours: Look, *, end: float, named: bool
) -> list[go.Scatter]:
    traces = []
    for role, title in (("oracle", "Oracle, mean ± sd"), ("original", "Original")):
        here = level(table, role, split)
        if here is None or math.isnan(here[quantity]):
            continue
        mean, spread = float(here[quantity]), float(here[f"{quantity}_sd"])
        line = {"color": colours.hue(role), "width": 1.5, "dash": DASH["forget"]}
        common: dict[str, Any] = {"legendgroup": f"@{role}", "hoverinfo": "skip", "mode": "lines"}
        if role == "oracle":
            low, high = _short(mean - spread), _short(mean + spread)
            traces.append(
                go.Scatter(
                    x=[0, end, end, 0],
                    y=[low, low, high, high],
                    fill="toself",
                    fillcolor=fade(colours.oracle, 0.18),
                    line={"width": 0},
                    showlegend=False,
                    uid=f"@band|{quantity}|{split}",
                    **common,
                )
            )
        traces.append(
            go.Scatter(
                x=[0, end],
                y=[_short(mean)] * 2,
                line=line,
                name=title,
                showlegend=named,
                uid=f"@{role}|{quantity}|{split}",
                **common,
            )
        )
    return traces


def _short(value: float) -> float | None:
    """Return a number with five digits, for what travels to a browser at every tick."""
    return None if not math.isfinite(value) else float(f"{value:.5g}")
