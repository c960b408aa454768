"""The headline: how far each method's networks are from retrained ones, beside the distance of retrained ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.records import SPLITS
from engine.theme import MARKER, Look, fade
from engine.views.base import CEILING, KLOM_RANGE, SPLIT_TITLES, ViewCard, styled

CARD = ViewCard(
    title="Distance from never having seen it",
    question="Can the unlearned networks be told from networks that never saw the forget set?",
    how=(
        "Each dot is the KLOM that 95 % of the points stay below, its bar the bootstrap interval over models; further "
        "left is better. The green band is the noise floor, what two sets of retrained networks score against each "
        "other: a dot inside it cannot be told from a retrain."
    ),
)

REFERENCES = ("do_nothing", "retrain", "partial_retrain")
"""Methods that are there to be compared with: they are drawn, and never named the closest."""

_COLUMNS = (
    *("method", "name", "role", "split", "models", "convention"),
    *("klom_p95", "low", "high", "floor_p95", "klom_mean", "klom_median", "floor_mean"),
    *("accuracy", "accuracy_oracle", "accuracy_original", "seconds", "compute"),
)


def role_of(method: str) -> str:
    """Return whose hue a method's row takes: the originals' when it does nothing, else the unlearned networks'."""
    return "original" if method.split("-")[0] == "do_nothing" else "unlearned"


def frame(results: Sequence[tuple[str, str, Sequence[Mapping[str, Any]]]]) -> pd.DataFrame:
    """Return one row per method and split, methods in the order given.

    ``results`` holds (method id, name for people, rows as measured); rows carry ``split``, ``models``, ``klom_p95`` ...
    A number that was not measured is missing (NaN), never zero.
    """
    tidy = [
        {**{column: row.get(column) for column in _COLUMNS}, "method": method, "name": name, "role": role_of(method)}
        for method, name, rows in results
        for row in rows
        if row["split"] in SPLITS
    ]
    table = pd.DataFrame(tidy, columns=list(_COLUMNS))
    numbers = list(_COLUMNS[6:])
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return table


def verdict(table: pd.DataFrame) -> str:
    """Say in at most two sentences, as Markdown, which method comes closest on the forget set and at what price."""
    forget = table[(table["split"] == "forget") & table["klom_p95"].notna()]
    tried = forget[~forget["method"].str.startswith(REFERENCES)]
    if tried.empty:
        return ""
    best = tried.loc[tried["klom_p95"].idxmin()]
    said = f"**{_plain(best['name'])}** comes closest on the forget set: {best['klom_p95']:.1f}"
    if pd.notna(best["floor_p95"]):
        said += f", against a floor of {best['floor_p95']:.1f}"
    nothing = forget[forget["method"].str.startswith("do_nothing")]
    if not nothing.empty:
        said += f"; doing nothing scores {nothing.iloc[0]['klom_p95']:.1f}"
    said += "."
    kept = table[(table["method"] == best["method"]) & (table["split"] == "retain")]
    if not kept.empty and kept.iloc[0]["klom_p95"] > 2 * kept.iloc[0]["floor_p95"]:
        row = kept.iloc[0]
        said += f" On the retain set it drifts to {row['klom_p95']:.1f} (floor {row['floor_p95']:.1f})."
    return said


