"""The demo of looking closer: what each of its pages shows of a few methods, in a table per page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.cli import follow, running
from engine.cli.common import Refused, open_store
from engine.measurement import Measurement
from engine.queue import Queue, RunRow
from engine.records import Recipe
from engine.specs import Evaluation, ForgetSet
from engine.store import Store
from engine.store.measurements import answered
from engine.stored import removed
from engine.views import attention, departure, inversion, missing, probe, twins

DATA = ("digits", "fashion")
Row = Mapping[str, str]
Measure = Callable[[Mapping[str, Any]], Measurement]
"""Measures the analysis of a key and settings on the method at hand."""


def demo(arguments: argparse.Namespace) -> int:
    """Run the recipes that are looked at closer and print a table for each page."""
    from engine.demo import LOOKED, looking_recipe
    from engine.experiment import as_choice, resolve
    from engine.forget import parse

    whole: dict[str, Any] = {}
    for data in DATA:
        for forget, methods in LOOKED.items():
            if arguments.forget and forget not in arguments.forget:
                continue
            made = looking_recipe(data, as_choice(parse(forget)), methods, arguments.models or 40)
            recipe = resolve(made).recipe
            row, queue = running.complete(arguments, recipe)
            tables = _pages(open_store(arguments), queue, row, recipe)
            whole[f"{data}, {forget}"] = tables
            if not arguments.json:
                title = f"### {data}, {recipe.ensemble.models} MLPs, forget {forget}"
                print(f"\n{title}", *(_markdown(*one) for one in tables.items()), sep="\n\n", flush=True)
    if arguments.json:
        print(json.dumps(whole, indent=1))
    return 0


def _pages(store: Store, queue: Queue, row: RunRow, recipe: Recipe) -> dict[str, dict[str, Row]]:
    """Return a table for each page: a row for each method that did not stop."""
    payloads = {result.method_id: result.payload for result in queue.results(row.id)}
    tables: dict[str, dict[str, Row]] = {}
    for method in recipe.methods_ids():
        if method not in payloads:
            continue

        def measure(choice: Mapping[str, Any], method: str = method) -> Measurement:
            question = {"kind": "analysis", "analysis": choice, "recipe": recipe.to_json(), "method": method}
            answer = follow.until_answered(store, queue, question)
            if "error" in answer:
                raise Refused(str(answer["error"]), 1)
            return answered(store, answer)

        tables.setdefault("Missing targets", {})[method] = _missing(store, payloads[method], method)
        for page, look in PAGES.items():
            tables.setdefault(page, {})[method] = look(measure)
    return tables


def _missing(store: Store, payload: Mapping[str, Any], method: str) -> Row:
    spec, names = Evaluation.from_json(payload["spec"]), payload["parts"]
    parts = [spec.unlearned.artefact(store).read(name) for name in names]
    points = np.array(parts[0].array("trajectory_points"))
    way = missing.Way.of(
        method,
        method,
        parts=[part.array("trajectory") for part in parts],
        models=[len(part.array("margins")) for part in parts],
        seen=np.array(parts[0].array("trajectory_seen")),
        points=points,
        oracle=np.concatenate([spec.oracle.artefact(store).read(name).array("margins")[:, points] for name in names]),
    )
    forget, _ = removed(store, ForgetSet.from_json(payload["forget"]))
    table = missing.frame([way.at(forget)])
    last = missing.ends(table)
    states = {state: f"{(last['state'] == state).mean():.0%}" for state in missing.STATES}
    ever = table[table["z"].abs() <= 1]["point"].nunique() / max(1, len(last))
    return {"right at some step": f"{ever:.0%}", **states, "hurt by longer training": f"{last['hurt'].mean():.0%}"}


def _predictions(measure: Measure) -> Row:
    table = departure.frame(measure({"key": "predictions"}))
    rows = table[table["split"] == "forget"].set_index("role")
    now = rows.loc["unlearned"]
    return {
        "answers unlike the oracles': before": f"{rows.loc['original', 'distance']:.0%}",
        "now": f"{now['distance']:.0%} ({now['low']:.0%} to {now['high']:.0%})",
        "floor": f"{rows.loc['second oracle', 'distance']:.0%}",
        "ZRF now": f"{now['zrf']:.2f}",
        "of oracles": f"{rows.loc['oracle', 'zrf']:.2f}",
    }


def _attention(measure: Measure) -> Row:
    table = attention.frame(measure({"key": "attention"}))
    table = table.assign(split=np.where(table["split"] == "forget", "forgotten", "kept"))
    mean = table.groupby(["split", "role"])["correlation"].mean()
    roles = {"original": "before", "unlearned": "now", "second oracle": "floor"}
    return {
        f"{split}: {name}": _signed(float(mean[split, role]))
        for split in ("forgotten", "kept")
        for role, name in roles.items()
        if (split, role) in mean.index
    }


def _inversion(measure: Measure) -> Row:
    cells = {}
    for attack in ("data-free", "inverter"):
        table = inversion.frame(measure({"key": "inversion", "attack": attack, "classes": 1}))
        ssim = table[table["like"] == "mean"].set_index("role")["ssim"]
        for role, name in _NAMES.items():
            cells[f"{attack}: {name}"] = _signed(float(ssim[role]))
    return cells


def _layers(measure: Measure) -> Row:
    read = probe.frame(measure({"key": "probe"}))
    read = read[(read["split"] == "forget") & (read["layer"] == _deepest(read["layer"].tolist()))]
    share = read.set_index("role")["accuracy"]
    own = twins.frame(measure({"key": "twins"})).drop_duplicates("role").set_index("role")["own"]
    cells = {f"read off: {name}": f"{share[role]:.0%}" for role, name in _NAMES.items()}
    return cells | {f"near its class: {name}": f"{own[role]:.0%}" for role, name in _NAMES.items()}


_NAMES = {"original": "before", "unlearned": "now", "oracle": "oracles", "second oracle": "floor"}
PAGES: Mapping[str, Callable[[Measure], Row]] = {
    "Predictions": _predictions,
    "Attention": _attention,
    "Inversion": _inversion,
    "Layers": _layers,
}


def _deepest(layers: list[str]) -> str:
    """Return the last layer before the logits."""
    inner = [layer for layer in dict.fromkeys(layers) if layer != "logits"]
    return (inner or layers)[-1]


def _signed(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"


def _markdown(page: str, rows: Mapping[str, Row]) -> str:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"**{page}**", "", f"| method | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(row.get(column, '') for column in columns)} |" for name, row in rows.items()]
    return "\n".join(lines)
