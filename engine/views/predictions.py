"""What is it called now: the share of answers that name each class, before, after, and had it never been seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.measurement import Measurement
from engine.theme import SMALL, Look
from engine.views._answers import Answers
from engine.views._networks import ROLE, SPLIT, look_of
from engine.views.base import SPLIT_TITLES, Column, ViewCard, plain, styled, tidy

CARD = ViewCard(
    title="What are they called now?",
    question="Which classes do the networks answer, before, after, and had they never seen the forget set?",
    how=(
        "Each bar is the share of answers, over all networks and pictures, that name a class; the line is the 95 % "
        "interval over networks. Good is a blue bar as high as the green one: networks that never saw the pictures. A "
        "class that takes far more than it would have is as telling as one that remembers: forgetting made visible."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "role": ROLE,
        "split": SPLIT,
        "class": Column("The class that is answered", "", "cat"),
        "share": Column("Share of answers that name it, over networks and points", "", 0.4),
        "low": Column("Lower end of the share's 95 % interval over networks", "", 0.3),
        "high": Column("Upper end of the share's 95 % interval over networks", "", 0.5),
        "probability": Column("Mean probability that the networks give it", "", 0.35),
    }
)
VALUE = "share"


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return one row per role, split and class: role, split, class, share, low, high, probability."""
    answers = Answers(measurement)
    rows = []
    for r, role in enumerate(answers.roles):
        for s, (split, points) in enumerate(answers.splits.items()):
            if not len(points):
                continue
            each = answers.shares(role, points)  # (M, C)
            mean, error = each.mean(axis=0), 1.96 * each.std(axis=0) / max(1, len(each)) ** 0.5
            probability = measurement.arrays["mean"][:, r, s].mean(axis=0)  # (C,)
            for c, name in enumerate(answers.classes):
                rows.append(
                    {
                        "role": role,
                        "split": split,
                        "class": name,
                        "share": float(mean[c]),
                        "low": max(0.0, float(mean[c] - error[c])),
                        "high": min(1.0, float(mean[c] + error[c])),
                        "probability": float(probability[c]),
                    }
                )
    return tidy(COLUMNS, rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a panel per split: a group of bars for each class, one bar per role."""
    splits = list(dict.fromkeys(table["split"])) or ["forget"]
    made = make_subplots(
        rows=len(splits),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.08,
        row_titles=[SPLIT_TITLES.get(split, split) for split in splits],
    )
    for row, split in enumerate(splits, start=1):
        for role, part in table[table["split"] == split].groupby("role", sort=False):
            look = look_of(str(role), colours)
            second = role == "second oracle"
            made.add_bar(
                row=row,
                col=1,
                x=[plain(name) for name in part["class"]],
                y=100 * part["share"],
                error_y={
                    "symmetric": False,
                    "array": 100 * (part["high"] - part["share"]),
                    "arrayminus": 100 * (part["share"] - part["low"]),
                    "color": colours.quiet,
                    "thickness": 1,
                    "width": 2,
                },
                name=str(role),
                legendgroup=str(role),
                showlegend=row == 1,
                marker={
                    "color": colours.paper if second else look["colour"],
                    "line": {"color": look["colour"], "width": 1.5},
                    "pattern": {"shape": "." if second else "", "fgcolor": look["colour"]},
                },
                hovertemplate=f"{role}<br>%{{x}}: %{{y:.1f}} %<extra></extra>",
            )
    made.update_yaxes(title_text="answers (%)", rangemode="tozero", fixedrange=True)
    made.update_xaxes(type="category", fixedrange=True)
    made.update_xaxes(title_text="class that is answered", row=len(splits), col=1)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=120 + 170 * len(splits))
    return made.update_layout(barmode="group", legend={"y": 1.1}, margin={"t": 60, "r": 30})


def sentence(measurement: Measurement, points: np.ndarray) -> str:
    """Say what the most frequent answer at ``points`` was, is, and would have been; of one point or of one class.

    Of points of several classes: how many of the answers were right, are, and would have been.
    """
    answers = Answers(measurement)
    words = {"original": "Before", "unlearned": "Now", "oracle": "Networks that never saw it"}
    if len(points) > 1:
        words["oracle"] = "Networks that never saw them"
    if len(np.unique(answers.labels[points])) > 1:
        right = {r: np.mean(answers.of("predicted", r)[:, points] == answers.labels[points]) for r in words}
        return (
            "Called by their own class: "
            + "; ".join(
                f"{begin[0].lower()}{begin[1:]} {right[role]:.1%} of the answers" for role, begin in words.items()
            )
            + "."
        )
    parts = []
    for role, begin in words.items():
        called = answers.of("predicted", role)[:, points]  # (M, n)
        counts = np.bincount(called.ravel(), minlength=len(answers.classes))
        first = int(counts.argmax())
        unit = "networks" if len(points) == 1 else "answers"
        parts.append(f"{begin}: {answers.classes[first]} ({counts[first]:,} of {called.size:,} {unit}).")
    return " ".join(parts)


def most(called: np.ndarray, classes: Sequence[str], *, shown: int = 2) -> str:
    """Return the classes that most networks answer (m,), as in "9 (61 of 100), 7 (30)"."""
    counts = np.bincount(called, minlength=len(classes))
    order = [int(c) for c in np.argsort(-counts, kind="stable")[:shown] if counts[c]]
    first, *others = [f"{classes[c]} ({counts[c]:,}" for c in order]
    return ", ".join([f"{first} of {called.size:,})", *(f"{one})" for one in others)])


def streisand(measurement: Measurement, split: str = "forget") -> list[str]:
    """Say where forgetting shows: a kept class that takes too much, or networks that are too sure.

    A class takes too much when its share lies more than two standard deviations (over oracles) above the largest share
    that any class has under the oracles; classes of which everything is forgotten count as well. Networks are too sure
    when their mean largest probability lies two standard deviations above the oracles'.
    """
    answers = Answers(measurement)
    points = answers.splits[split]
    if not len(points):
        return []
    oracle, now = answers.shares("oracle", points), answers.shares("unlearned", points).mean(axis=0)  # (M, C), (C,)
    largest = int(oracle.mean(axis=0).argmax())
    most = float(oracle.mean(axis=0)[largest] + 2 * oracle[:, largest].std())
    own = set(np.unique(answers.labels[points]).tolist())
    before = answers.shares("original", points).mean(axis=0)
    warnings = []
    for c in np.flatnonzero(now > max(most, 1e-9)):
        if len(own) > 1 or c not in own:
            warnings.append(
                f"{answers.classes[c]} takes {now[c]:.0%} of the answers; under networks that never saw them no class "
                f"takes more than {most:.0%} (before: {before[c]:.0%})."
            )
    sure = {role: answers.of("sure", role)[:, points].mean(axis=1) for role in ("oracle", "unlearned")}  # (M,)
    limit = float(sure["oracle"].mean() + 2 * sure["oracle"].std())
    if float(sure["unlearned"].mean()) > limit:
        warnings.append(
            f"They are surer than networks that never saw them: {sure['unlearned'].mean():.0%} on average, where those "
            f"stay below {limit:.0%}."
        )
    return warnings