def figure(table: pd.DataFrame, colours: Look, *, chosen: str = "") -> go.Figure:
    """Draw one panel per split with one row per method; ``chosen`` is the method whose name is written in ink.

    Custom data of a dot: (method, split).
    """
    order = list(dict.fromkeys(table["method"]))
    names = dict(zip(table["method"], table["name"], strict=True))
    place = {method: len(order) - 1 - i for i, method in enumerate(order)}
    figure = make_subplots(
        rows=1,
        cols=3,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[SPLIT_TITLES[s] for s in SPLITS],
    )
    for column, split in enumerate(SPLITS, start=1):
        part = table[(table["split"] == split) & table["klom_p95"].notna()]
        place_in = {"row": 1, "col": column, "exclude_empty_subplots": False, "layer": "below"}
        # A floor per row: while a run goes on, methods rest on different numbers of models, and so do their floors.
        for _, row in part[part["floor_p95"].notna()].iterrows():
            low, high, floor = place[row["method"]] - 0.5, place[row["method"]] + 0.5, row["floor_p95"]
            figure.add_shape(
                type="rect",
                x0=KLOM_RANGE[0],
                x1=floor,
                y0=low,
                y1=high,
                fillcolor=fade(colours.oracle, 0.14),
                line={"width": 0},
                **place_in,
            )
            figure.add_shape(
                type="line",
                x0=floor,
                x1=floor,
                y0=low,
                y1=high,
                line={"color": colours.oracle, "width": 1.5},
                **place_in,
            )
        figure.add_vline(x=CEILING, line={"color": colours.quiet, "width": 1, "dash": "dot"}, **place_in)
        for role in ("original", "unlearned"):
            rows = part[part["role"] == role]
            if not rows.empty:
                figure.add_trace(_dots(rows, place, split, colours.hue(role)), row=1, col=column)
    ink = {m: colours.ink if m == chosen or not chosen else colours.quiet for m in order}
    labels = [
        f'<span style="color:{ink[m]}">{"<b>" if m == chosen else ""}{_plain(names[m])}{"</b>" if m == chosen else ""}'
        "</span>"
        for m in order
    ]
    figure.update_yaxes(
        tickvals=[place[m] for m in order],
        ticktext=labels,
        range=[-0.6, len(order) - 0.4],
        showgrid=True,
        tickfont={"size": 13},
    )
    figure.update_xaxes(range=list(KLOM_RANGE), tickvals=[0, 2, 4, 6, 8, 10], fixedrange=True)
    figure.update_xaxes(title_text="KLOM, 95th percentile over points", row=1, col=2)
    for annotation in figure.layout.annotations:
        annotation.update(font={"color": colours.ink, "size": 13}, yshift=2)
    figure.add_annotation(
        x=CEILING, y=1, yref="paper", xref="x3", text="ceiling", textangle=-90, xanchor="right", yanchor="top"
    )
    figure.update_layout(showlegend=False, clickmode="event+select")
    return styled(figure, colours, height=96 + 34 * max(1, len(order)))


def _dots(rows: pd.DataFrame, place: Mapping[str, int], split: str, colour: str) -> go.Scatter:
    high = rows["high"].fillna(rows["klom_p95"])
    low = rows["low"].fillna(rows["klom_p95"])
    beyond = rows["klom_p95"] > 9.5
    return go.Scatter(
        x=rows["klom_p95"],
        y=[place[m] for m in rows["method"]],
        mode="markers+text",
        text=[f"{v:.1f}" for v in rows["klom_p95"]],
        textposition=["top left" if far else "top right" for far in beyond],
        textfont={"size": 11},
        marker={"size": 10, "color": colour, "symbol": MARKER[split]},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (high - rows["klom_p95"]).clip(lower=0),
            "arrayminus": (rows["klom_p95"] - low).clip(lower=0),
            "color": colour,
            "thickness": 2,
            "width": 0,
        },
        customdata=[[m, split] for m in rows["method"]],
        hovertext=[_hover(row) for _, row in rows.iterrows()],
        hoverinfo="text",
        cliponaxis=False,
    )


def _hover(row: pd.Series) -> str:
    return (
        f"<b>{_plain(row['name'])}</b>, {row['split']} set, {row['models']} models<br>"
        f"KLOM p95 {row['klom_p95']:.2f} ({row['low']:.2f} to {row['high']:.2f})<br>"
        f"floor {'not measured' if pd.isna(row['floor_p95']) else format(row['floor_p95'], '.2f')}, "
        f"mean {row['klom_mean']:.2f}"
    )


def _plain(text: str) -> str:
    """Take away what plotly or Markdown would read as markup."""
    return "".join(c for c in str(text) if c not in "<>&*_`[]$\\")
