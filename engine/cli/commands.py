"""What each command does. Commands that need no torch import none: plug-ins are imported where they are used."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from engine.cli import follow, tables
from engine.knobs import BadSetting
from engine.queue import Queue
from engine.records import Choice, EnsembleSize, Measuring, Recipe, Scalar, Training
from engine.store import Store, default_store, this_host

DEFAULT_METHODS = "do_nothing,gradient_descent,gradient_ascent,neg_grad_plus,scrub,oracle_matching,partial_retrain"


class Refused(Exception):
    """A command cannot go on; ``status`` is what the process exits with."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run(arguments: argparse.Namespace) -> int:
    """Run a recipe from a file or from standard input."""
    from engine.experiment import resolve

    try:
        text = sys.stdin.read() if arguments.recipe == "-" else Path(arguments.recipe).read_text()
        value = json.loads(text)
    except OSError as error:
        raise BadSetting(f"cannot read {arguments.recipe}: {error.strerror}") from error
    except ValueError as error:
        raise BadSetting(f"{arguments.recipe} is not JSON: {error}") from error
    recipe = resolve(Recipe.from_json(value)).recipe
    row, queue = _complete(arguments, recipe)
    summary = tables.summary(row, queue)
    print(json.dumps(summary, indent=1) if arguments.json else tables.text(summary))
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo's recipe on one or more forget sets and print a table for each."""
    from engine.demo import demo_recipe
    from engine.experiment import as_choice, resolve
    from engine.forget import parse

    found = {}
    for forget in arguments.forget or ["random:50", "class:3"]:
        recipe = resolve(demo_recipe(as_choice(parse(forget)), arguments.models)).recipe
        row, queue = _complete(arguments, recipe)
        found[forget] = tables.summary(row, queue)
        if not arguments.json:
            print(f"\n### Digits, {recipe.ensemble.models} MLPs, forget {forget}\n\n{tables.markdown(found[forget])}\n")
    print(json.dumps(found, indent=1) if arguments.json else tables.WHAT_TO_SEE)
    return 0


def _complete(arguments: argparse.Namespace, recipe: Recipe) -> tuple[Any, Queue]:
    store = _store(arguments)
    queue = Queue(store.queue_path)
    session = f"cli:{getpass.getuser()}@{this_host()}:{os.getpid()}"
    run_id = queue.submit(recipe.to_json(), session=session, label="command line")
    row = follow.until_over(store, queue, run_id)
    if row.status == "failed":
        raise Refused(row.error or "the run failed", 1)
    if row.status == "cancelled":
        raise Refused(f"run {run_id} was cancelled", 1)
    return row, queue


def recipe(arguments: argparse.Namespace) -> int:
    """Print a complete recipe."""
    from engine.experiment import as_choice, resolve
    from engine.forget import parse

    path = Path(arguments.dataset)
    looks_like_path = path.exists() or os.sep in arguments.dataset
    dataset = Choice("folder", {"path": str(path.resolve())}) if looks_like_path else Choice(arguments.dataset)
    if looks_like_path and not path.exists():
        raise BadSetting(f"there is no {arguments.dataset}")
    chosen = Recipe(
        dataset=dataset,
        model=_choice(arguments.model),
        training=_settings(arguments, Training),
        forget=as_choice(parse(arguments.forget)),
        methods=tuple(_choice(m) for m in (arguments.methods or DEFAULT_METHODS).split(",")),
        ensemble=_settings(arguments, EnsembleSize),
        measuring=_settings(arguments, Measuring),
        seed=arguments.seed,
    )
    complete = resolve(Recipe.from_json(chosen.to_json())).recipe
    print(json.dumps(complete.to_json(), indent=1))
    return 0


def listing(arguments: argparse.Namespace) -> int:
    """List one family of plug-ins."""
    from engine.catalog import describe

    found = describe()[arguments.family]
    print(json.dumps(found, indent=1) if arguments.json else tables.plugins(found))
    return 0


def catalogue(_arguments: argparse.Namespace) -> int:
    """Print all registries as JSON."""
    from engine.catalog import describe

    print(json.dumps(describe()))
    return 0


