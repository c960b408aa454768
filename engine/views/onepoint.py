"""One point under every method of a run: its KLOM beside its own noise floor, and what two classical tests say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.cards import REFERENCES
from engine.metrics.base import MetricError
from engine.metrics.two_sample import kolmogorov_smirnov, welch
from engine.theme import SMALL, Look
from engine.views.base import KLOM_RANGE, Column, ViewCard, number, plain, styled, tidy
from engine.views.headline import ceiling_shape, floor_shapes, role_of

CARD = ViewCard(
    title="This picture under every method",
    question="Which method treats this picture like networks that never saw it?",
    how=(
        "Each dot is the KLOM of this one picture, the green band its noise floor, what retrained networks score among "
        "themselves; further left is better, and a dot in the band is as good as a retrain. A single picture's floor "
        "is noisy, so small differences mean little. The table adds the Kolmogorov-Smirnov distance and Welch's t "
        "against the oracles, with p-values for this picture alone."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "reference": Column("What kind of reference the method is; empty for one that is tried", "", "", REFERENCES),
        "klom": Column("KLOM of this point under the method", "nats", 2.5),
        "floor": Column("Noise floor of this point: KLOM of two sets of retrained networks", "nats", 0.625),
        "ks": Column("Kolmogorov-Smirnov distance between the margins of its networks and of the oracles", "", 0.375),
        "ks_p": Column("Its p-value", "", 0.0625),
        "t": Column("Welch's t of the same margins", "", 4.75),
        "t_p": Column("Its p-value", "", 0.03125),
        "margin": Column("Margin of the point, mean over the method's networks", "logits", 3.25),
        "oracle_margin": Column("Margin of the point, mean over the oracles", "logits", 1.5),
    }
)


@dataclass(frozen=True)
class Measured:
    """One method on one point: its KLOM and floor in nats, and the margins (m,) of its networks and of the oracles.

    ``reference`` is the kind of reference the method is, one of :data:`engine.cards.REFERENCES`.
    """

    method: str
    name: str
    klom: float
    floor: float
    unlearned: np.ndarray
    oracle: np.ndarray
    reference: str = ""


def frame(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return one row per method, in the order given.

    A test that cannot be made (fewer than two networks, margins that are not finite) is missing.
    """
    rows = []
    for one in measured:
        tests: dict[str, float] = {"ks": np.nan, "ks_p": np.nan, "t": np.nan, "t_p": np.nan}
        for name, test in (("ks", kolmogorov_smirnov), ("t", welch)):
            try:
                result = test(oracle=one.oracle, unlearned=one.unlearned)
            except MetricError:
                continue
            tests |= {name: result.statistic, f"{name}_p": result.p}
        rows.append(
            {
                "method": one.method,
                "name": one.name,
                "reference": one.reference,
                "klom": one.klom,
                "floor": one.floor,
                **tests,
                "margin": float(one.unlearned.mean()),
                "oracle_margin": float(one.oracle.mean()),
            }
        )
    return tidy(COLUMNS, rows)


def with_p(statistic: float, p: float) -> str:
    """Return a statistic and its p-value as text, "not measured" when one is missing."""
    if not np.isfinite(statistic) or not np.isfinite(p):
        return "not measured"
    return f"{statistic:.2f}, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"


def figure(table: pd.DataFrame, colours: Look, *, chosen: str = "", height: int = 0) -> go.Figure:
    """Draw one row per method; ``chosen`` is the method whose name is written in ink. Custom data: (method,).

    ``height`` in pixels; 0 is as high as the rows need.
    """
    figure = go.Figure()
    place = list(range(len(table) - 1, -1, -1))
    known = [(y, floor) for y, floor in zip(place, table["floor"], strict=True) if np.isfinite(floor)]
    figure.add_trace(
        go.Scatter(
            x=table["klom"],
            y=place,
            mode="markers+text",
            text=[f"{value:.1f}" if np.isfinite(value) else "" for value in table["klom"]],
            textposition=["middle left" if value > 9.5 else "middle right" for value in table["klom"]],
            textfont={"size": SMALL},
            marker={"size": 9, "color": [colours.hue(role_of(kind)) for kind in table["reference"]]},
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=table[["method"]].to_numpy(),
            hovertext=[
                f"KLOM {number(r.klom)}<br>KS {with_p(r.ks, r.ks_p)}<br>t {with_p(r.t, r.t_p)}"
                for r in table.itertuples()
            ],
            hoverinfo="text",
            cliponaxis=False,
        )
    )
    labels = []
    for method, name in zip(table["method"], table["name"], strict=True):
        ink = colours.ink if method == chosen or not chosen else colours.quiet
        bold = f"<b>{plain(name)}</b>" if method == chosen else plain(name)
        labels.append(f'<span style="color:{ink}">{bold}</span>')
    figure.update_yaxes(tickvals=place, ticktext=labels, range=[-0.6, len(table) - 0.4], fixedrange=True)
    figure.update_xaxes(range=list(KLOM_RANGE), tickvals=[0, 2, 4, 6, 8, 10], fixedrange=True)
    figure.update_xaxes(title_text="KLOM of this point (nats)")
    shapes = [*floor_shapes(known, colours), ceiling_shape(colours)]
    figure.update_layout(shapes=shapes, showlegend=False, hovermode="closest", clickmode="event+select")
    return styled(figure, colours, height=height or 76 + 24 * max(1, len(table))).update_layout(margin={"t": 8})
