"""Results as JSON-ready summaries and as text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from engine.queue import Queue, RunRow
from engine.records import SPLITS, Recipe

KEPT = ("klom_mean", "klom_p95", "low", "high", "accuracy", "seconds", "compute", "models", "warnings")
WHAT_TO_SEE = """\
KLOM is the 95th percentile over points: lower is closer to never having seen the forget set, and the floor is what
retrained models score against each other. Oracle matching should come near the floor on all three splits; doing nothing
and the gradient methods stay far from it on the forget set; partial retrains are far off everywhere until most of a
retrain is paid for. Accuracy tells little: only the distributions show it."""


def summary(row: RunRow, queue: Queue) -> dict[str, Any]:
    """Return the result of a run: one entry per method and split, the floor per split, and what stopped early."""
    results: list[dict[str, Any]] = []
    floor: dict[str, dict[str, Any]] = {}
    latest = {result.method_id: result.payload for result in queue.results(row.id)}
    states = row.progress.get("methods", {})
    listed = [m for m in Recipe.from_json(row.recipe).methods_ids() if m in states]
    for method in [*listed, *(m for m in states if m not in listed)]:
        for measured in latest.get(method, {"rows": []})["rows"]:
            split = measured["split"]
            results.append({"method": method, "split": split, **{k: measured.get(k) for k in KEPT}})
            floor[split] = {"klom_mean": measured["floor_mean"], "klom_p95": measured["floor_p95"]}
    stopped = {method: state["stopped"] for method, state in states.items() if state["stopped"]}
    return {
        "run": row.id,
        "device": row.progress.get("device", ""),
        "results": results,
        "floor": floor,
        "stopped": stopped,
        "recipe": row.recipe,
    }


def text(found: Mapping[str, Any]) -> str:
    """Return the summary as a table for a terminal."""
    head = ("method", "split", "KLOM p95", "interval", "mean", "accuracy", "seconds", "compute")
    rows = [
        (
            r["method"], r["split"], _number(r["klom_p95"]), f"{_number(r['low'])} to {_number(r['high'])}",
            _number(r["klom_mean"]), _percent(r["accuracy"]), _number(r["seconds"], 1), _percent(r["compute"]),
        )
        for r in found["results"]
    ]  # fmt: skip
    rows += [
        ("(floor)", s, _number(f["klom_p95"]), "", _number(f["klom_mean"]), "", "", "")
        for s, f in found["floor"].items()
    ]
    lines = [_aligned(head, rows), f"run {found['run']} on {found['device'] or 'cpu'}"]
    lines += [f"{method} {why}" for method, why in found["stopped"].items()]
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
        name = method if "-" not in method else f"{method.rsplit('-', 1)[0]} {_said(settings.get(method, {}))}"
        cells = [_number(rows[s]["klom_p95"]) for s in SPLITS] + [_percent(rows[s]["accuracy"]) for s in SPLITS]
        cost = [_number(rows["forget"]["seconds"], 1), _percent(rows["forget"]["compute"])]
        lines.append(f"| {name} | " + " | ".join([*cells, *cost]) + " |")
    lines += [f"| {method} | {why} | | | | | | | |" for method, why in found["stopped"].items()]
    return "\n".join(lines)


def plugins(found: Sequence[Mapping[str, Any]]) -> str:
    """Return a family of plug-ins as text: key, summary, paper, and a line per knob."""
    lines: list[str] = []
    for plugin in found:
        card = plugin["card"]
        lines.append(f"{plugin['key']}: {card['summary']}")
        if card["paper"]:
            lines.append(f"    {card['paper']}" + (f", {card['year']}" if card["year"] else ""))
        for field in plugin["fields"]:
            allowed = ", ".join(field["choices"]) if field["choices"] else _bounds(field)
            lines.append(f"    {field['name']} = {field['default']} ({allowed}): {field['help']}")
    return "\n".join(lines)


def runs(rows: Sequence[RunRow]) -> str:
    """Return the queue as a table."""
    if not rows:
        return "no runs yet; `python -m engine recipe > recipe.json`, then `python -m engine run recipe.json`"
    body = [
        (
            row.id, row.status, f"{100 * row.progress.get('share', 0):.0f} %",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created)),
            f"{row.recipe['dataset']['key']}, {row.recipe['model']['key']}, {row.recipe['forget']['key']}", row.error,
        )
        for row in rows
    ]  # fmt: skip
    return _aligned(("run", "status", "done", "created", "data, model, forget", "error"), body)


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows])


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _said(choice: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in choice.items() if k != "key")


def _bounds(field: Mapping[str, Any]) -> str:
    if field["low"] is None or field["high"] is None:
        return field["kind"]
    return f"{field['low']:g} to {field['high']:g}"
