"""Results as JSON-ready summaries and as text."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from engine.metrics import headline, metrics
from engine.metrics.accuracy import Accuracy
from engine.metrics.cost import Compute, Seconds
from engine.metrics.scores import Column, Scores, columns
from engine.queue import ComputeRow, Queue, RunRow
from engine.records import SPLITS, Recipe

WHAT_TO_SEE = """\
KLOM is the 95th percentile over points: lower is closer to never having seen the forget set, and the floor is what
retrained models score against each other. Oracle matching should come near the floor on all three splits; doing nothing
and the gradient methods stay far from it on the forget set; a retrain that is stopped halfway is at the floor on a task
as small as this. Accuracy tells little: only the distributions show it."""


def summary(row: RunRow, queue: Queue) -> dict[str, Any]:
    """Return the result of a run: one entry per method and split, the floor per split, and what stopped early.

    Plain JSON data; ``None`` where a number could not be measured. An entry holds method, split, models, broken
    (networks that lost what they should keep; a method with any is not ranked), warnings and the columns of
    :func:`engine.metrics.scores.columns`; the floor, what second oracles score by each metric that has one. The floor
    is that of the row with most models: a method that stopped early was compared at fewer, where it is higher.
    """
    recipe = Recipe.from_json(row.recipe)
    results: list[dict[str, Any]] = []
    floors = [Column(metric, "floor") for metric in metrics().values() if "floor" in metric.beside]
    floor: dict[str, dict[str, Any]] = {split: {column.metric.key: None for column in floors} for split in SPLITS}
    most: dict[str, int] = {}
    latest = {result.method_id: result.payload for result in queue.results(row.id)}
    for method in recipe.methods_ids():
        if method not in latest:
            continue
        scores = Scores.from_json(latest[method]["scores"])
        for measured in scores.wide():
            split, models = measured["split"], scores.models
            numbers = {column.name: measured[column.name] for column in columns()}
            about = {"method": method, "split": split, "models": models, "broken": scores.broken}
            about["warnings"] = list(scores.warnings)
            results.append({**about, **numbers})
            if models > most.get(split, 0):
                most[split] = models
                floor[split] = {column.metric.key: measured[column.name] for column in floors}
    stopped = {
        method: state["stopped"] for method, state in row.progress.get("methods", {}).items() if state["stopped"]
    }
    return {
        "run": row.id,
        "device": row.progress.get("device", ""),
        "models": recipe.ensemble.models,
        "convention": recipe.measuring.convention,
        "results": results,
        "floor": floor,
        "stopped": stopped,
        "recipe": row.recipe,
    }


def scores(row: RunRow, queue: Queue) -> dict[str, Scores]:
    """Return the newest scores of each method of a run, by its id."""
    return {one.method_id: Scores.from_json(one.payload["scores"]) for one in queue.results(row.id)}


def text(result: Mapping[str, Any]) -> str:
    """Return the summary as a table for a terminal: the headline metric with its interval, then the others."""
    shown = [column.metric for column in columns(headline(), ("value",)) if not column.metric.extra]
    first, *others = shown
    low, high = Column(first, "low").name, Column(first, "high").name
    head = ("method", "split", "models", first.title(), "interval", *(metric.title() for metric in others))
    rows = [
        (
            *(r["method"], r["split"], str(r["models"]), first.written(r[first.key])),
            f"{first.written(r[low])} to {first.written(r[high])}",
            *(metric.written(r[metric.key]) for metric in others),
        )
        for r in result["results"]
    ]
    for split, floor in result["floor"].items():
        value, *values = [metric.written(floor[metric.key]) if metric.key in floor else "" for metric in shown]
        rows.append(("(floor)", split, "", value, "", *values))
    lines = [_aligned(head, rows), f"run {result['run']} on {result['device'] or 'cpu'}"]
    lines += [f"{method}: {why}" for method, why in result["stopped"].items()]
    warnings = {w: None for r in result["results"] for w in r["warnings"] or []}
    return "\n".join([*lines, *warnings])


def markdown(result: Mapping[str, Any]) -> str:
    """Return the README's table: KLOM p95 and accuracy per split, seconds and compute per method, the floor first."""
    klom = headline()
    lines = [
        f"| method | {klom.title()}: forget | retain | test | accuracy: forget | retain | test | seconds | compute |",
        "|---|---|---|---|---|---|---|---|---|",
        "| **noise floor** | "
        + " | ".join(f"**{klom.written(result['floor'][s][klom.key])}**" for s in SPLITS)
        + " | | | | | |",
    ]
    methods = list(dict.fromkeys(r["method"] for r in result["results"]))
    settings = dict(zip(Recipe.from_json(result["recipe"]).methods_ids(), result["recipe"]["methods"], strict=True))
    for method in methods:
        rows = {r["split"]: r for r in result["results"] if r["method"] == method}
        alike = [choice for choice in settings.values() if choice["key"] == settings[method]["key"]]
        name = method if "-" not in method else f"{method.rsplit('-', 1)[0]} {_difference(settings[method], alike)}"
        measured = rows["forget"]["models"]
        name += f" ({measured} models)" if measured != result["models"] else ""
        cells = [metric.written(rows[split][metric.key]) for metric in (klom, Accuracy) for split in SPLITS]
        cells += [metric.written(rows["forget"][metric.key]) for metric in (Seconds, Compute)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [f"| {method} | {why.replace('|', '/')} | | | | | | | |" for method, why in result["stopped"].items()]
    return "\n".join(lines)


def records(table: pd.DataFrame) -> str:
    """Return a data frame as text, numbers with four digits after the point."""
    rows = [tuple(map(_cell, row)) for row in table.itertuples(index=False)]
    return _aligned(tuple(map(str, table.columns)), rows)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if math.isfinite(value) else "-"


def plugins(family: Sequence[Mapping[str, Any]]) -> str:
    """Return a family of plug-ins as text: key, summary, paper, and a line per knob."""
    lines: list[str] = []
    for plugin in family:
        card = plugin["card"]
        lines.append(f"{plugin['key']}: {card['summary']}")
        if card["paper"]:
            year = f", {card['year']}" if card["year"] else ""
            lines.append(f"    {card['paper']}{year}" + (f", arXiv {card['arxiv']}" if card["arxiv"] else ""))
        for field in plugin["fields"]:
            allowed = ", ".join(field["choices"]) if field["choices"] else _bounds(field)
            lines.append(f"    {field['name']} = {field['default']} ({allowed}): {field['help']}")
    return "\n".join(lines)


def runs(rows: Sequence[RunRow], serving: ComputeRow | None) -> str:
    """Return the queue as a table, with a last line that says who works on it."""
    if not rows:
        return "no runs yet; `python -m engine recipe > recipe.json`, then `python -m engine run recipe.json`"
    body = [
        (
            row.id, row.status, f"{100 * row.progress.get('share', 0):.0f} %",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created)),
            ", ".join(str(row.recipe.get(part, {}).get("key", "?")) for part in ("dataset", "model", "forget"))
            + (f" (request {len(row.recipe['before']) + 1})" if row.recipe.get("before") else ""),
            " ".join(row.error.split()),
        )
        for row in rows
    ]  # fmt: skip
    if serving is not None and serving.alive:
        last = f"compute process {serving.pid} on {serving.host}: {serving.state}, {serving.workers} workers"
    else:
        last = "no compute process serves this store; `python -m engine compute`, a run or the app starts one"
    return _aligned(("run", "status", "done", "created", "data, model, forget", "error"), body) + "\n" + last


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows])


def _difference(choice: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> str:
    """Return the settings in which the choices of one method differ."""
    shown = {k: v for k, v in choice.items() if any(other.get(k) != v for other in alike)}
    return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())


def _bounds(field: Mapping[str, Any]) -> str:
    if field["low"] is None or field["high"] is None:
        return field["kind"]
    return f"{field['low']:g} to {field['high']:g}"
