"""The headline: how far each method's networks are from retrained ones, beside the distance of retrained ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine import metrics
from engine.cards import REFERENCES, MethodFacts
from engine.metrics import scores
from engine.metrics._statistic import KlomStatistic
from engine.metrics.scores import Scores
from engine.records import SPLITS
from engine.theme import MARKER, SMALL, Look, fade
from engine.views.base import (
    CEILING,
    KLOM_RANGE,
    SPLIT_TITLES,
    Column,
    ViewCard,
    number,
    of_metrics,
    styled,
    tidy,
)

CARD = ViewCard(
    title="Distance from never having seen it",
    question="Can the unlearned networks be told from networks that never saw the forget set?",
    how=(
        "Each dot is the KLOM that 95 % of the points stay below, its bar the bootstrap interval over models; further "
        "left is better. The green band is the noise floor, what two sets of retrained networks score against each "
        "other: a dot inside it cannot be told from a retrain."
    ),
)

ROLES = ("original", "unlearned")
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "role": Column("Whose networks these are: the originals' for doing nothing", "", "unlearned", ROLES),
        "reference": Column("What kind of reference the method is; empty for one that is tried", "", "", REFERENCES),
        "split": Column("Which points it is measured on", "", "forget", SPLITS),
        "models": Column("Networks of each ensemble", "models", 100.0),
        "broken": Column("Networks that lost what they should keep; a method with any is not ranked", "networks", 0.0),
        "convention": Column("How KLOM is binned; empty before it is measured", "", "paper"),
    }
)


def documented() -> Mapping[str, Column]:
    """Return all columns of the table: :data:`COLUMNS` and every metric's."""
    return {**COLUMNS, **of_metrics(scores.columns())}


def chosen_statistic(key: str = "") -> type[KlomStatistic]:
    """Return the statistic of KLOM with this key; the headline metric without one."""
    return metrics.statistics()[key] if key else metrics.headline()


def card(statistic: str) -> ViewCard:
    """Return the card with the words that fit the statistic."""
    meaning = chosen_statistic(statistic).meaning
    return dataclasses.replace(CARD, how=CARD.how.replace(metrics.headline().meaning, meaning))


def columns(statistic: str = "") -> tuple[str, str, str, str]:
    """Return the columns of a statistic of KLOM: its value, both ends of its interval, and its floor."""
    metric = chosen_statistic(statistic)
    value, low, high, floor = (scores.Column(metric, part).name for part in ("value", "low", "high", "floor"))
    return value, low, high, floor


def role_of(reference: str) -> str:
    """Return whose hue a method's row takes: the originals' when it does nothing, else the unlearned networks'."""
    return "original" if reference == "do nothing" else "unlearned"


def frame(
    results: Sequence[tuple[str, str, Scores | None]], facts: Mapping[str, MethodFacts] = MappingProxyType({})
) -> pd.DataFrame:
    """Return one row per method and split with every metric's columns, methods in the order given.

    ``results`` holds (method id, name for people, scores or None), ``facts`` what is known of each method: references
    are drawn, and never named the closest; one without facts counts as one that is tried. A number that was not
    measured is missing (NaN), never zero.
    """
    kinds = {method: facts.get(method, MethodFacts()).reference for method, _, _ in results}
    unmeasured = [{"split": split, "convention": ""} for split in SPLITS]
    rows = [
        {
            **row,
            "method": method,
            "name": _named(name, measured),
            "role": role_of(kinds[method]),
            "reference": kinds[method],
        }
        for method, name, measured in results
        for row in (unmeasured if measured is None else measured.wide())
        if row["split"] in SPLITS
    ]
    return tidy(documented(), rows)


