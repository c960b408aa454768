"""The trade-off: what each method or setting reaches on every split for how much compute, beside a retrain's course."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.cards import REFERENCES
from engine.metrics.cost import Compute, Seconds
from engine.records import SPLITS
from engine.theme import SMALL, Look, fade
from engine.views.base import CEILING, SPLIT_TITLES, Column, ViewCard, largest, number, plain, styled, tidy
from engine.views.headline import chosen_statistic, columns, ranked

CARD = ViewCard(
    title="What it takes",
    question="Which method, or which setting of one, forgets best for its price?",
    how=(
        "Each dot is a method with its settings, once in each panel: lower is closer to networks that never saw the "
        "forget set, further left costs less. Ringed dots are beaten by no other in forget, retain and compute at "
        "once. The orange line is doing nothing, the green band the noise floor, the grey line a retrain that is "
        "stopped after each of its epochs: a good method lies left of the grey line and below the orange one in the "
        "left panel, and rises in none of the others."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "reference": Column("What kind of reference the method is; empty for one that is tried", "", "", REFERENCES),
        "forget": Column("KLOM of the forget set", "nats", 2.5),
        "retain": Column("KLOM of the retain set", "nats", 1.25),
        "test": Column("KLOM of the test set", "nats", 1.125),
        "floor": Column("Noise floor of the forget set", "nats", 0.625),
        "retain_floor": Column("Noise floor of the retain set", "nats", 0.5),
        "test_floor": Column("Noise floor of the test set", "nats", 0.5),
        "compute": Column("Work of the method as a share of a retrain", "", 0.0625),
        "seconds": Column("Time of the method for all models together", "s", 3.5),
        "broken": Column("Networks that lost what they should keep; a method with any is not ranked", "networks", 0.0),
        "front": Column("Whether no other method is as good in forget, retain and compute and better in one", "", True),
    }
)
_LEAST = 1e-4
"""Share of a retrain below which all is drawn at the left edge."""


def frame(table: pd.DataFrame, statistic: str = "") -> pd.DataFrame:
    """Return one row per measured method of a headline's ``table``, in its order.

    A method is on the front when no other is at least as good in forget, retain and compute and better in one;
    references and methods that break networks are no candidates.
    """
    value, _, _, floor = columns(statistic)
    rows = []
    for method, part in table.groupby("method", sort=False):
        by = part.set_index("split")
        if "forget" not in by.index or "retain" not in by.index or by.loc[["forget", "retain"], value].isna().any():
            continue
        rows.append(
            {
                "method": method,
                "name": by["name"].iloc[0],
                "reference": by["reference"].iloc[0],
                **{split: by[value].get(split, np.nan) for split in ("forget", "retain", "test")},
                "floor": by.at["forget", floor],
                "retain_floor": by.at["retain", floor],
                "test_floor": by[floor].get("test", np.nan),
                "compute": by.at["forget", Compute.key],
                "seconds": by.at["forget", Seconds.key],
                "broken": by.at["forget", "broken"],
                "front": False,
            }
        )
    measured = tidy(COLUMNS, rows)
    tried = ranked(measured)
    prices = tried[["forget", "retain", "compute"]].to_numpy(dtype=float)  # (n, 3)
    no_worse = (prices[None] <= prices[:, None]).all(axis=2)  # (n, n): row i, is j as good in all
    better = (prices[None] < prices[:, None]).any(axis=2)
    measured.loc[tried.index, "front"] = ~(no_worse & better).any(axis=1)
    return measured


def tested(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are no points of reference."""
    return table[table["reference"] == ""]


def sentence(table: pd.DataFrame) -> str:
    """Say which setting forgets best, and which does among those that leave the retain set alone; "" without any.

    Alone means within twice its noise floor there.
    """
    tried = ranked(table)
    if tried.empty:
        return ""
    best = tried.loc[tried["forget"].idxmin()]
    text = f"Closest on the forget set: {best['name']}, {_in_words(best)}."
    sparing = tried[tried["retain"] <= 2 * tried["retain_floor"]]
    if sparing.empty:
        return f"{text} All of them changed the pictures that were kept (by more than twice the floor)."
    gentle = sparing.loc[sparing["forget"].idxmin()]
    if gentle["method"] == best["method"]:
        return f"{text} It hardly changed the pictures that were kept."
    return f"{text} Of those that hardly changed the pictures that were kept: {gentle['name']}, {_in_words(gentle)}."


def _in_words(row: pd.Series) -> str:
    price = f" for {row['compute']:.1%} of a retrain" if np.isfinite(row["compute"]) else ""
    return f"{row['forget']:.2f}{price}, retain set {row['retain']:.2f}"