def klom(arguments: argparse.Namespace) -> int:
    """Measure KLOM between two files of margins."""
    import numpy as np

    from engine.metrics.klom import MetricError
    from engine.metrics.klom import klom as measure

    margins = {}
    for name in ("oracle", "unlearned"):
        path = getattr(arguments, name)
        try:
            margins[name] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadSetting(f"--{name} {path} is not an .npy array of numbers: {error}") from error
    try:
        per_point = measure(**margins, convention=arguments.convention)
    except (MetricError, TypeError) as error:
        raise BadSetting(str(error)) from error
    found = {
        "per_point": per_point.tolist(),
        "mean": float(per_point.mean()),
        "p95": float(np.quantile(per_point, 0.95)),
    }
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"KLOM ({arguments.convention}), {len(per_point)} points: mean {found['mean']:.6f}, p95 {found['p95']:.6f}"
        )
        print("\n".join(f"{i}\t{value:.6f}" for i, value in enumerate(per_point)))
    return 0


def compute(arguments: argparse.Namespace) -> int:
    """Serve the queue of a store."""
    import logging

    from engine.compute import Compute
    from engine.launch import AlreadyRunning, compute_lock

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    store = _store(arguments)
    scheduler = arguments.scheduler or os.environ.get("FORGETSCOPE_SCHEDULER") or None
    workers = arguments.workers if arguments.workers is not None else _whole("FORGETSCOPE_WORKERS")
    if workers is not None and workers < 1:
        raise BadSetting("--workers must be at least 1")
    try:
        with compute_lock(store):
            serving = Compute(store, scheduler=scheduler, workers=workers, idle_exit=arguments.idle_exit)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: serving.stop())
            serving.serve()
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
    except OSError as error:
        if scheduler is None:
            raise
        raise Refused(f"cannot reach the scheduler {scheduler}: {error}", 1) from error
    return 0


def runs(arguments: argparse.Namespace) -> int:
    """List the runs of a store."""
    rows = Queue(_store(arguments).queue_path).runs()
    found = [
        {"run": r.id, "status": r.status, "created": r.created, "share": r.progress.get("share", 0.0), "error": r.error,
         "label": r.label, "recipe": r.recipe}
        for r in rows
    ]  # fmt: skip
    print(json.dumps(found, indent=1) if arguments.json else tables.runs(rows))
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Ask a run to stop; asked twice, its workers are ended."""
    queue = Queue(_store(arguments).queue_path)
    matching = [row for row in queue.runs(limit=10_000) if row.id.startswith(arguments.run)]
    if len(matching) != 1:
        which = "no run begins" if not matching else f"{len(matching)} runs begin"
        raise BadSetting(f"{which} with {arguments.run!r}; `python -m engine runs` lists them")
    presses = queue.request_cancel(matching[0].id)
    said = {0: f"is already {matching[0].status}", 1: "stops between two steps", 2: "is stopped at once"}
    print(f"run {matching[0].id} {said[presses]}")
    return 0


def _store(arguments: argparse.Namespace) -> Store:
    return Store.open(Path(arguments.store) if arguments.store else default_store())


def _whole(name: str) -> int | None:
    text = os.environ.get(name, "")
    if text and not text.isdigit():
        raise BadSetting(f"{name} must be a whole number, not {text!r}")
    return int(text) if text else None


def _settings(arguments: argparse.Namespace, settings: type[Any]) -> Any:
    given = {f.name: getattr(arguments, f.name) for f in settings.fields()}
    return settings.from_settings({name: value for name, value in given.items() if value is not None})


def _choice(text: str) -> Choice:
    """Read ``scrub:lr=0.001:epochs=5``."""
    key, *rest = text.strip().split(":")
    settings: dict[str, Scalar] = {}
    for item in rest:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise BadSetting(f"{item!r} in {text!r} is not a setting; write it like {key}:lr=0.001")
        settings[name.strip()] = _scalar(value.strip())
    return Choice(key, settings)


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text
