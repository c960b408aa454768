"""A method as measured here: the finished runs of this store in which it took part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine import metrics
from engine.metrics.cost import Compute
from engine.metrics.scores import Scores
from engine.theme import SMALL, Look
from engine.views.base import KLOM_RANGE, Column, ViewCard, number, plain, styled, tidy
from engine.views.headline import ceiling_shape, floor_shapes

CARD = ViewCard(
    title="Measured in this store",
    question="How near did it come to the oracle in the runs at hand?",
    how=(
        "Each row is a finished run: the blue dot is the KLOM that 95 % of its forget set stays below, the green mark "
        "the noise floor at that number of models. A good dot lies near the green mark of its own row; rows are not to "
        "be compared with one another, for data, forget set and number of models differ."
    ),
)

COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "run": Column("The run's id", "", "r1"),
        "method": Column("The method's id in its run", "", "scrub-1"),
        "key": Column("The method's key", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB, epochs 3"),
        "data": Column("The data set", "", "Digits"),
        "model": Column("The architecture", "", "MLP"),
        "forget": Column("What was forgotten", "", "class 3"),
        "models": Column("Networks of each ensemble", "models", 100),
        "convention": Column("How KLOM is binned", "", "paper"),
        "klom": Column("KLOM of the forget set", "nats", 2.5),
        "floor": Column("Noise floor of the forget set", "nats", 0.625),
        "retain_klom": Column("KLOM of the retain set", "nats", 1.25),
        "retain_floor": Column("Noise floor of the retain set", "nats", 0.5),
        "compute": Column("Work of the method as a share of a retrain", "", 0.0625),
    }
)


def frame(measured: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per run and method, those nearest to their floor first; without those that broke networks.

    ``measured`` holds mappings with run, method (id), key, name (of the method in that run), data, model, forget (names
    for people) and ``scores``. KLOM is the headline metric. What was not measured is missing.
    """
    metric = metrics.headline()
    rows = []
    for entry in measured:
        scores: Scores = entry["scores"]
        klom = scores.value(metric, "forget")
        if klom is None or scores.broken:
            continue
        rows.append(
            {
                **{name: entry[name] for name in ("run", "method", "key", "name", "data", "model", "forget")},
                "models": scores.models,
                "convention": scores.convention,
                "klom": klom,
                "floor": scores.value(metric, "forget", "floor"),
                "retain_klom": scores.value(metric, "retain"),
                "retain_floor": scores.value(metric, "retain", "floor"),
                "compute": scores.value(Compute, "forget"),
            }
        )
    table = tidy(COLUMNS, rows)
    beyond = (table["klom"] - table["floor"].fillna(0.0)).to_numpy()
    return table.iloc[beyond.argsort(kind="stable")].reset_index(drop=True)


def about(row: pd.Series) -> str:
    """Return what a run measured a method on, and with how many models; the paper's convention goes without saying."""
    convention = "" if row["convention"] == "paper" else f", {row['convention']} convention"
    _, _, settings = str(row["name"]).partition(", ")
    own = f", {settings}" if settings else ""
    return f"{row['data']}, {row['model']}, {row['forget']}, {row['models']} models{own}{convention}"


def best(table: pd.DataFrame) -> Mapping[str, pd.Series]:
    """Return, for each method key, the run in which it came nearest to its floor on the forget set."""
    return {str(row["key"]): row for _, row in table.drop_duplicates("key").iterrows()}


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw one row per run: KLOM of the forget set and the floor beside it. Custom data of a dot: (run, method)."""
    figure = go.Figure()
    place = list(range(len(table) - 1, -1, -1))
    known = [(y, floor) for y, floor in zip(place, table["floor"], strict=True) if np.isfinite(floor)]
    figure.add_trace(
        go.Scatter(
            x=table["klom"],
            y=place,
            mode="markers+text",
            text=[f"{value:.1f}" if np.isfinite(value) else "" for value in table["klom"]],
            textposition=["middle left" if value > 10 else "middle right" for value in table["klom"]],
            textfont={"size": SMALL},
            marker={"size": 9, "color": colours.unlearned},
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=table[["run", "method"]].to_numpy(),
            hovertext=[_hover(row) for _, row in table.iterrows()],
            hoverinfo="text",
            cliponaxis=False,
        )
    )
    labels = [plain(about(row)) for _, row in table.iterrows()]
    figure.update_yaxes(tickvals=place, ticktext=labels, range=[-0.6, len(table) - 0.4], showgrid=False)
    figure.update_xaxes(
        range=list(KLOM_RANGE), tickvals=[0, 2, 4, 6, 8, 10], fixedrange=True,
        title_text=f"KLOM on the forget set, {metrics.headline().label} (nats)",
    )  # fmt: skip
    figure.update_yaxes(fixedrange=True)
    shapes = [*floor_shapes(known, colours), ceiling_shape(colours)]
    figure.update_layout(shapes=shapes, showlegend=False, hovermode="closest", clickmode="event+select")
    return styled(figure, colours, height=86 + 28 * max(1, len(table))).update_layout(margin={"t": 8})


def _hover(row: pd.Series) -> str:
    floor = number(row["floor"])
    cost = "" if pd.isna(row["compute"]) else f"<br>{row['compute']:.0%} of a retrain's compute"
    return f"{metrics.headline().title()} {number(row['klom'])}, floor {floor}, {row['models']} models{cost}"