def figure(
    table: pd.DataFrame,
    colours: Look,
    *,
    chosen: str = "",
    statistic: str = "",
    course: pd.DataFrame | None = None,
) -> go.Figure:
    """Draw KLOM over compute (log), a panel per split. Custom data of a dot: (method, split).

    ``course`` is the table of :mod:`engine.views.course`; without one partial retrains of the run are all there is.
    """
    tried = tested(table)
    figure = make_subplots(
        rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03, column_titles=[SPLIT_TITLES[s] for s in SPLITS]
    )
    tops = [1.0]
    for column, split in enumerate(SPLITS, start=1):
        place = {"row": 1, "col": column}
        always = {**place, "exclude_empty_subplots": False}  # lines come before the dots
        floor = table["floor" if split == "forget" else f"{split}_floor"]
        if np.isfinite(floor).any():
            # Methods may rest on different numbers of models: the band is the widest of their floors.
            band = {"fillcolor": fade(colours.oracle, 0.14), "line_width": 0, "layer": "below"}
            figure.add_hrect(y0=-1, y1=largest(floor), **band, **always)
        idle = table[table["reference"] == "do nothing"]
        if idle[split].notna().any():
            level = float(idle[split].iloc[0])
            figure.add_hline(y=level, line={"color": colours.original, "width": 1.5, "dash": "dash"}, **always)
            figure.add_annotation(
                text="do nothing",
                font={"color": colours.original, "size": SMALL},
                x=0.01,
                xref="x domain",
                y=level,
                yanchor="bottom",
                xanchor="left",
                showarrow=False,
                **place,
            )
        if course is not None and len(course):
            figure.add_trace(_way(course[course["split"] == split], colours, statistic, column == 1), **place)
        partial = table[table["reference"].isin(("partial retrain", "retrain"))].sort_values("compute")
        if len(partial):
            figure.add_trace(_partial(partial, split, colours, joined=course is None or not len(course)), **place)
        figure.add_trace(_dots(tried, split, colours, chosen), **place)
        tops.append(largest(table[split]))
    shown = table["compute"][table["compute"] > 0]
    low = _LEAST if shown.empty else max(_LEAST, float(shown.min()) / 2)
    high = max(1.3, 1.3 * largest(shown))
    figure.update_xaxes(
        type="log",
        range=[float(np.log10(low)), float(np.log10(high))],
        tickvals=[_LEAST, 1e-3, 1e-2, 0.1, 1.0],
        ticktext=["0.01%", "0.1%", "1%", "10%", "100%"],
        fixedrange=True,
    )
    figure.update_xaxes(title_text="compute (share of a retrain, log)", row=1, col=2)
    top = min(CEILING + 0.8, 1.12 * max(tops))
    figure.update_yaxes(range=[-0.02 * top, top], fixedrange=True)
    figure.update_yaxes(title_text=f"KLOM, {chosen_statistic(statistic).label.lower()} (nats)", row=1, col=1)
    figure.update_annotations(font={"size": SMALL})
    figure.update_layout(showlegend=False, hovermode="closest", clickmode="event+select")
    return styled(figure, colours, height=420)


def _way(course: pd.DataFrame, colours: Look, statistic: str, named: bool) -> go.Scatter:
    """Draw the course of one retrain, stopped after each of its epochs."""
    value = columns(statistic)[0]
    return go.Scatter(
        x=course["share"].clip(lower=_LEAST),
        y=course[value],
        mode="lines",
        line={"color": colours.quiet, "width": 2},
        hovertemplate="a retrain stopped at %{x:.0%}: %{y:.2f} nats<extra></extra>",
        name="a retrain, stopped early",
        showlegend=named,
    )


def _partial(partial: pd.DataFrame, split: str, colours: Look, *, joined: bool) -> go.Scatter:
    """Draw retrains, whole and in part, that are methods of the run; joined where there is no course to draw."""
    return go.Scatter(
        x=partial["compute"].clip(lower=_LEAST),
        y=partial[split],
        mode="lines+markers" if joined else "markers",
        line={"color": colours.quiet, "width": 1.5},
        marker={"color": colours.quiet, "size": 7, "symbol": "square"},
        customdata=[[m, split] for m in partial["method"]],
        hovertext=[_hover(row) for _, row in partial.iterrows()],
        hoverinfo="text",
        name="retrain, in part",
    )


def _dots(tried: pd.DataFrame, split: str, colours: Look, chosen: str) -> go.Scatter:
    front = tried["front"].to_numpy(dtype=bool)
    return go.Scatter(
        x=tried["compute"].clip(lower=_LEAST),
        y=tried[split],
        mode="markers",
        marker={
            "size": [15 if method == chosen else 10 for method in tried["method"]],
            "color": colours.unlearned,
            "opacity": 0.85,
            "line": {"color": colours.ink, "width": [2.0 if one else 0.0 for one in front]},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.85}},
        customdata=[[m, split] for m in tried["method"]],
        hovertext=[_hover(row) for _, row in tried.iterrows()],
        hoverinfo="text",
        name="methods",
    )


def _hover(row: pd.Series) -> str:
    forget, retain, test = (number(row[split]) for split in ("forget", "retain", "test"))
    return (
        f"<b>{plain(row['name'])}</b><br>forget {forget}, retain {retain}, test {test} nats"
        f"<br>{number(row['compute'], '.2%')} of a retrain"
    )
