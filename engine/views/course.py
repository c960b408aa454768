"""The course of a retrain: what it would be worth, stopped after each of its epochs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.metrics import scores, statistics
from engine.metrics.klom import Convention, diverged, klom
from engine.records import SPLITS
from engine.theme import DASH, MARKER, Look
from engine.views.base import SPLIT_TITLES, Column, ViewCard, of_metrics, styled, tidy
from engine.views.headline import chosen_statistic, columns

CARD = ViewCard(
    title="A retrain, stopped early",
    question="How much of a retrain would do?",
    how=(
        "Networks are retrained without the forget set on the recipe's own schedule and measured after each epoch, as "
        "if they were stopped there. Each line falls to the noise floor at its right end, where the retrain is whole. "
        "A method is worth its price where it is better than this line at the same compute."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "share": Column("How much of the retrain is done", "", 0.5),
        "split": Column("Which points it is measured on", "", "forget", SPLITS),
        "points": Column("Points it is measured on: all of a split, or an even draw of 500", "points", 50),
        "models": Column("Models of each ensemble", "models", 100),
    }
)


def documented() -> Mapping[str, Column]:
    """Return all columns of the table: :data:`COLUMNS`, and the value of each statistic of KLOM."""
    return {**COLUMNS, **of_metrics([scores.Column(metric, "value") for metric in statistics().values()])}


def frame(
    *,
    oracle: np.ndarray,
    course: np.ndarray,
    share: np.ndarray,
    splits: Mapping[str, np.ndarray],
    convention: Convention = "paper",
) -> pd.DataFrame:
    """Return one row per moment and split: share, split, points, models, and the value of each KLOM statistic.

    ``oracle`` are margins (M, n) of finished oracles, ``course`` (M', E, n) those of second oracles, trained
    independently of them, after each of E epochs, and ``share`` (E,) how much of a retrain that is; ``splits`` maps a
    split to columns. Models that diverged by the end are left out.

    Raises:
        MetricError: margins that do not fit together.

    Cost: E times that of KLOM at n points.
    """
    near = np.delete(oracle, diverged(oracle), axis=0)  # (m, n)
    way = np.delete(course, diverged(course[:, -1]), axis=0)  # (m', E, n)
    models = min(len(near), len(way))
    rows = []
    for moment, done in enumerate(share):
        values = klom(oracle=near[:models], unlearned=way[:models, moment], convention=convention)  # (n,)
        for split, chosen in splits.items():
            if len(chosen):
                at = {"share": float(done), "split": split, "points": len(chosen), "models": models}
                known = statistics().values()
                rows.append({**at, **{scores.Column(m, "value").name: m.of(values[chosen]) for m in known}})
    return tidy(documented(), rows)


def empty() -> pd.DataFrame:
    """Return the table without rows."""
    return tidy(documented(), [])


def matching(table: pd.DataFrame, value: float, *, split: str = "forget", statistic: str = "") -> float | None:
    """Return how much of a retrain it takes to come as near as ``value`` on a split and stay; None if none does."""
    part = table[table["split"] == split].sort_values("share")
    farther = part.loc[part[columns(statistic)[0]] > value, "share"]
    nearer = part["share"] if farther.empty else part.loc[part["share"] > farther.max(), "share"]
    return None if nearer.empty else float(nearer.min())


def sentence(table: pd.DataFrame, value: float, *, statistic: str = "") -> str:
    """Say how much of a retrain comes as near on the forget set as a method that scores ``value`` there."""
    if table.empty:
        return ""
    share = matching(table, value, statistic=statistic)
    if share is None:
        return "No part of a retrain, nor the whole, came as near on the forget set: that is within the noise."
    return f"A retrain stopped after {share:.0%} of its epochs comes as near on the forget set."


def figure(table: pd.DataFrame, colours: Look, *, statistic: str = "") -> go.Figure:
    """Draw a line per split: KLOM over the share of a retrain."""
    made = go.Figure()
    value = columns(statistic)[0]
    for split in SPLITS:
        part = table[table["split"] == split]
        made.add_scatter(
            x=100 * part["share"],
            y=part[value],
            mode="lines+markers",
            name=SPLIT_TITLES[split],
            line={"color": colours.oracle, "width": 2, "dash": DASH[split]},
            marker={"size": 7, "symbol": MARKER[split], "color": colours.oracle},
            hovertemplate="stopped at %{x:.0f} %: %{y:.2f} nats<extra>" + SPLIT_TITLES[split] + "</extra>",
        )
    made.update_xaxes(title_text="done of the retrain (%)", range=[0, 102], fixedrange=True)
    made.update_yaxes(
        title_text=f"KLOM, {chosen_statistic(statistic).label.lower()} (nats)", rangemode="tozero", fixedrange=True
    )
    return styled(made, colours, height=340)
