"""Is this enough models? The noise floor, and a method's KLOM, measured again with fewer of the same models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.metrics import scores, statistics
from engine.metrics.health import diverged, fit
from engine.metrics.klom import Convention, klom
from engine.records import SPLITS
from engine.theme import DASH, MARKER, Look
from engine.views.base import SPLIT_TITLES, Column, ViewCard, of_metrics, plain, styled, tidy
from engine.views.headline import chosen_statistic, columns

CARD = ViewCard(
    title="Is this enough models?",
    question="Would more networks change the answer?",
    how=(
        "Both lines are measured again with fewer of the networks at hand; few networks make KLOM too high, and the "
        "green floor shows by how much. It is enough when the blue line has flattened out and stands well above the "
        "green one, or when the two lie together and the green one is as low as the differences you care about."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "models": Column("Models of each ensemble", "models", 10),
        "split": Column("Which points it is measured on", "", "forget", SPLITS),
        "subsets": Column("Disjoint sets of that many models, whose numbers are averaged", "sets", 2),
    }
)
PUBLISHED = 0.7
"""The floor of the headline metric that published tables rest on: 100 models a side."""
CLEAR = 2.0
"""A method is clearly told from an oracle when the floor is at most this many times what its KLOM has beyond it."""
_LEAST = 4
_BLOCKS = 4
_GRID = (4, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10_000)
_POINTS = 2000


def documented() -> Mapping[str, Column]:
    """Return all columns of the table: :data:`COLUMNS`, and value and floor of each statistic of KLOM."""
    parts = [scores.Column(metric, part) for metric in statistics().values() for part in ("value", "floor")]
    return {**COLUMNS, **of_metrics(parts)}


def counts(models: int) -> list[int]:
    """Return the ensemble sizes to measure at: a geometric row up to ``models``, at most eight, the last is all."""
    steps = [n for n in _GRID if _LEAST <= n < 0.9 * models]
    return [*steps[-7:], models] if models >= _LEAST else []


def sampled(points: Mapping[str, np.ndarray], most: int = _POINTS) -> dict[str, np.ndarray]:
    """Return at most ``most`` points of each split, evenly over their numbers: enough for a mean and a percentile."""
    chosen = {}
    for split in SPLITS:
        ids = np.sort(np.asarray(points[split], dtype=np.int64))  # (n,)
        keep = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), most)).astype(int)) if len(ids) else []
        chosen[split] = ids[keep]
    return chosen


def frame(
    *,
    oracle: np.ndarray,
    second: np.ndarray,
    unlearned: np.ndarray,
    splits: Mapping[str, np.ndarray],
    convention: Convention = "paper",
) -> pd.DataFrame:
    """Return one row per ensemble size and split: models, split, subsets, and value and floor of each KLOM statistic.

    ``oracle``, ``second`` (independent oracles) and ``unlearned`` are margins (M, n) at n points, ``splits`` maps a
    split to columns of them. Diverged models are left out (of unlearned ones, few); then all have as many as the
    smallest. A size n is measured on up to four disjoint runs of n models (0 to n-1, n to 2n-1, ...) and averaged;
    ``subsets`` says how many.

    Raises:
        MetricError: margins that do not fit together.

    Cost: about four times that of KLOM with all models, for the floor and for the method.
    """
    sound = [np.delete(side, diverged(side), axis=0) for side in (oracle, second)]
    others = np.concatenate([splits[split] for split in SPLITS if split != "forget"]).astype(int)  # (n,)
    stray, _ = fit(unlearned=unlearned[:, others], oracle=sound[0][:, others])
    sound.append(np.delete(unlearned, stray, axis=0))
    models = min(map(len, sound))
    known = statistics().values()
    rows = []
    for n in counts(models):
        subsets = min(_BLOCKS, models // n)
        seen: dict[str, dict[str, list[float]]] = {split: {} for split in SPLITS if len(splits.get(split, ()))}
        for block in range(subsets):
            near, other, tried = (side[block * n : (block + 1) * n] for side in sound)  # (n, points)
            for part, against in (("floor", other), ("value", tried)):
                values = klom(oracle=near, unlearned=against, convention=convention)  # (points,)
                for split, measured in seen.items():
                    for metric in known:
                        name = scores.Column(metric, part).name
                        measured.setdefault(name, []).append(metric.of(values[splits[split]]))
        rows += [
            {"models": n, "split": split, "subsets": subsets, **{k: float(np.mean(v)) for k, v in measured.items()}}
            for split, measured in seen.items()
        ]
    return tidy(documented(), rows)


def needed(table: pd.DataFrame, floor: float, *, statistic: str = "", split: str = "forget") -> int | None:
    """Return roughly how many models bring the floor of a split down to ``floor``; None when the curve cannot say.

    Read off between measured sizes; beyond them a power law through the upper half of the curve is carried on, up to
    twenty times the models at hand.
    """
    part = table[table["split"] == split].sort_values("models")
    n, level = part["models"].to_numpy(np.float64), part[columns(statistic)[-1]].to_numpy()
    if len(n) < 2 or floor <= 0 or not (level > 0).all():
        return None
    reached = np.flatnonzero(level <= floor)
    if len(reached):
        i = int(reached[0])
        if i == 0:
            return int(n[0])
        x = np.interp(-math.log(floor), -np.log(level[i - 1 : i + 1]), np.log(n[i - 1 : i + 1]))
        return round(math.exp(float(x)))
    upper = slice(-max(2, math.ceil(len(n) / 2)), None)
    slope, _ = np.polyfit(np.log(n[upper]), np.log(level[upper]), 1)
    if slope > -0.1:
        return None
    models = n[-1] * (floor / level[-1]) ** (1 / slope)
    return math.ceil(models) if models <= 20 * n[-1] else None


def sentence(table: pd.DataFrame, name: str, *, statistic: str = "") -> str:
    """Answer the question in plain words for the forget set: two sentences, three when it is not enough."""
    part = table[table["split"] == "forget"].sort_values("models")
    if len(part) < 2:
        return "There are too few models to look at fewer of them."
    last = part.iloc[-1]
    klom_of, *_, floor_of = columns(statistic)
    models, level, value = int(last["models"]), float(last[floor_of]), float(last[klom_of])
    beyond = value - level
    head = f"With {models} models a side the floor of the forget set is {level:.1f} and {name} scores {value:.1f}"
    if level <= CLEAR * beyond:
        before = float(part.iloc[-2][klom_of])
        flat = abs(before - value) <= 0.1 * max(value, 1.0)
        settled = "and more would hardly move it." if flat else "though its value still falls as models are added."
        text = f"Enough to tell {name} from a retrain, {settled} {head}."
    elif beyond > level * 0.15:
        goal = needed(table, CLEAR * beyond, statistic=statistic)
        more = f"about {_rounded(goal)} would" if goal is not None else f"many more than {models} would"
        text = f"Not enough to be sure: {head}, most of which may be noise; {more} settle it."
    else:
        text = f"{name} cannot be told from a retrain with this many: {head}. A smaller difference may still hide."
    published = needed(table, PUBLISHED)
    if float(last[columns()[-1]]) > PUBLISHED and published is not None and published > models:
        text += f" For a floor of {PUBLISHED}, that of published tables, it takes about {_rounded(published)}."
    return text


def figure(table: pd.DataFrame, colours: Look, *, name: str = "unlearned", statistic: str = "") -> go.Figure:
    """Draw one panel per split: the floor and the method's KLOM over the number of models (log axis)."""
    figure = make_subplots(
        rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=[SPLIT_TITLES[s] for s in SPLITS]
    )
    klom_of, *_, floor_of = columns(statistic)
    for column, split in enumerate(SPLITS, start=1):
        part = table[table["split"] == split].sort_values("models")
        for what, called, colour in (
            (klom_of, plain(name), colours.unlearned),
            (floor_of, "noise floor", colours.oracle),
        ):
            figure.add_trace(
                go.Scatter(
                    x=part["models"],
                    y=part[what],
                    mode="lines+markers",
                    line={"color": colour, "width": 2, "dash": DASH[split]},
                    marker={"size": 7, "symbol": MARKER[split], "color": colour},
                    name=called,
                    legendgroup=what,
                    showlegend=column == 1,
                    hovertemplate="%{x} models: %{y:.2f}<extra>" + called + "</extra>",
                ),
                row=1,
                col=column,
            )
    ticks = counts(int(table["models"].max())) if len(table) else []
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[str(n) for n in ticks], fixedrange=True)
    figure.update_xaxes(title_text="models per ensemble", row=1, col=2)
    figure.update_yaxes(rangemode="tozero", fixedrange=True, nticks=6)
    figure.update_yaxes(title_text=chosen_statistic(statistic).axis(), row=1, col=1)
    for annotation in figure.layout.annotations:
        annotation.update(font={"color": colours.ink, "size": 13}, yshift=2)
    figure.update_layout(legend={"y": -0.24, "yanchor": "top"})
    return styled(figure, colours, height=300)


def _rounded(number: int) -> int:
    """Round a number of models up: to tens, above 200 to fifties, above 1,000 to hundreds."""
    step = 10 if number <= 200 else 50 if number <= 1000 else 100
    return step * math.ceil(number / step)
