"""The best of each method's settings, per forget set: what a method can do when it is tuned, beside doing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.metrics.cost import Compute
from engine.theme import Look, fade
from engine.views.base import Column, ViewCard, largest, number, plain, styled, tidy
from engine.views.headline import chosen_statistic, columns

CARD = ViewCard(
    title="The best setting of each method",
    question="How well can each method forget, and does one setting do for every forget set?",
    how=(
        "Each dot is the setting of a method that came closest to retrained networks on the forget set; further left "
        "is better. A hollow dot disturbs the retain set by more than twice its floor. The green band is the noise "
        "floor, the orange line doing nothing: a method that lies right of it at its best setting has not forgotten. "
        "The best of many settings is flattered by chance when their numbers lie within the floor of each other."
    ),
)
MOST = 4
"""Forget sets side by side at most."""
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "forget_set": Column("What was forgotten", "", "class 3"),
        "method": Column("The method's key", "", "scrub"),
        "name": Column("The method's name", "", "SCRUB"),
        "id": Column("The best setting's id in its run", "", "scrub-1"),
        "setting": Column("The method with its best settings", "", "SCRUB, epochs 3"),
        "tried": Column("Settings tried", "settings", 3),
        "forget": Column("KLOM of the forget set", "nats", 2.5),
        "retain": Column("KLOM of the retain set", "nats", 1.25),
        "test": Column("KLOM of the test set", "nats", 1.125),
        "floor": Column("Noise floor of the forget set", "nats", 0.625),
        "retain_floor": Column("Noise floor of the retain set", "nats", 0.5),
        "nothing": Column("KLOM of the forget set under the originals", "nats", 8.25),
        "compute": Column("Work of the method as a share of a retrain", "", 0.0625),
        "gentle": Column("Whether the retain set stays within twice its floor", "", True),
    }
)


def frame(
    measured: Sequence[tuple[str, pd.DataFrame, Mapping[str, str]]], names: Mapping[str, str], statistic: str = ""
) -> pd.DataFrame:
    """Return one row per forget set and method, best on the forget set first.

    ``measured`` holds, per forget set, its name, a headline's table and the key of each method id; ``names`` the name
    of a key. ``gentle`` says that the retain set stays within twice its floor. References other than the one of doing
    nothing, which every row carries, are left out.
    """
    value, _, _, floor = columns(statistic)
    rows = []
    for forget_set, table, keys in measured:
        settings: dict[str, list[dict[str, object]]] = {}
        nothing = np.nan
        for method, part in table[table[value].notna()].groupby("method", sort=False):
            by = part.set_index("split")
            if "forget" not in by.index:
                continue
            key = keys.get(str(method), str(method))
            reference = by.at["forget", "reference"]
            if reference == "do nothing":
                nothing = float(by.at["forget", value])
            if reference or by.at["forget", "broken"] > 0:
                continue
            retain, retain_floor = (by[c].get("retain", np.nan) for c in (value, floor))
            settings.setdefault(key, []).append(
                {
                    "forget_set": forget_set,
                    "method": key,
                    "name": names.get(key, key),
                    "id": str(method),
                    "setting": str(by["name"].iloc[0]),
                    **{split: by[value].get(split, np.nan) for split in ("forget", "retain", "test")},
                    "floor": by.at["forget", floor],
                    "retain_floor": retain_floor,
                    "compute": by.at["forget", Compute.key],
                    "gentle": bool(retain <= 2 * retain_floor),
                }
            )
        best = [
            {**min(several, key=lambda row: row["forget"]), "tried": len(several), "nothing": nothing}
            for several in settings.values()
        ]
        rows += sorted(best, key=lambda row: row["forget"])
    return tidy(COLUMNS, rows)


def swept(table: pd.DataFrame) -> bool:
    """Return whether any method was tried at more than one setting."""
    return bool((table["tried"] > 1).any())


def figure(table: pd.DataFrame, colours: Look, *, statistic: str = "") -> go.Figure:
    """Draw one panel per forget set, one row per method. Custom data of a dot: (method id, "forget")."""
    sets = list(dict.fromkeys(table["forget_set"]))[:MOST]
    order = list(dict.fromkeys(plain(name) for name in table[table["forget_set"].isin(sets)]["name"]))[::-1]
    figure = make_subplots(
        rows=1,
        cols=max(1, len(sets)),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=[plain(forget_set) for forget_set in sets],
    )
    for column, forget_set in enumerate(sets, start=1):
        part = table[table["forget_set"] == forget_set]
        figure.add_trace(
            go.Scatter(
                x=part["forget"],
                y=part["name"].map(plain),
                mode="markers",
                marker={
                    "size": 10,
                    "color": [colours.unlearned if one else colours.paper for one in part["gentle"]],
                    "line": {"color": colours.unlearned, "width": 2},
                },
                selected={"marker": {"opacity": 1}},
                unselected={"marker": {"opacity": 1}},
                customdata=[[one, "forget"] for one in part["id"]],
                hovertext=[_hover(row) for _, row in part.iterrows()],
                hoverinfo="text",
                showlegend=False,
            ),
            row=1,
            col=column,
        )
        edge, nothing = float(part["floor"].max()), float(part["nothing"].iloc[0])
        if np.isfinite(edge):
            figure.add_vrect(
                x0=-1, x1=edge, fillcolor=fade(colours.oracle, 0.14), line_width=0, layer="below", row=1, col=column
            )
        if np.isfinite(nothing):
            line = {"color": colours.original, "width": 1.5, "dash": "dash"}
            figure.add_vline(x=nothing, line=line, row=1, col=column)
        figure.update_xaxes(range=[-0.25, 1.08 * _edge(table)], fixedrange=True, row=1, col=column)
    middle = max(1, (len(sets) + 1) // 2)
    title = f"forget KLOM of the best setting, {chosen_statistic(statistic).label.lower()} (nats)"
    figure.update_xaxes(title_text=title, row=1, col=middle)
    figure.update_yaxes(categoryorder="array", categoryarray=order, fixedrange=True)
    for annotation in figure.layout.annotations:
        annotation.update(font={"size": 13, "color": colours.ink})
    figure.update_layout(hovermode="closest", clickmode="event+select")
    return styled(figure, colours, height=130 + 26 * max(1, len(order)))


def _edge(table: pd.DataFrame) -> float:
    return max(1.0, largest(table[["forget", "nothing", "floor"]]))


def _hover(row: pd.Series) -> str:
    forget, retain, test = (number(row[split]) for split in ("forget", "retain", "test"))
    return (
        f"<b>{plain(row['setting'])}</b><br>forget {forget}, retain {retain}, test {test} nats"
        f"<br>best of {int(row['tried'])}, {number(row['compute'], '.2%')} of a retrain"
    )
