"""Linear CKA, layer by layer: how alike networks of two roles see the same points."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import SMALL, Look
from engine.views._networks import NETWORKS, ROLE, SPLIT, look_of, spread
from engine.views.base import SPLIT_TITLES, Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="What the layers see",
    question="Do the unlearned networks see the pictures as networks that never saw the forget set do?",
    how=(
        "Each dot compares a layer of one network with the same layer of its partner, on average over pairs, the line "
        "is one standard deviation; 1 means the same up to a rotation. Above, all are compared with the original: "
        "good is a blue line that lies on the green one. Below, with the oracle: good is a blue line as high as the "
        "dotted one, two independent oracles. Higher than that is not better, and with few pictures all values are "
        "high."
    ),
)
AGAINST = ("original", "oracle")
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "against": Column("Whose networks they are compared with, network i with network i", "", "original", AGAINST),
        "split": SPLIT,
        "layer": Column("The layer, as the architecture names it", "", "hidden 1"),
        "cka": Column("Linear CKA, 1 where both see the same up to a rotation, mean over networks", "", 0.97),
        "sd": Column("Standard deviation of the CKA over networks", "", 0.01),
        "networks": NETWORKS,
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per pair of roles, split and layer: role, against, split, layer, cka, sd, networks.

    ``cka`` and ``sd`` are mean and standard deviation over ``networks`` pairs. Layers are in the network's order.
    """
    values, facts = measurement.arrays["cka"], measurement.facts  # (M, pairs, layers, splits)
    rows = []
    for p, (role, against) in enumerate(facts["pairs"]):
        for s, split in enumerate(facts["splits"]):
            for number, layer in enumerate(facts["layers"]):
                each = spread(values[:, p, number, s])
                rows.append(
                    {
                        "role": role,
                        "against": against,
                        "split": split,
                        "layer": layer,
                        "cka": each.mean,
                        "sd": each.sd,
                        "networks": each.networks,
                    }
                )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a panel per split, above against the original and below against the oracle."""
    splits = list(dict.fromkeys(table["split"])) or ["forget"]
    made = make_subplots(
        rows=2,
        cols=len(splits),
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.08,
        column_titles=[SPLIT_TITLES[split] for split in splits],
    )
    named: set[str] = set()
    for at, against in enumerate(AGAINST, start=1):
        for column, split in enumerate(splits, start=1):
            here = table[(table["against"] == against) & (table["split"] == split)]
            for role, part in here.groupby("role", sort=False):
                look = look_of(str(role), colours)
                made.add_scatter(
                    row=at,
                    col=column,
                    x=[plain(layer) for layer in part["layer"]],
                    y=part["cka"],
                    mode="lines+markers",
                    name=str(role),
                    legendgroup=str(role),
                    showlegend=role not in named,
                    line={"color": look["colour"], "width": 2, "dash": look["dash"]},
                    marker={"size": 8, "symbol": look["symbol"], "color": look["colour"]},
                    error_y={"array": part["sd"], "color": look["colour"], "thickness": 1, "width": 3},
                    hovertemplate=f"{role} and {against}<br>%{{x}}: CKA %{{y:.3f}}<extra></extra>",
                )
                named.add(str(role))
        made.update_yaxes(title_text=f"CKA with the {against} (1 is the same)", row=at, col=1)
    made.update_yaxes(fixedrange=True)
    made.update_xaxes(fixedrange=True)
    made.update_xaxes(title_text="layer", row=2)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=540)
    return made.update_layout(legend={"y": 1.08}, margin={"t": 60})  # above the titles of the columns
