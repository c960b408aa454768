"""Two methods, point by point: which points one forgets and the other does not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.records import EARLIER, SPLITS
from engine.theme import MARKER, SMALL, Look, fade
from engine.views.base import KLOM_RANGE, Column, ViewCard, largest, plain, styled, typed

CARD = ViewCard(
    title="Two methods, point by point",
    question="Do both methods fail on the same pictures?",
    how=(
        "Each dot is a picture: right is far from the oracle under the first method, up is far under the second. Below "
        "the diagonal the second method does better, and inside the green corner both are within the noise floor that "
        "95 % of retrained answers keep; click a dot to see its picture."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "point": Column("Number of the point; training points come first", "", 12),
        "split": Column("Which points it belongs to", "", "forget", (*SPLITS, EARLIER)),
        "first": Column("KLOM of this point under the first method", "nats", 2.5),
        "second": Column("KLOM of this point under the second method", "nats", 3.75),
        "difference": Column("How much further the second is from the oracles than the first", "nats", 1.25),
        "floor": Column("Noise floor of this point: KLOM of two sets of retrained networks", "nats", 0.625),
    }
)

_MOST = 1500
"""Dots at most: the most different ones, and others at even ranks."""


def frame(
    *, first: np.ndarray, second: np.ndarray, floor: np.ndarray, points: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Return one row per point, split by split.

    ``first``, ``second`` and ``floor`` are KLOM (P,); ``points`` maps each split to its points' numbers.
    """
    parts = []
    for split in [split for split in (*SPLITS, EARLIER) if split in points]:
        ids = np.sort(np.asarray(points[split], dtype=np.int64))  # (n,)
        parts.append(
            pd.DataFrame(
                {
                    "point": ids,
                    "split": split,
                    "first": first[ids],
                    "second": second[ids],
                    "difference": second[ids] - first[ids],
                    "floor": floor[ids],
                }
            )
        )
    return typed(COLUMNS, pd.concat(parts, ignore_index=True))


def sentence(table: pd.DataFrame, names: tuple[str, str], *, split: str) -> str:
    """Say in one sentence on how many points of a split each of two methods is closer to the oracle."""
    part = table[table["split"] == split]
    nearer = int((part["first"] < part["second"]).sum())
    other = int((part["first"] > part["second"]).sum())
    same = len(part) - nearer - other
    text = f"{names[0]} is closer on {nearer:,} of {len(part):,} pictures of the {split} set, {names[1]} on {other:,}"
    return f"{text}; {same:,} score the same." if same else f"{text}."


def figure(
    table: pd.DataFrame,
    colours: Look,
    *,
    names: tuple[str, str] = ("the first method", "the second"),
    split: str = "forget",
    point: int | None = None,
    height: int = 420,
) -> go.Figure:
    """Draw the points of one split, the diagonal and the floor's corner; ``point`` is ringed.

    Custom data of a dot: (point, split).
    """
    part = _thinned(table[table["split"] == split], point)
    reach = min(KLOM_RANGE[1], max(2.0, 1.06 * largest(part[["first", "second"]])))
    figure = go.Figure()
    whole = table[table["split"] == split]["floor"].to_numpy()
    if len(whole) and np.isfinite(whole).all():
        edge = float(np.quantile(whole, 0.95))
        figure.add_shape(
            type="rect", x0=-reach, x1=edge, y0=-reach, y1=edge, fillcolor=fade(colours.oracle, 0.14),
            line={"width": 0}, layer="below",
        )  # fmt: skip
        figure.add_annotation(
            x=0,
            y=edge,
            text="noise floor",
            xanchor="left",
            yanchor="bottom",
            font={"color": colours.oracle, "size": SMALL},
        )
    figure.add_shape(
        type="line", x0=0, y0=0, x1=reach, y1=reach, line={"color": colours.quiet, "width": 1, "dash": "dot"},
        layer="below",
    )  # fmt: skip
    ringed = [p == point for p in part["point"]]
    figure.add_trace(
        go.Scatter(
            x=part["first"],
            y=part["second"],
            mode="markers",
            marker={
                "color": fade(colours.unlearned, 0.7),
                "symbol": MARKER[split],
                "size": [13 if r else 7 for r in ringed],
                "line": {"color": colours.ink, "width": [2 if r else 0 for r in ringed]},
            },
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=[[int(p), split] for p in part["point"]],
            hovertemplate="point %{customdata[0]}<br>%{x:.2f} and %{y:.2f}<extra></extra>",
        )
    )
    for update, name in ((figure.update_xaxes, names[0]), (figure.update_yaxes, names[1])):
        update(title_text=f"KLOM under {plain(name)} (nats)", range=[-0.02 * reach, reach], fixedrange=True)
    figure.update_layout(showlegend=False, hovermode="closest", clickmode="event+select")
    return styled(figure, colours, height=height)


def _thinned(part: pd.DataFrame, point: int | None) -> pd.DataFrame:
    """Return at most :data:`_MOST` rows: the most different half, others at even ranks of the rest, and ``point``."""
    if len(part) <= _MOST:
        return part
    ranked = part.iloc[np.argsort(-part["difference"].abs().to_numpy(), kind="stable")]
    half = _MOST // 2
    others = np.unique(np.linspace(half, len(ranked) - 1, _MOST - half).astype(int))
    shown = pd.concat([ranked.iloc[:half], ranked.iloc[others]])
    if point is not None and point not in set(shown["point"]):
        shown = pd.concat([shown, part[part["point"] == point]])
    return shown
