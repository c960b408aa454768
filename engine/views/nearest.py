"""Neighbours of a forgotten class: where the probability goes that was its own, and whether that gives it away."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import Look
from engine.views._answers import Answers
from engine.views._networks import NETWORKS, ROLE, ROLES, look_of, spread
from engine.views.base import Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="Where did the class go?",
    question="Do the probabilities of its neighbours give the forgotten class away?",
    how=(
        "Mean probability that the networks give each class for pictures of the forgotten one, nearest first, as the "
        "oracles rank them. It is good when blue is as green: a method that leaves all to one neighbour, or to none, "
        "shows what was there. The hollow bars are second oracles, how far it varies by itself; lines are one standard "
        "deviation over networks."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "class": Column("The class that gets the probability", "", "cat"),
        "place": Column("0 is the forgotten class itself, 1 its nearest by the oracles' probability", "", 1),
        "probability": Column("Mean probability at pictures of the forgotten class, mean over networks", "", 0.4),
        "sd": Column("Standard deviation of it over networks", "", 0.05),
        "networks": NETWORKS,
    }
)
NEAREST = 2
"""Classes that count as neighbours."""
_SHOWN = 6
"""Neighbours that are drawn."""


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role and class: role, class, place, probability, sd, networks.

    Empty unless what is forgotten is of one class.
    """
    answers, facts = Answers(measurement), measurement.facts
    forgotten = np.unique(answers.labels[answers.splits["forget"]])
    if len(forgotten) != 1:
        return tidy(COLUMNS, [])
    mean = measurement.arrays["mean"][:, :, facts["splits"].index("forget")].astype(float)  # (M, roles, C)
    by_oracles = mean[:, answers.roles.index("oracle")].mean(axis=0)  # (C,)
    by_oracles[forgotten[0]] = np.inf
    order = np.argsort(-by_oracles, kind="stable")
    rows = []
    for r, role in enumerate(answers.roles):
        for place, c in enumerate(order):
            each = spread(mean[:, r, c])
            rows.append(
                {
                    "role": role,
                    "class": answers.classes[c],
                    "place": place,
                    "probability": each.mean,
                    "sd": each.sd,
                    "networks": each.networks,
                }
            )
    return tidy(COLUMNS, rows)


def sentence(table: pd.DataFrame) -> str:
    """Say how much of the probability the nearest classes have, before, now, and by oracles."""
    near = table[table["place"].between(1, NEAREST)]
    names = list(dict.fromkeys(near["class"]))
    share = near.groupby("role")["probability"].sum()
    return (
        f"Its nearest classes, {' and '.join(map(str, names))}, have {share['unlearned']:.0%} of the probability now; "
        f"{share['oracle']:.0%} in networks that never saw it ({share['second oracle']:.0%} in a second set), "
        f"{share['original']:.0%} before."
    )


def example() -> pd.DataFrame:
    """Return a class with two neighbours."""
    rows = [
        {"role": role, "class": name, "place": place, "probability": share, "sd": 0.02, "networks": 10}
        for role in ROLES
        for place, (name, share) in enumerate({"cat": 0.1, "dog": 0.6, "owl": 0.3}.items())
    ]
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a group of bars per class, the forgotten one first."""
    made = go.Figure()
    drawn = table[table["place"] <= _SHOWN]
    for role, part in drawn.groupby("role", sort=False):
        look = look_of(str(role), colours)
        hollow = role == "second oracle"
        made.add_bar(
            x=[plain(str(name)) + ("<br>forgotten" if place == 0 else "") for name, place in
               zip(part["class"], part["place"], strict=True)],
            y=100 * part["probability"],
            error_y={"array": 100 * part["sd"], "color": colours.quiet, "thickness": 1, "width": 3},
            name="second oracle (floor)" if hollow else str(role),
            marker={
                "color": colours.paper if hollow else look["colour"],
                "line": {"color": look["colour"], "width": 2},
            },
            hovertemplate=f"{role}<br>%{{x}}: %{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
    made.update_xaxes(title_text="class, nearest first", type="category", fixedrange=True)
    made.update_yaxes(title_text="mean probability (%)", rangemode="tozero", fixedrange=True)
    made = styled(made, colours, height=340)
    return made.update_layout(barmode="group", legend={"y": 1.14}, margin={"t": 60})
