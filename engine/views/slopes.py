"""Gradients per layer: how strongly forgotten and kept pictures pull, and whether against each other."""

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
    title="What still pulls at the weights?",
    question="How strongly do forgotten and kept pictures pull at each layer, beside networks that never saw them?",
    how=(
        "Each bar is the length of the loss's gradient in a layer; the line is one standard deviation over networks, "
        "and the group at the right is the mean length of single pictures' gradients. Before unlearning both rest. "
        "Good are blue bars as high as the green ones: forgotten pictures pull as new ones would, kept ones rest."
    ),
)
ALONE = "single pictures"
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "layer": Column("The layer, or single pictures: the mean length of their own gradients", "", "hidden 1"),
        "length": Column("Length of the loss's gradient, mean over networks", "", 0.5),
        "sd": Column("Standard deviation of that length over networks", "", 0.1),
        "conflict": Column("UM: 100 (1 - cosine of the two sets' gradients); 0 pull alike, 200 against", "", 90.0),
        "networks": NETWORKS,
    }
)
VALUE = "length"


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role, split and layer, and one for single pictures."""
    facts, arrays = measurement.facts, measurement.arrays
    rows = []
    for r, role in enumerate(facts["roles"]):
        conflict = 100 * (1 - spread(arrays["angle"][:, r]).mean)
        for s, split in enumerate(facts["splits"]):
            named = [(layer, arrays["layers"][:, r, s, n]) for n, layer in enumerate(facts["layers"])]
            for layer, values in [*named, (ALONE, arrays["examples"][:, r, s])]:
                each = spread(values)
                about = {"role": role, "split": split, "layer": layer, "conflict": conflict}
                rows.append({**about, "length": each.mean, "sd": each.sd, "networks": each.networks})
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a panel per split with a group of bars per layer, on a log scale."""
    splits = list(dict.fromkeys(table["split"])) or ["forget"]
    made = make_subplots(
        rows=1,
        cols=len(splits),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        column_titles=[SPLIT_TITLES.get(split, split) for split in splits],
    )
    for column, split in enumerate(splits, start=1):
        for role, part in table[table["split"] == split].groupby("role", sort=False):
            look = look_of(str(role), colours)
            second = role == "second oracle"
            made.add_bar(
                row=1,
                col=column,
                x=[plain(layer) for layer in part["layer"]],
                y=part["length"],
                error_y={"array": part["sd"], "color": colours.quiet, "thickness": 1, "width": 2},
                name=str(role),
                legendgroup=str(role),
                showlegend=column == 1,
                marker={
                    "color": colours.paper if second else look["colour"],
                    "line": {"color": look["colour"], "width": 1.5},
                    "pattern": {"shape": "." if second else "", "fgcolor": look["colour"]},
                },
                hovertemplate=f"{role}<br>%{{x}}: %{{y:.3g}}<extra></extra>",
            )
    made.update_xaxes(title_text="layer", fixedrange=True)
    made.update_yaxes(type="log", fixedrange=True)
    made.update_yaxes(title_text="length of the gradient (log)", row=1, col=1)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=420)
    return made.update_layout(barmode="group", legend={"y": 1.16}, margin={"t": 70})
