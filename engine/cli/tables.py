"""Results as JSON-ready summaries and as text."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from engine.queue import ComputeRow, Queue, RunRow
from engine.records import SPLITS, Recipe

KEPT = ("klom_mean", "klom_p95", "low", "high", "accuracy", "seconds", "compute", "models", "warnings")
WHAT_TO_SEE = """\
KLOM is the 95th percentile over points: lower is closer to never having seen the forget set, and the floor is what
retrained models score against each other. Oracle matching should come near the floor on all three splits; doing nothing
and the gradient methods stay far from it on the forget set; partial retrains are far off everywhere until most of a
retrain is paid for. Accuracy tells little: only the distributions show it."""


def summary(row: RunRow, queue: Queue) -> dict[str, Any]:
    """Return the result of a run: one entry per method and split, the floor per split, and what stopped early.

    Plain JSON data; ``None`` where a number could not be measured. The floor is that of the row with most models: a
    method that stopped early was compared at fewer, where the floor is higher.
    """
    recipe = Recipe.from_json(row.recipe)
    results: list[dict[str, Any]] = []
    floor: dict[str, dict[str, Any]] = {split: {"klom_mean": None, "klom_p95": None} for split in SPLITS}
    most: dict[str, int] = {}
    latest = {result.method_id: result.payload for result in queue.results(row.id)}
    for method in recipe.methods_ids():
        for measured in latest.get(method, {"rows": []})["rows"]:
            split = measured["split"]
            results.append({"method": method, "split": split, **{k: measured.get(k) for k in KEPT}})
            if measured["models"] > most.get(split, 0):
                most[split] = measured["models"]
                floor[split] = {"klom_mean": measured["floor_mean"], "klom_p95": measured["floor_p95"]}
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


def text(found: Mapping[str, Any]) -> str:
    """Return the summary as a table for a terminal."""
    head = ("method", "split", "models", "KLOM p95", "interval", "mean", "accuracy", "seconds", "compute")
    rows = []
    for r in found["results"]:
        interval = f"{_number(r['low'])} to {_number(r['high'])}"
        klom = (_number(r["klom_p95"]), interval, _number(r["klom_mean"]))
        cost = (_seconds(r["seconds"]), _percent(r["compute"]))
        rows.append((r["method"], r["split"], str(r["models"]), *klom, _percent(r["accuracy"]), *cost))
    rows += [
        ("(floor)", s, "", _number(f["klom_p95"]), "", _number(f["klom_mean"]), "", "", "")
        for s, f in found["floor"].items()
    ]
    lines = [_aligned(head, rows), f"run {found['run']} on {found['device'] or 'cpu'}"]
    lines += [f"{method}: {why}" for method, why in found["stopped"].items()]
    warnings = {w: None for r in found["results"] for w in r["warnings"] or []}
    return "\n".join([*lines, *warnings])


def markdown(found: Mapping[str, Any]) -> str:
    """Return the README's table: KLOM p95 and accuracy per split, seconds and compute per method, the floor first."""
    lines = [
        "| method | KLOM p95: forget | retain | test | accuracy: forget | retain | test | seconds | compute |",
        "|---|---|---|---|---|---|---|---|---|",
        "| **noise floor** | "
        + " | ".join(f"**{_number(found['floor'][s]['klom_p95'])}**" for s in SPLITS)
        + " | | | | | |",
    ]
    methods = list(dict.fromkeys(r["method"] for r in found["results"]))
    settings = dict(zip(Recipe.from_json(found["recipe"]).methods_ids(), found["recipe"]["methods"], strict=True))
    for method in methods:
        rows = {r["split"]: r for r in found["results"] if r["method"] == method}
        name = method if "-" not in method else f"{method.rsplit('-', 1)[0]} {_said(settings[method])}"
        measured = rows["forget"]["models"]
        name += f" ({measured} models)" if measured != found["models"] else ""
        cells = [_number(rows[s]["klom_p95"]) for s in SPLITS] + [_percent(rows[s]["accuracy"]) for s in SPLITS]
        cost = [_seconds(rows["forget"]["seconds"]), _percent(rows["forget"]["compute"])]
        lines.append(f"| {name} | " + " | ".join([*cells, *cost]) + " |")
    lines += [f"| {method} | {why.replace('|', '/')} | | | | | | | |" for method, why in found["stopped"].items()]
    return "\n".join(lines)


def records(table: pd.DataFrame) -> str:
    """Return a data frame as text, numbers with four digits after the point."""
    rows = [
        tuple(_number(v, 4) if isinstance(v, float) and math.isfinite(v) else _blank(v) for v in row)
        for row in table.itertuples(index=False)
    ]
    return _aligned(tuple(map(str, table.columns)), rows)


def _blank(value: object) -> str:
    return "-" if isinstance(value, float) else str(value)


def plugins(found: Sequence[Mapping[str, Any]]) -> str:
    """Return a family of plug-ins as text: key, summary, paper, and a line per knob."""
    lines: list[str] = []
    for plugin in found:
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


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _seconds(value: float | None) -> str:
    """Return seconds, or milliseconds with their unit where a tenth of a second would say nothing."""
    return f"{1000 * value:.2g} ms" if value is not None and 0 < value < 0.1 else _number(value, 1)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _said(choice: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in choice.items() if k != "key")


def _bounds(field: Mapping[str, Any]) -> str:
    if field["low"] is None or field["high"] is None:
        return field["kind"]
    return f"{field['low']:g} to {field['high']:g}"
