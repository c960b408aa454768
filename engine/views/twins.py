"""Twin maps: the same points as the networks of each role see them, side by side, and what is chosen ringed in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._networks import NETWORKS, ROLE, ROLES, SPLIT, spread
from engine.views.base import Column, ViewCard, number, plain, styled, typed
from engine.views.datamap import kinds

CARD = ViewCard(
    title="What the networks see",
    question="Do the forgotten pictures still lie among their class?",
    how=(
        "Each map is one network's view of the same pictures: those whose last hidden layer is alike lie close "
        "together. Colours are classes, diamonds what is forgotten. It is good when the diamonds lie as they do for "
        "networks that never saw them, not when they lie anywhere else. The number is the share of their ten nearest "
        "neighbours that are of their own class, mean over networks; second oracles say how far it varies by "
        "itself. Drag round points to find them in every map."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "point": Column("Number of the point, training points first", "", 17),
        "split": SPLIT,
        "class": Column("Its class", "", "cat"),
        "x": Column("Its place across, every map turned onto the original's", "no unit", 0.25),
        "y": Column("Its place up", "no unit", -0.5),
        "own": Column("Share of forgotten points' ten nearest neighbours of their own class, mean", "", 0.97),
        "networks": NETWORKS,
    }
)
CHOOSES = True
_TITLES = {"original": "before", "unlearned": "now", "oracle": "never saw it", "second oracle": "never saw it, again"}


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role and point: role, point, split, class, x, y, own (of the role), networks."""
    arrays, facts = measurement.arrays, measurement.facts
    classes = np.asarray(facts["classes"], dtype=object)
    splits = np.asarray(facts["splits"], dtype=object)
    parts = []
    for r, role in enumerate(facts["roles"]):
        share = spread(arrays["own"][:, r])
        columns = {
            "role": role,
            "point": arrays["points"],
            "split": splits[arrays["split"]],
            "class": classes[arrays["labels"]],
            "x": arrays["xy"][r, :, 0],
            "y": arrays["xy"][r, :, 1],
            "own": share.mean,
            "networks": share.networks,
        }
        parts.append(pd.DataFrame(columns))
    return typed(COLUMNS, pd.concat(parts, ignore_index=True))


def example() -> pd.DataFrame:
    """Return a handful of points as every role sees them."""
    rows = [
        {
            "role": role,
            "point": point,
            "split": ("forget", "retain", "retain", "test")[point],
            "class": "cat" if point < 2 else "dog",
            "x": 0.3 * point - r / 10,
            "y": 0.2 * (point % 2),
            "own": 0.9 - 0.2 * r,
            "networks": 5,
        }
        for r, role in enumerate(ROLES)
        for point in range(4)
    ]
    return typed(COLUMNS, pd.DataFrame(rows))


def figure(table: pd.DataFrame, colours: Look, *, chosen: Sequence[int] = ()) -> go.Figure:
    """Draw a map per role; ``chosen`` points are ringed in each. The custom data of a mark is its point's number."""
    shares = table.drop_duplicates("role").set_index("role")
    roles = list(shares.index)
    titles = [f"{_TITLES[role]}: {number(100 * float(shares.loc[role, 'own']), '.0f')} % own class" for role in roles]
    made = make_subplots(
        rows=max(1, (len(roles) + 1) // 2), cols=2, subplot_titles=titles, horizontal_spacing=0.04, vertical_spacing=0.1
    )
    classes = list(dict.fromkeys(table["class"]))
    hues = dict(zip(sorted(classes, key=str), _cycled(kinds(colours), len(classes)), strict=True))
    ringed = set(chosen)
    for at, role in enumerate(roles):
        where = {"row": at // 2 + 1, "col": at % 2 + 1}
        own = table[table["role"] == role]
        gone = own["split"] == "forget"
        for part, marker in (
            (own[~gone], {"size": 5, "opacity": 0.55, "symbol": "circle"}),
            (own[gone], {"size": 7, "symbol": "diamond", "line": {"color": colours.ink, "width": 0.7}}),
        ):
            made.add_scattergl(
                **where,
                x=part["x"],
                y=part["y"],
                mode="markers",
                marker={**marker, "color": [hues[name] for name in part["class"]]},
                customdata=part[["point"]].to_numpy().tolist(),  # lists: typed arrays come back as objects
                text=[
                    plain(f"{row[2]}, {row[1]}") for row in part[["point", "split", "class"]].itertuples(index=False)
                ],
                hovertemplate="point %{customdata[0]}: %{text}<extra></extra>",
                showlegend=False,
                selected={"marker": {"opacity": 1}},
                unselected={"marker": {"opacity": marker.get("opacity", 1)}},
            )
        rings = own[own["point"].isin(ringed)]
        if len(rings):
            made.add_scattergl(
                **where,
                x=rings["x"],
                y=rings["y"],
                mode="markers",
                marker={
                    "size": 11,
                    "symbol": "circle-open",
                    "color": colours.ink,
                    "line": {"width": 1.2, "color": colours.ink},
                },
                hoverinfo="skip",
                showlegend=False,
            )
    for name in sorted(classes, key=str):
        made.add_scatter(
            x=[None], y=[None], mode="markers", marker={"color": hues[name], "size": 9}, name=plain(str(name))
        )
    made.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={"color": colours.quiet, "size": 9, "symbol": "diamond"},
        name="forgotten",
    )
    made.update_xaxes(showticklabels=False, fixedrange=True)
    made.update_yaxes(showticklabels=False, fixedrange=True)
    made.update_xaxes(title_text="across (no unit)", row=max(1, (len(roles) + 1) // 2))
    made.update_yaxes(title_text="up (no unit)", col=1)
    made = styled(made, colours, height=760)
    return made.update_layout(dragmode="lasso", legend={"y": 1.09, "orientation": "h"}, margin={"t": 110})


def _cycled(colours: Sequence[str], count: int) -> list[str]:
    return [colours[i % len(colours)] for i in range(count)]
