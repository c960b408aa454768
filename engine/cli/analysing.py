"""Analyses from the command line: the recipe's run first, then the question, and its table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.cli import follow, recipes, running, tables
from engine.cli.common import Refused, open_store
from engine.knobs import BadSetting
from engine.measurement import Measurement
from engine.queue import Queue
from engine.records import Recipe
from engine.store.measurements import answered
from engine.views import views


def analyse(arguments: argparse.Namespace) -> int:
    """Measure one analysis of a recipe's networks or data, and print its table."""
    from engine.analyses import make_analysis

    recipe = recipes.read(arguments.recipe)
    analysis = make_analysis(recipes.choice(arguments.analysis, "--analysis").to_json())
    question = {
        "kind": "analysis",
        "analysis": {"key": analysis.key, **analysis.settings()},
        "recipe": recipe.to_json(),
        **_place(arguments, analysis.about, recipe),
    }
    store = open_store(arguments)
    if analysis.about != "data":
        running.complete(arguments, recipe)
    answer = follow.until_answered(store, Queue(store.queue_path), question)
    if "error" in answer:
        raise Refused(str(answer["error"]), 1)
    measurement = answered(store, answer)
    if arguments.out:
        _save(arguments.out, measurement)
    table = views()[analysis.key].frame(measurement)
    if arguments.json:
        print(json.dumps(summary(analysis.key, question.get("method"), answer["models"], measurement, table), indent=1))
    else:
        print(tables.records(table))
    return 0


def summary(key: str, method: str | None, models: int, measurement: Measurement, table: pd.DataFrame) -> dict[str, Any]:
    """Return a measurement as plain JSON data; a number that could not be measured is ``None``.

    The value that answers the question stands in each row under the analysis's own name, whatever its column is called.
    """
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    if value := views()[key].value:
        rows = [{**row, key: row[value]} for row in rows]
    return {"analysis": key, "method": method, "models": models, "facts": dict(measurement.facts), "rows": rows}


def _place(arguments: argparse.Namespace, about: str, recipe: Recipe) -> Mapping[str, Any]:
    """Return the method and the point that are asked about.

    Raises:
        BadSetting: one is missing that the analysis needs, or there is no such method.
    """
    named = recipe.methods_ids()
    place: dict[str, Any] = {}
    if about in ("method", "point"):
        method = arguments.method or (named[0] if len(named) == 1 else None)
        if method not in named:
            raise BadSetting(f"--method must be one of {', '.join(named)}")
        place["method"] = method
    if about == "point":
        if arguments.point is None:
            raise BadSetting("--point must be the number of a point")
        place["point"] = arguments.point
    return place


def _save(path: str, measurement: Measurement) -> None:
    """Write arrays and facts (as JSON text under the name ``facts``) into one .npz file."""
    with Path(path).open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(measurement.facts)), **measurement.arrays)
