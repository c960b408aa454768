"""Where one picture's KLOM comes from: the twenty bins of margins, and what each adds to the number."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.metrics.klom import Convention, terms
from engine.theme import Look, fade
from engine.views.base import Column, ViewCard, styled, typed

CARD = ViewCard(
    title="Where the number comes from",
    question="Which margins set these networks apart from networks that never saw this picture?",
    how=(
        "The range of both kinds' margins is cut in 20 equal bins. Above: how large a share of networks lies in each. "
        "Below: what the bin adds to KLOM; a bin that one kind leaves empty adds most. Good are blue bars on green "
        "ones, which add nothing."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "low": Column("Lower edge of a bin of margins", "logits", 0.5),
        "high": Column("Upper edge of the bin", "logits", 0.75),
        "oracle": Column("Share of the oracles in the bin", "", 0.2),
        "unlearned": Column("Share of the unlearned networks in the bin", "", 0.1),
        "adds": Column("What the bin adds to KLOM", "nats", 0.25),
    }
)


def frame(*, oracle: np.ndarray, unlearned: np.ndarray, convention: Convention = "paper") -> pd.DataFrame:
    """Return one row per bin of the margins (N,) and (N',) of one point.

    Raises:
        MetricError: margins that are no numbers.
    """
    edges, p, q, added = terms(oracle=oracle, unlearned=unlearned, convention=convention)
    table = {"low": edges[:-1], "high": edges[1:], "oracle": p, "unlearned": q, "adds": added}
    return typed(COLUMNS, pd.DataFrame(table))


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw shares per bin above and what each adds below."""
    made = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1, row_heights=[0.6, 0.4])
    table = table.dropna(subset=["low", "high"])
    middle, width = (table["low"] + table["high"]) / 2, table["high"] - table["low"]
    for role in ("oracle", "unlearned"):
        made.add_bar(
            row=1,
            col=1,
            x=middle,
            y=100 * table[role],
            width=width,
            name=role,
            marker={"color": fade(colours.hue(role), 0.5), "line": {"color": colours.hue(role), "width": 1}},
            hovertemplate=f"{role}: %{{y:.0f}} %<extra></extra>",
        )
    made.add_bar(
        row=2,
        col=1,
        x=middle,
        y=table["adds"],
        width=width,
        showlegend=False,
        marker={"color": colours.quiet},
        hovertemplate="adds %{y:.2f} nats<extra></extra>",
    )
    made.update_xaxes(fixedrange=True)
    made.update_xaxes(title_text="margin (logits)", row=2, col=1)
    made.update_yaxes(fixedrange=True, nticks=4)
    made.update_yaxes(title_text="networks (%)", row=1, col=1)
    made.update_yaxes(title_text="adds (nats)", row=2, col=1)
    made = styled(made, colours, height=320)
    return made.update_layout(barmode="overlay", legend={"y": 1.15}, margin={"t": 40})
