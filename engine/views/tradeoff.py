"""The trade-off: what each method or setting reaches on the forget set, for how much compute, at what price else."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.cards import REFERENCES
from engine.metrics.cost import Compute, Seconds
from engine.theme import Look, fade
from engine.views.base import CEILING, Column, ViewCard, largest, number, plain, styled, tidy
from engine.views.headline import chosen_statistic, columns

CARD = ViewCard(
    title="What it takes",
    question="Which method, or which setting of one, forgets best for its price?",
    how=(
        "Each dot is a method with its settings: lower forgets better, further left costs less, a darker dot damages "
        "what is kept more. Ringed dots are beaten by no other in all three at once. The orange line is doing nothing, "
        "the grey one retraining for a part of the time, the green band the noise floor: a method is worth its compute "
        "where it lies below both lines."
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
        "compute": Column("Work of the method as a share of a retrain", "", 0.0625),
        "seconds": Column("Time of the method for all models together", "s", 3.5),
        "front": Column("Whether no other method is as good in forget, retain and compute and better in one", "", True),
    }
)
_LEAST = 1e-4
"""Share of a retrain below which all is drawn at the left edge."""


def frame(table: pd.DataFrame, statistic: str = "") -> pd.DataFrame:
    """Return one row per measured method of a headline's ``table``, in its order.

    A method is on the front when no other, references aside, is at least as good in forget, retain and compute and
    better in one.
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
                "compute": by.at["forget", Compute.key],
                "seconds": by.at["forget", Seconds.key],
                "front": False,
            }
        )
    measured = tidy(COLUMNS, rows)
    tried = tested(measured)
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
    tried = tested(table)
    if tried.empty:
        return ""
    best = tried.loc[tried["forget"].idxmin()]
    text = f"Closest on the forget set: {best['name']}, {_in_words(best)}."
    sparing = tried[tried["retain"] <= 2 * tried["retain_floor"]]
    if sparing.empty:
        return f"{text} None leaves the retain set within twice its floor."
    gentle = sparing.loc[sparing["forget"].idxmin()]
    if gentle["method"] == best["method"]:
        return f"{text} It leaves the retain set within twice its floor."
    return f"{text} Of those that leave the retain set within twice its floor: {gentle['name']}, {_in_words(gentle)}."


def _in_words(row: pd.Series) -> str:
    price = f" for {row['compute']:.1%} of a retrain" if np.isfinite(row["compute"]) else ""
    return f"{row['forget']:.2f}{price}, retain set {row['retain']:.2f}"


def figure(table: pd.DataFrame, colours: Look, *, chosen: str = "", statistic: str = "") -> go.Figure:
    """Draw forget KLOM over compute (log), the references as lines. Custom data of a dot: (method, "forget")."""
    tried = tested(table)
    figure = go.Figure()
    if np.isfinite(table["floor"]).any():
        # Methods may rest on different numbers of models: the band is the widest of their floors.
        edge = largest(table["floor"])
        figure.add_hrect(y0=-1, y1=edge, fillcolor=fade(colours.oracle, 0.14), line_width=0, layer="below")
    idle = table[table["reference"] == "do nothing"]
    if idle["forget"].notna().any():
        figure.add_hline(
            y=float(idle["forget"].iloc[0]),
            line={"color": colours.original, "width": 1.5, "dash": "dash"},
            annotation={"text": "do nothing", "font": {"color": colours.original, "size": 11}},
            annotation_position="top left",
        )
    partial = table[table["reference"].isin(("partial retrain", "retrain"))].sort_values("compute")
    if not partial.empty:
        figure.add_trace(
            go.Scatter(
                x=partial["compute"].clip(lower=_LEAST),
                y=partial["forget"],
                mode="lines+markers",
                line={"color": colours.quiet, "width": 1.5},
                marker={"color": colours.quiet, "size": 7},
                customdata=[[m, "forget"] for m in partial["method"]],
                hovertext=[_hover(row) for _, row in partial.iterrows()],
                hoverinfo="text",
                name="retrain, in part",
            )
        )
    figure.add_trace(_dots(tried, colours, chosen))
    shares = [_LEAST, 1e-3, 1e-2, 0.1, 1.0]
    shown = table["compute"][table["compute"] > 0]
    low = _LEAST if shown.empty else max(_LEAST, float(shown.min()) / 2)
    high = max(1.3, 1.3 * largest(shown))
    figure.update_xaxes(
        type="log",
        range=[float(np.log10(low)), float(np.log10(high))],
        tickvals=shares,
        ticktext=["0.01%", "0.1%", "1%", "10%", "100%"],
        title_text="compute (share of a retrain, log)",
        fixedrange=True,
    )
    top = min(CEILING + 0.8, 1.12 * max(1.0, largest(table["forget"])))
    figure.update_yaxes(
        range=[-0.02 * top, top],
        title_text=f"forget KLOM, {chosen_statistic(statistic).label.lower()} (nats)",
        fixedrange=True,
    )
    figure.update_layout(showlegend=False, hovermode="closest", clickmode="event+select")
    return styled(figure, colours, height=420)


def _dots(tried: pd.DataFrame, colours: Look, chosen: str) -> go.Scatter:
    damage = (tried["retain"] / tried["retain_floor"].where(tried["retain_floor"] > 0)).clip(lower=1)
    # One floor is no damage, ten are as dark as it gets: a logarithm keeps both apart from what lies between.
    shade = np.log10(damage.fillna(1).to_numpy(dtype=float))
    ringed = [m == chosen for m in tried["method"]]
    front = tried["front"].to_numpy(dtype=bool)
    return go.Scatter(
        x=tried["compute"].clip(lower=_LEAST),
        y=tried["forget"],
        mode="markers",
        marker={
            "size": [14 if one else 10 for one in ringed],
            "color": shade,
            "cmin": 0.0,
            "cmax": 1.0,
            "colorscale": [[0, fade(colours.unlearned, 0.35)], [1, colours.unlearned]],
            "colorbar": {
                "title": {"text": "retain KLOM", "side": "right", "font": {"size": 12}},
                "tickfont": {"size": 11},
                "tickvals": [0, 0.30103, 0.69897, 1],
                "ticktext": ["floor", "2 floors", "5 floors", "10 floors"],
                "thickness": 10,
                "outlinewidth": 0,
            },
            "line": {"color": colours.ink, "width": [2.0 if one else 0.0 for one in front]},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        customdata=[[m, "forget"] for m in tried["method"]],
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
