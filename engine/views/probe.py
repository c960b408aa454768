"""Linear probes, layer by layer: what can still be read off the features, though the outputs say otherwise."""

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
    title="What can still be read off",
    question="Do the layers still tell the forgotten points apart, though the outputs no longer do?",
    how=(
        "For each layer a straight cut (a linear probe) is learned on points that are not forgotten, and tried on the "
        "forgotten ones. Each dot is the share it gets right, on average over networks, the line one standard "
        "deviation. Good is a blue line that lies on the green one, the oracle's: networks that never saw the points "
        "can be read to some extent as well. Blue above green: the outputs forgot, the features did not."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "layer": Column("The layer, as the architecture names it", "", "hidden 1"),
        "accuracy": Column("Share of points whose class the probe names, mean over networks", "", 0.9375),
        "sd": Column("Standard deviation of that share over networks", "", 0.0625),
        "points": Column("Points the probe is tried on", "points", 50),
        "networks": NETWORKS,
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role, split and layer: role, split, layer, accuracy, sd, points, networks."""
    values, facts = measurement.arrays["accuracy"], measurement.facts  # (M, roles, layers, splits)
    rows = []
    for r, role in enumerate(facts["roles"]):
        for s, split in enumerate(facts["splits"]):
            for number, layer in enumerate(facts["layers"]):
                each = spread(values[:, r, number, s])
                rows.append(
                    {
                        "role": role,
                        "split": split,
                        "layer": layer,
                        "accuracy": each.mean,
                        "sd": each.sd,
                        "points": facts["points"][split],
                        "networks": each.networks,
                    }
                )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a panel per split: accuracy of the probe over layers, a line per role."""
    splits = list(dict.fromkeys(table["split"])) or ["forget"]
    made = make_subplots(
        rows=1,
        cols=len(splits),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        column_titles=[SPLIT_TITLES[split] for split in splits],
    )
    for column, split in enumerate(splits, start=1):
        for role, part in table[table["split"] == split].groupby("role", sort=False):
            look = look_of(str(role), colours)
            made.add_scatter(
                row=1,
                col=column,
                x=[plain(layer) for layer in part["layer"]],
                y=100 * part["accuracy"],
                mode="lines+markers",
                name=str(role),
                legendgroup=str(role),
                showlegend=column == 1,
                line={"color": look["colour"], "width": 2, "dash": look["dash"]},
                marker={"size": 8, "symbol": look["symbol"], "color": look["colour"]},
                error_y={"array": 100 * part["sd"], "color": look["colour"], "thickness": 1, "width": 3},
                hovertemplate=f"{role}<br>%{{x}}: %{{y:.1f}} % read right<extra></extra>",
            )
    made.update_yaxes(fixedrange=True)
    made.update_xaxes(title_text="layer", fixedrange=True)
    made.update_yaxes(title_text="read right by the probe (%)", col=1)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=400)
    return made.update_layout(legend={"y": 1.16}, margin={"t": 60})
