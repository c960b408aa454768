"""One point along a method's run: its mean margin from step to step, against the oracles' and the originals'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.theme import SMALL, Look, fade
from engine.views.base import Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="On the way",
    question="When does this picture pass its target?",
    how=(
        "Each line is the mean margin of this picture along a method's run, the green band where the oracles stand "
        "(mean and one standard deviation over networks), the orange line where the originals stood. A good run ends "
        "in the band; a line that crosses it and goes on shows unlearning past the target."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "share": Column("Examples seen so far as a share of the method's run", "", 0.5),
        "seen": Column("Examples seen so far by one network", "examples", 640),
        "margin": Column("Margin of the point, mean over networks", "logits", 3.25),
        "oracle": Column("Margin of the point under the oracles, mean over networks", "logits", 1.5),
        "oracle_sd": Column("Standard deviation of that margin over the oracles", "logits", 0.75),
        "original": Column("Margin of the point under the original networks, mean over networks", "logits", 8.0),
    }
)


@dataclass(frozen=True)
class Track:
    """One method's way: ``margin`` (frames,) of the point, mean over models, after ``seen`` (frames,) examples each."""

    method: str
    name: str
    margin: np.ndarray
    seen: np.ndarray


def averaged(parts: Sequence[Mapping[str, np.ndarray]], point: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (margin, seen) of one point, both (frames,), averaged over chunks of models; None if it was not followed.

    Each part has ``trajectory`` (frames, n), ``trajectory_points`` (n,), ``trajectory_seen`` (frames,) and ``models``,
    the number of its models, which weighs it. Chunks of one method have the same frames; one that differs (a run cut
    short and finished by other code) is left out.
    """
    sums: np.ndarray | None = None
    seen: np.ndarray | None = None
    total = 0
    for part in parts:
        place = np.flatnonzero(part["trajectory_points"] == point)
        if len(place) == 0:
            continue
        way = np.asarray(part["trajectory"][:, int(place[0])], np.float64)  # (frames,)
        weight = int(part["models"])
        if sums is None:
            sums, seen = np.zeros_like(way), np.asarray(part["trajectory_seen"])
        elif len(way) != len(sums):
            continue
        sums, total = sums + weight * way, total + weight
    return None if sums is None or seen is None else (sums / total, seen)


def frame(tracks: Sequence[Track], *, oracle: np.ndarray, original: np.ndarray) -> pd.DataFrame:
    """Return one row per method and frame of its run.

    ``oracle`` and ``original`` are the margins (m,) of this point over networks.
    """
    rows = [
        {
            "method": track.method,
            "name": track.name,
            "share": float(seen) / max(1.0, float(track.seen[-1])),
            "seen": int(seen),
            "margin": float(margin),
            "oracle": float(oracle.mean()),
            "oracle_sd": float(oracle.std()),
            "original": float(original.mean()),
        }
        for track in tracks
        for margin, seen in zip(track.margin, track.seen, strict=True)
    ]
    return tidy(COLUMNS, rows)


def sentence(table: pd.DataFrame, method: str) -> str:
    """Say in one sentence how a method's way ends against the oracle band, and whether it was inside before."""
    way = table[table["method"] == method]
    if len(way) < 2:
        return ""
    centre, spread = float(way["oracle"].iloc[0]), float(way["oracle_sd"].iloc[0])
    off = (way["margin"].to_numpy() - centre) / max(spread, 1e-9)  # (frames,)
    inside = np.abs(off) <= 1
    start = np.sign(off[0])
    if inside[-1]:
        return "Ends among the oracles."
    crossed = inside.any() or bool((np.sign(off) != start).any())
    if np.sign(off[-1]) == start:
        return "Came to the oracles and left again." if inside.any() else "Never reaches the oracles."
    return f"Passes the oracles and ends {abs(off[-1]):.1f} of their standard deviations beyond." if crossed else ""


def figure(table: pd.DataFrame, colours: Look, *, chosen: str = "", height: int = 230) -> go.Figure:
    """Draw every method's way over the share of its run, ``chosen`` in its hue and the others quietly."""
    figure = go.Figure()
    if len(table):
        centre, spread = float(table["oracle"].iloc[0]), float(table["oracle_sd"].iloc[0])
        figure.add_hrect(
            y0=centre - spread, y1=centre + spread, fillcolor=fade(colours.oracle, 0.18), line_width=0, layer="below"
        )
        for level, colour, text, side in (
            (centre, colours.oracle, "oracle", "right"),
            (float(table["original"].iloc[0]), colours.original, "original", "left"),  # they may lie close together
        ):
            figure.add_hline(y=level, line={"color": colour, "width": 1.5}, layer="below")
            figure.add_annotation(
                x=float(side == "right"), xref="paper", y=level, text=text, xanchor=side, yanchor="bottom",
                font={"color": colour, "size": SMALL},
            )  # fmt: skip
    order = sorted(dict.fromkeys(table["method"]), key=lambda method: method == chosen)  # the chosen one on top
    for method in order:
        way = table[table["method"] == method]
        on = method == chosen or not chosen
        name = plain(way["name"].iloc[0])
        figure.add_trace(
            go.Scatter(
                x=way["share"],
                y=way["margin"],
                mode="lines+markers" if on else "lines",
                line={"color": colours.unlearned if on else fade(colours.quiet, 0.55), "width": 2 if on else 1.2},
                marker={"size": 5},
                name=name,
                customdata=way[["seen"]],
                hovertemplate=name + ": %{y:.2f} after %{customdata[0]:,} examples<extra></extra>",
            )
        )
    figure.update_xaxes(title_text="share of the method's run", tickformat=".0%", range=[0, 1.02], fixedrange=True)
    figure.update_yaxes(title_text="mean margin (logits)", fixedrange=True, nticks=6)
    figure.update_layout(showlegend=False, hovermode="closest")
    return styled(figure, colours, height=height).update_layout(margin={"t": 8})
