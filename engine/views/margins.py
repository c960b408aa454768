"""One point under three ensembles: the margins of originals, unlearned networks and oracles on shared bins."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.theme import Look, fade
from engine.views.base import Column, ViewCard, styled, typed

CARD = ViewCard(
    title="One point under three ensembles",
    question="How sure are the networks of this picture's label?",
    how=(
        "Each curve counts networks by their margin, the logit by which the right class leads: further right is surer. "
        "A network that forgot perfectly gives the blue curve the shape and place of the green one, wherever the "
        "orange one stood."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "low": Column("Lower edge of a bin of margins", "logits", 0.5),
        "high": Column("Upper edge of the bin; the last bin holds its own", "logits", 0.75),
        "original": Column("Original networks whose margin lies in the bin", "networks", 3),
        "unlearned": Column("Unlearned networks whose margin lies in the bin", "networks", 11),
        "oracle": Column("Oracles whose margin lies in the bin", "networks", 23),
    }
)

ROLES = ("original", "unlearned", "oracle")
BINS = 24


def frame(*, original: np.ndarray, unlearned: np.ndarray, oracle: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Return counts per bin: low, high, original, unlearned, oracle; each argument is margins (m,) of one point.

    Bins are equal and span the joint range of all three, its largest value included, so no network is lost.
    """
    everything = np.concatenate([original, unlearned, oracle])
    low, high = float(everything.min()), float(everything.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)  # (bins + 1,)
    counts = {
        role: np.histogram(values, edges)[0] for role, values in zip(ROLES, (original, unlearned, oracle), strict=True)
    }
    return typed(COLUMNS, pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts}))


def figure(table: pd.DataFrame, colours: Look, *, height: int = 260, names: bool = True) -> go.Figure:
    """Draw the three histograms as stepped outlines over one another, in their hues."""
    figure = go.Figure()
    edges = np.append(table["low"].to_numpy(), table["high"].to_numpy()[-1:])  # (bins + 1,)
    steps = np.repeat(edges, 2)  # (2 bins + 2,)
    for role in ROLES:
        counts = table[role].to_numpy()
        heights = np.concatenate([[0], np.repeat(counts, 2), [0]])[: len(steps)]  # (2 bins + 2,), none without bins
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=heights,
                mode="lines",
                line={"color": colours.hue(role), "width": 2},
                fill="tozeroy",
                fillcolor=fade(colours.hue(role), 0.16),
                name=role,
                hoverinfo="skip",
            )
        )
    figure.update_xaxes(title_text="margin (logits)", fixedrange=True)
    figure.update_yaxes(title_text="networks", rangemode="tozero", fixedrange=True, nticks=4)
    figure.update_layout(showlegend=names)
    return styled(figure, colours, height=height)
