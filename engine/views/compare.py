"""Two to five runs side by side: what their settings differ in, and what came out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine import metrics
from engine.metrics import scores
from engine.metrics.scores import Scores
from engine.records import EARLIER, SPLITS
from engine.theme import SMALL, Look
from engine.views.base import SPLIT_TITLES, Column, ViewCard, of_metrics, plain, styled, tidy
from engine.views.curves import ways

MOST = 5
"""Runs compared at once: more lines than that cannot be told apart."""
CARD = ViewCard(
    title="Side by side",
    question="Which of these runs forgot, and at what price?",
    how=(
        "One row per run, method and split. KLOM p95 near its floor means that networks cannot be told from networks "
        "that never saw the forget set; compute and time are shares of a retrain. A run that is not measured yet shows "
        "gaps."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "run": Column("The run's letter", "", "A"),
        "method": Column("The method with its settings", "", "SCRUB"),
        "split": Column("Which points it is measured on", "", "forget", (*SPLITS, EARLIER)),
        "models": Column("Networks of each ensemble", "models", 100),
    }
)
DIFFERENCES = ViewCard(
    title="Settings that differ",
    question="What was done differently?",
    how="One row per setting that is not the same in all runs; a gap means that the run has no such setting.",
)
ABSENT = "–"
_PARTS = {
    "dataset": "Data",
    "model": "Model",
    "training": "Training",
    "forget": "Forget set",
    "ensemble": "Ensemble",
    "measuring": "Measuring",
}


def letters(ids: Sequence[str]) -> dict[str, str]:
    """Return A, B, C... for the runs in their order."""
    return {run: chr(ord("A") + i) for i, run in enumerate(ids)}


def settings(recipe: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return every setting of a recipe as text by (part, setting); methods by key, further ones of a key numbered."""
    values: dict[tuple[str, str], str] = {}
    for part, title in _PARTS.items():
        for name, value in dict(recipe.get(part, {})).items():
            values[title, "" if name == "key" else name] = written(value)
    if recipe.get("before"):
        values["Earlier requests", ""] = written("; ".join(_forget_set(choice) for choice in recipe["before"]))
    seen: dict[str, int] = {}
    for method in recipe.get("methods", []):
        key = str(method["key"])
        seen[key] = seen.get(key, 0) + 1
        title = f"method:{key}" + (f":{seen[key]}" if seen[key] > 1 else "")
        values[title, ""] = "yes"
        for name, value in method.items():
            if name != "key":
                values[title, name] = written(value)
    values["Seed", ""] = written(recipe.get("seed", 0))
    return values


def _forget_set(choice: Mapping[str, Any]) -> str:
    return " ".join(str(value) for name, value in choice.items() if value != "" and name != "name")


def written(value: object) -> str:
    """Return a setting's value as text; long lists of numbers are cut."""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def differences(recipes: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per setting that is not the same in all runs: part, setting, and a column per run.

    Columns are named by the keys of ``recipes``. What a run does not have is "–"; settings of a method that only some
    runs have are left out, as the method's own row says so.
    """
    known = {run: settings(recipe) for run, recipe in recipes.items()}
    places = list(dict.fromkeys(place for values in known.values() for place in values))
    rows = []
    for part, name in places:
        values = [known[run].get((part, name), ABSENT) for run in known]
        method_is_new = part.startswith("method:") and name and any((part, "") not in known[run] for run in known)
        if len(set(values)) > 1 and not method_is_new:
            rows.append({"part": part, "setting": name, **dict(zip(known, values, strict=True))})
    return pd.DataFrame(rows, columns=["part", "setting", *known])


@dataclasses.dataclass(frozen=True)
class Entry:
    """One method of one run: its letter, the method's id and name, and its scores."""

    letter: str
    method: str
    name: str
    scores: Scores


def columns() -> list[scores.Column]:
    """Return the columns of numbers: the headline metric first, each with its floor and what the oracles score."""
    return scores.columns(metrics.headline(), ("value", "floor", "oracle"))


def documented() -> Mapping[str, Column]:
    """Return all columns of the table: :data:`COLUMNS` and those of metrics."""
    return {**COLUMNS, **of_metrics(columns())}


def frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return one row per run, method and split.

    The best on the forget set come first; splits of a method stay together.
    """
    measured = ["split", "models", *(column.name for column in columns())]
    rows = [
        {"run": entry.letter, "method": entry.name, **{name: row[name] for name in measured}}
        for entry in sorted(entries, key=_distance)
        for row in entry.scores.wide()
    ]
    return tidy(documented(), rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a panel per split with a bar for each method of each run, best first, and each bar's floor as a line."""
    metric = metrics.headline()
    splits = [split for split in (*SPLITS, EARLIER) if split in set(table["split"])] or ["forget"]
    made = make_subplots(
        rows=1,
        cols=len(splits),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        column_titles=[SPLIT_TITLES.get(split, split) for split in splits],
    )
    for column, split in enumerate(splits, start=1):
        part = table[table["split"] == split]
        names = [f"{run} {plain(name)}" for run, name in zip(part["run"], part["method"], strict=True)]
        made.add_bar(
            row=1,
            col=column,
            x=names,
            y=part[metric.key],
            marker={"color": colours.hue("unlearned"), "opacity": 0.6},  # the floor shows on it
            showlegend=False,
            hovertemplate="%{x}: %{y:.2f}<extra></extra>",
        )
        made.add_scatter(
            row=1,
            col=column,
            x=names,
            y=part[f"{metric.key}_floor"],
            mode="markers",
            name="noise floor: as good as retraining",
            legendgroup="floor",
            showlegend=column == 1,
            marker={"symbol": "line-ew", "size": 26, "line": {"width": 3, "color": colours.hue("oracle")}},
            hovertemplate="floor of %{x}: %{y:.2f}<extra></extra>",
        )
    made.update_xaxes(title_text="method", fixedrange=True)
    made.update_yaxes(title_text=metric.axis(), rangemode="tozero", fixedrange=True, col=1)
    made.update_yaxes(rangemode="tozero", fixedrange=True)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=360)
    return made.update_layout(legend={"y": 1.2}, margin={"t": 70})


def _distance(entry: Entry) -> float:
    metric = metrics.headline()
    value = entry.scores.value(metric, "forget")
    if value is None or entry.scores.broken:
        return math.inf
    return metric.distance(value, entry.scores.value(metric, "forget", "oracle"))


def overlaid(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the curves of several runs, by letter, as one: methods become "A|scrub", named "A SCRUB".

    The oracles and originals are those of the first run that has them; runs on other data have others, so compare
    such runs by their numbers.
    """
    parts = []
    for letter, table in curves.items():
        way = ways(table)
        parts.append(way.assign(method=f"{letter}|" + way["method"], name=f"{letter} " + way["name"]))
    levels = [table[table["role"] != "unlearned"] for table in curves.values()]
    return pd.concat([*parts, next((rows for rows in levels if not rows.empty), levels[0])], ignore_index=True)
