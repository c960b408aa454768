"""How far the answers are from those of networks that never saw the forget set, in one number per split."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._answers import Answers, apart, divergence, interval
from engine.views._networks import ROLE, SPLIT, look_of
from engine.views.base import SPLIT_TITLES, Column, ViewCard, styled, tidy

CARD = ViewCard(
    title="How far are the answers?",
    question="How differently do the networks answer from networks that never saw the forget set?",
    how=(
        "For each picture the share of networks that answers each class is compared with that of the oracles: 0 % is "
        "the same, 100 % shares no answer (total variation distance, mean over pictures). Two sets of oracles differ "
        "too, by the dotted ring: good is a blue dot on that ring. The line is the 95 % interval over networks."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "distance": Column("Total variation distance of the answers to the oracles', mean over points", "", 0.2),
        "low": Column("Lower end of the distance's 95 % interval", "", 0.15),
        "high": Column("Upper end of the distance's 95 % interval", "", 0.25),
        "pooled": Column("The same of all answers of the split together", "", 0.1),
        "divergence": Column("Jensen-Shannon divergence of the answers, mean over points", "bits", 0.1),
        "zrf": Column("Zero retrain forgetting score: 1 answers like an untrained network", "", 0.8),
        "sure": Column("Mean largest probability", "", 0.9),
        "entropy": Column("Mean entropy of the probabilities", "nats", 0.3),
        "points": Column("Points of the split", "points", 50),
        "networks": Column("Networks of each kind", "networks", 100),
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role but the oracle's own, and split: how far its answers are from the oracles'."""
    answers = Answers(measurement)
    classes, rows = len(answers.classes), []
    for s, (split, points) in enumerate(answers.splits.items()):
        if not len(points):
            continue
        truth = answers.of("predicted", "oracle")[:, points]
        shares, pooled = answers.called("oracle", points), answers.shares("oracle", points).mean(axis=0)
        for r, role in enumerate(answers.roles):
            row = {
                "role": role,
                "split": split,
                "zrf": float(measurement.arrays["zrf"][:, r, s].mean()),
                "sure": float(answers.of("sure", role)[:, points].mean()),
                "entropy": float(answers.of("entropy", role)[:, points].mean()),
                "points": len(points),
                "networks": len(truth),
            }
            if role != "oracle":
                own = answers.of("predicted", role)[:, points]
                theirs = answers.called(role, points)
                low, high = interval(own, truth, classes)
                row |= {
                    "distance": apart(theirs, shares),
                    "low": low,
                    "high": high,
                    "pooled": apart(answers.shares(role, points).mean(axis=0)[None], pooled[None]),
                    "divergence": divergence(theirs, shares),
                }
            rows.append(row)
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a row per split: each role's distance on one axis, with its interval."""
    splits = list(dict.fromkeys(table["split"])) or ["forget"]
    made = make_subplots(rows=1, cols=1)
    known = table[np.isfinite(table["distance"])]
    for role, part in known.groupby("role", sort=False):
        look = look_of(str(role), colours)
        made.add_scatter(
            x=100 * part["distance"],
            y=[SPLIT_TITLES.get(split, split) for split in part["split"]],
            error_x={
                "symmetric": False,
                "array": 100 * (part["high"] - part["distance"]),
                "arrayminus": 100 * (part["distance"] - part["low"]),
                "thickness": 1.5,
                "width": 4,
            },
            mode="markers",
            name="second oracle (floor)" if role == "second oracle" else str(role),
            marker={"color": look["colour"], "symbol": look["symbol"], "size": 11, "line": {"width": 2}},
            hovertemplate=f"{role}<br>%{{y}}: %{{x:.1f}} %<extra></extra>",
        )
    made.update_xaxes(title_text="distance of the answers to the oracles' (%)", range=[-2, 102], fixedrange=True)
    made.update_yaxes(
        title_text="split",
        categoryorder="array",
        categoryarray=[SPLIT_TITLES.get(split, split) for split in reversed(splits)],
        fixedrange=True,
    )
    made = styled(made, colours, height=130 + 46 * len(splits))
    return made.update_layout(legend={"y": 1.3}, margin={"t": 50, "l": 90})