def _named(name: str, measured: Scores | None) -> str:
    return name if measured is None or not measured.broken else f"{name}, {measured.broken} networks broke"


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of methods that can be called best: no references, and none that breaks networks."""
    return table[(table["reference"] == "") & ~(table["broken"] > 0)]


def closest(table: pd.DataFrame, statistic: str = "") -> str:
    """Return the method, references aside, that comes closest to the oracle on the forget set; "" without any."""
    value = columns(statistic)[0]
    tried = ranked(table[(table["split"] == "forget") & table[value].notna()])
    return "" if tried.empty else str(tried.loc[tried[value].idxmin(), "method"])


def nearest(table: pd.DataFrame, statistic: str = "", *, most: int, keep: str = "") -> pd.DataFrame:
    """Return the rows of at most ``most`` methods in their order: references, ``keep``, then the closest to the oracle.

    For a figure that can be read; a sweep may have a hundred settings. Methods without numbers come last.
    """
    methods = list(dict.fromkeys(table["method"]))
    if len(methods) <= most:
        return table
    value = columns(statistic)[0]
    forget = table[table["split"] == "forget"].set_index("method")
    forget = forget[value].where(~(forget["broken"] > 0))
    first = list(dict.fromkeys(table.loc[(table["reference"] != "") | (table["method"] == keep), "method"]))
    rest = forget.drop(first, errors="ignore").sort_values(na_position="last", kind="stable")
    chosen = {*first, *rest.index[: max(0, most - len(first))]}
    return table[table["method"].isin(chosen)]


def verdict(table: pd.DataFrame, statistic: str = "") -> str:
    """Say in at most two sentences, as Markdown, which method comes closest on the forget set and at what price."""
    value, _, _, floor = columns(statistic)
    method = closest(table, statistic)
    if not method:
        return ""
    forget = table[(table["split"] == "forget") & table[value].notna()]
    best = forget[forget["method"] == method].iloc[0]
    sentence = f"**{_plain(best['name'])}** comes closest on the forget set: {best[value]:.1f}"
    if pd.notna(best[floor]):
        sentence += f", against a floor of {best[floor]:.1f}"
    nothing = forget[forget["reference"] == "do nothing"]
    if not nothing.empty:
        idle = float(nothing.iloc[0][value])
        sentence += f"; doing nothing scores {idle:.1f}" + (", which is closer still" if idle < best[value] else "")
    sentence += "."
    retain = table[(table["method"] == method) & (table["split"] == "retain")]
    if not retain.empty and retain.iloc[0][value] > 2 * retain.iloc[0][floor]:
        row = retain.iloc[0]
        sentence += f" On the retain set it drifts to {row[value]:.1f} (floor {row[floor]:.1f})."
    return sentence


def figure(table: pd.DataFrame, colours: Look, *, chosen: str = "", statistic: str = "") -> go.Figure:
    """Draw one panel per split with one row per method; ``chosen`` is the method whose name is written in ink.

    ``statistic`` is the key of one of :func:`engine.metrics.statistics`, the headline's without one; an interval that
    was not measured is not drawn.

    Custom data of a dot: (method, split).
    """
    value, _, _, floor_of = columns(statistic)
    label = chosen_statistic(statistic).label.lower()
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
    shapes: list[dict[str, Any]] = []
    for column, split in enumerate(SPLITS, start=1):
        part = table[(table["split"] == split) & table[value].notna()]
        known, axis = part[part[floor_of].notna()], "" if column == 1 else str(column)
        floors = zip((place[method] for method in known["method"]), known[floor_of], strict=True)
        shapes += [*floor_shapes(floors, colours, axis=axis), ceiling_shape(colours, axis=axis)]
        for role in ("original", "unlearned"):
            rows = part[part["role"] == role]
            if not rows.empty:
                figure.add_trace(_dots(rows, place, split, colours.hue(role), statistic), row=1, col=column)
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
    figure.update_xaxes(title_text=f"KLOM, {label} over points (nats)", row=1, col=2)
    for annotation in figure.layout.annotations:
        annotation.update(font={"color": colours.ink, "size": 13}, yshift=2)
    figure.add_annotation(
        x=CEILING, y=1, yref="paper", xref="x3", text="ceiling", textangle=-90, xanchor="right", yanchor="top"
    )
    figure.update_layout(shapes=shapes, showlegend=False, clickmode="event+select")
    return styled(figure, colours, height=96 + 34 * max(1, len(order)))


def floor_shapes(floors: Iterable[tuple[float, float]], colours: Look, *, axis: str = "") -> list[dict[str, Any]]:
    """Return the noise floors of rows as shapes below the dots: ``floors`` are (place of the row, floor in nats).

    Each row has its own, because methods may rest on different numbers of models. ``axis`` is "", "2", "3" for the
    panels. For ``layout.shapes``: plotly takes a list at once far faster than one shape after the other.
    """
    here = {"xref": f"x{axis}", "yref": f"y{axis}", "layer": "below"}
    shapes: list[dict[str, Any]] = []
    for row, floor in floors:
        rows = {"y0": row - 0.5, "y1": row + 0.5}
        band = {"x0": KLOM_RANGE[0], "x1": floor, "fillcolor": fade(colours.oracle, 0.14), "line": {"width": 0}}
        edge = {"x0": floor, "x1": floor, "line": {"color": colours.oracle, "width": 1.5}}
        shapes += [{"type": "rect", **band, **rows, **here}, {"type": "line", **edge, **rows, **here}]
    return shapes


def ceiling_shape(colours: Look, *, axis: str = "") -> dict[str, Any]:
    """Return the line at the largest KLOM there is, as a shape."""
    line = {"color": colours.quiet, "width": 1, "dash": "dot"}
    here = {"xref": f"x{axis}", "yref": f"y{axis} domain", "layer": "below"}
    return {"type": "line", "x0": CEILING, "x1": CEILING, "y0": 0, "y1": 1, "line": line, **here}


def _dots(rows: pd.DataFrame, place: Mapping[str, int], split: str, colour: str, statistic: str) -> go.Scatter:
    value, low, high, _ = columns(statistic)
    middle = rows[value]
    beyond = middle > 9.5
    return go.Scatter(
        x=middle,
        y=[place[m] for m in rows["method"]],
        mode="markers+text",
        text=[f"{v:.1f}" for v in middle],
        textposition=["top left" if far else "top right" for far in beyond],
        textfont={"size": SMALL},
        marker={"size": 10, "color": colour, "symbol": MARKER[split]},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (rows[high].fillna(middle) - middle).clip(lower=0),
            "arrayminus": (middle - rows[low].fillna(middle)).clip(lower=0),
            "color": colour,
            "thickness": 2,
            "width": 0,
        },
        customdata=[[m, split] for m in rows["method"]],
        hovertext=[_hover(row, statistic) for _, row in rows.iterrows()],
        hoverinfo="text",
        cliponaxis=False,
    )


def _hover(row: pd.Series, statistic: str) -> str:
    value, low, high, floor = columns(statistic)
    interval = "" if row[[low, high]].isna().any() else f" ({row[low]:.2f} to {row[high]:.2f})"
    return (
        f"<b>{_plain(row['name'])}</b>, {row['split']} set, {number(row['models'], '.0f')} models<br>"
        f"KLOM {chosen_statistic(statistic).label.lower()} {row[value]:.2f}{interval}<br>"
        f"floor {number(row[floor])}"
    )


def _plain(text: str) -> str:
    """Take away what plotly or Markdown would read as markup."""
    return "".join(c for c in str(text) if c not in "<>&*_`[]$\\")
