"""Distance of weights, layer by layer: how far the method moved, beside how far two oracles are apart."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._networks import NETWORKS, ROLE, look_of, spread
from engine.views.base import Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="Where the weights changed",
    question="Which layers did the method change, and did they move towards a network that never saw the forget set?",
    how=(
        "Each bar is the length of the difference of a layer's weights, on average over pairs of networks; the line is "
        "one standard deviation. Networks start from weights of their own, so even two oracles lie far apart: their "
        "distance, the dotted bar, is the scale, and a good method ends no farther from the oracle than that. One that "
        "ends farther away than the original was has moved, but not towards it."
    ),
)
AGAINST = ("original", "oracle")
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "against": Column("Whose weights they are compared with, network i with network i", "", "original", AGAINST),
        "layer": Column("The layer, as the architecture names it", "", "hidden 1"),
        "distance": Column("Length of the difference of the layer's weights, mean over networks", "weights", 1.5),
        "sd": Column("Standard deviation of that length over networks", "weights", 0.1),
        "networks": NETWORKS,
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per pair of roles and layer: role, against, layer, distance, sd, networks."""
    values, facts = measurement.arrays["distance"], measurement.facts  # (M, pairs, layers)
    rows = []
    for p, (role, against) in enumerate(facts["pairs"]):
        for number, layer in enumerate(facts["layers"]):
            each = spread(values[:, p, number])
            rows.append(
                {
                    "role": role,
                    "against": against,
                    "layer": layer,
                    "distance": each.mean,
                    "sd": each.sd,
                    "networks": each.networks,
                }
            )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a group of bars per layer, one for each pair of roles, on a log scale."""
    made = go.Figure()
    for (role, against), part in table.groupby(["role", "against"], sort=False):
        look = look_of(str(role), colours)
        hollow = against == "oracle"
        made.add_bar(
            x=[plain(layer) for layer in part["layer"]],
            y=part["distance"],
            name=f"{role} to {against}",
            marker={
                "color": colours.paper if hollow else look["colour"],
                "line": {"color": look["colour"], "width": 2},
                "pattern": {"shape": "." if look["dash"] == "dot" else "", "fgcolor": look["colour"]},
            },
            error_y={"array": part["sd"], "color": colours.quiet, "thickness": 1, "width": 3},
            hovertemplate=f"{role} to {against}<br>%{{x}}: %{{y:.3g}}<extra></extra>",
        )
    made.update_yaxes(title_text="distance (length of weights, log)", type="log", fixedrange=True)
    made.update_xaxes(title_text="layer", fixedrange=True)
    made = styled(made, colours, height=420)
    return made.update_layout(barmode="group", legend={"y": 1.12}, margin={"t": 60})
