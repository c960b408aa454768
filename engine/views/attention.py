"""Where the networks look, in numbers: how alike maps of two roles are, and how much of them lies on the thing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import rankdata

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._networks import ROLE, SPLIT, look_of
from engine.views.base import SPLIT_TITLES, Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="Do they look where the oracles look?",
    question="How alike are the mean maps of these networks and of networks that never saw the forget set?",
    how=(
        "Each dot is one picture: the rank correlation of two mean maps, 1 when both rank all places alike, 0 when "
        "neither tells of the other. Good are blue dots as high as the rings, two independent sets of oracles. Orange "
        "dots are the networks before unlearning: where they are as high, looking says nothing about forgetting."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "point": Column("The picture's number", "", 17),
        "label": Column("Its class", "", "cat"),
        "correlation": Column("Rank correlation of its mean map with the oracles'", "", 0.8),
        "original": Column("Rank correlation of its mean map with the originals'", "", 0.7),
        "shift": Column("How far its centre lies from the oracles', as a share of the map's side", "", 0.1),
        "mass": Column("Share of the map that lies on the thing, mean over networks; where its mask is known", "", 0.5),
        "spread": Column("Standard deviation of a place over networks, as a share of the mean map's largest", "", 0.3),
        "networks": Column("Networks of each kind", "networks", 100),
    }
)
VALUE = "correlation"


def means(measurement: Measurement) -> np.ndarray:
    """Return the mean map of each role and picture: (roles, n, h, w)."""
    return measurement.arrays["maps"].mean(axis=0, dtype=np.float64)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation of two maps (h, w); NaN when one is the same everywhere."""
    a, b = rankdata(first.ravel()), rankdata(second.ravel())
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def centre(heat: np.ndarray) -> np.ndarray:
    """Return the centre of mass of a map (h, w), down and right, as shares of its sides; NaN of an empty map."""
    total = heat.sum()
    if total <= 0:
        return np.full(2, np.nan)
    rows, columns = np.indices(heat.shape)
    return np.array([(rows * heat).sum() / heat.shape[0], (columns * heat).sum() / heat.shape[1]]) / total


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role and picture."""
    facts, mean = measurement.facts, means(measurement)
    sd = measurement.arrays["maps"].std(axis=0, dtype=np.float64)  # (roles, n, h, w)
    truth, before = facts["roles"].index("oracle"), facts["roles"].index("original")
    rows = []
    for r, role in enumerate(facts["roles"]):
        for n, point in enumerate(facts["points"]):
            mass = measurement.arrays["mass"][:, r, n]
            largest = float(mean[r, n].max())
            row = {
                "role": role,
                "split": facts["splits"][n],
                "point": int(point),
                "label": facts["labels"][n],
                "mass": float(mass.mean()) if np.isfinite(mass).all() else None,
                "spread": float(sd[r, n].mean() / largest) if largest > 0 else None,
                "networks": len(measurement.arrays["maps"]),
            }
            if role != "oracle":
                row["correlation"] = correlation(mean[r, n], mean[truth, n])
                row["shift"] = float(np.linalg.norm(centre(mean[r, n]) - centre(mean[truth, n])))
            if role != "original":
                row["original"] = correlation(mean[r, n], mean[before, n])
            rows.append(row)
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw each picture's correlation with the oracles' map, roles beside each other, a group per split."""
    made = go.Figure()
    known = table[np.isfinite(table["correlation"])]
    for role, part in known.groupby("role", sort=False):
        look = look_of(str(role), colours)
        made.add_box(
            x=[SPLIT_TITLES.get(split, split) for split in part["split"]],
            y=part["correlation"],
            name="second oracle (floor)" if role == "second oracle" else str(role),
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            fillcolor="rgba(0,0,0,0)",
            line={"color": "rgba(0,0,0,0)"},
            marker={"color": look["colour"], "symbol": look["symbol"], "size": 8},
            text=[
                f"picture {point}, {plain(label)}" for point, label in zip(part["point"], part["label"], strict=True)
            ],
            hovertemplate=f"{role}<br>%{{text}}: %{{y:.2f}}<extra></extra>",
        )
    made.update_xaxes(title_text="split", fixedrange=True)
    made.update_yaxes(title_text="rank correlation with the oracles' map", range=[-1.05, 1.05], fixedrange=True)
    made = styled(made, colours, height=340)
    return made.update_layout(boxmode="group", legend={"y": 1.16}, margin={"t": 50})
