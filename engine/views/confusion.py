"""Who is mistaken for whom: true class against answered class, as differences to networks that never saw the set."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._answers import Answers
from engine.views._networks import SPLIT
from engine.views.base import Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="Who is mistaken for whom?",
    question="Which classes are answered more or less often than by networks that never saw the forget set?",
    how=(
        "Rows are the class of the pictures, columns the answer. Blue is answered more often than by the oracles, "
        "orange less often, in percentage points; white is as it should be. Good is white everywhere; a blue column is "
        "a class that swallows others."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "split": SPLIT,
        "class": Column("The class of the pictures", "", "cat"),
        "answer": Column("The class that is answered", "", "dog"),
        "unlearned": Column("Share of answers of unlearned networks", "", 0.3),
        "oracle": Column("Share of answers of oracles", "", 0.2),
        "difference": Column("Unlearned less oracle", "percentage points", 10.0),
        "points": Column("Points of that class in the split", "points", 20),
    }
)


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per split, class that occurs in it, and answer."""
    answers = Answers(measurement)
    rows = []
    for split, points in answers.splits.items():
        for c in np.unique(answers.labels[points]) if len(points) else ():
            here = points[answers.labels[points] == c]
            shares = {role: answers.shares(role, here).mean(axis=0) for role in ("unlearned", "oracle")}  # (C,)
            for answer, name in enumerate(answers.classes):
                ours, theirs = float(shares["unlearned"][answer]), float(shares["oracle"][answer])
                rows.append(
                    {
                        "split": split,
                        "class": answers.classes[int(c)],
                        "answer": name,
                        "unlearned": ours,
                        "oracle": theirs,
                        "difference": 100 * (ours - theirs),
                        "points": len(here),
                    }
                )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look, *, split: str = "forget") -> go.Figure:
    """Draw the differences of one split as a map, numbers in its cells where they are at least one point."""
    part = table[table["split"] == split]
    names = list(dict.fromkeys(part["answer"]))
    classes = list(dict.fromkeys(part["class"]))
    values = part.pivot_table(index="class", columns="answer", values="difference") if len(part) else pd.DataFrame()
    z = values.reindex(index=classes, columns=names).to_numpy() if len(part) else np.zeros((0, 0))
    text = [["" if not abs(v) >= 1 else f"{v:+.0f}" for v in row] for row in z]
    made = go.Figure()
    made.add_heatmap(
        z=z,
        x=[plain(name) for name in names],
        y=[plain(name) for name in classes],
        text=text,
        texttemplate="%{text}",
        zmid=0,
        zmin=-100,
        zmax=100,
        xgap=1,
        ygap=1,
        colorscale=[[0, colours.hue("original")], [0.5, colours.paper], [1, colours.hue("unlearned")]],
        colorbar={"title": {"text": "percentage points"}, "thickness": 10, "len": 0.9},
        hovertemplate="%{y} called %{x}: %{z:+.1f} percentage points<extra></extra>",
    )
    made.update_xaxes(title_text="answer", type="category", fixedrange=True)
    made.update_yaxes(title_text="class of the pictures", type="category", autorange="reversed", fixedrange=True)
    made = styled(made, colours, height=150 + 26 * max(4, len(classes)))
    return made.update_layout(margin={"l": 110, "t": 20})
