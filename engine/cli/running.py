"""Runs from the command line: submitted to the store's queue, followed to their end, printed."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from pathlib import Path

from engine.claims import off_label
from engine.cli import follow, recipes, tables
from engine.cli.common import Refused, open_store
from engine.leakage import warning
from engine.metrics import headline
from engine.queue import Queue, RunRow
from engine.records import Choice, Recipe
from engine.store import this_host


def run(arguments: argparse.Namespace) -> int:
    """Run a recipe from a file or from standard input; with ``--each`` one run for each of its requests."""
    recipe = recipes.read(arguments.recipe)
    if arguments.each:
        return _each(arguments, recipe)
    row, queue = complete(arguments, recipe)
    summary = tables.summary(row, queue)
    print(json.dumps(summary, indent=1) if arguments.json else tables.text(summary))
    return 0


def _each(arguments: argparse.Namespace, recipe: Recipe) -> int:
    """Run the requests of a sequence in their order, and print a table after each."""
    summaries, requests = [], recipe.sequence()
    for number, one in enumerate(requests, start=1):
        row, queue = complete(arguments, one)
        summaries.append({"request": number, "forget": one.forget.to_json(), **tables.summary(row, queue)})
        if not arguments.json:
            title = f"request {number} of {len(requests)}: {row.label.rpartition(', ')[0] if number > 1 else row.label}"
            end = "\n\n" if number < len(requests) else "\n"
            print(f"{title}\n{tables.text(summaries[-1])}", end=end, flush=True)
    if arguments.json:
        print(json.dumps({"requests": summaries}, indent=1))
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo's recipe on one or more forget sets and print a table for each."""
    from engine.cli import looking
    from engine.demo import demo_recipe
    from engine.experiment import as_choice, resolve
    from engine.forget import parse

    if arguments.looking:
        return looking.demo(arguments)
    demos = {
        forget: resolve(demo_recipe(as_choice(parse(forget)), arguments.models or 100)).recipe
        for forget in arguments.forget or ("random:50", "class:3")
    }
    summaries = {}
    for forget, recipe in demos.items():
        row, queue = complete(arguments, recipe)
        summaries[forget] = tables.summary(row, queue)
        if not arguments.json:
            title = f"### Digits, {recipe.ensemble.models} MLPs, forget {forget}"
            print(f"\n{title}\n\n{tables.markdown(summaries[forget])}\n", flush=True)
    print(json.dumps(summaries, indent=1) if arguments.json else tables.WHAT_TO_SEE)
    return 0


def tune(arguments: argparse.Namespace) -> int:
    """Tune one method of a recipe: choose on a few networks, measure on fresh ones, print the settings."""
    from engine import tuning
    from engine.experiment import resolve
    from engine.specs import ForgetSet
    from engine.stored import removed
    from engine.unlearners import unlearners

    recipe = resolve(recipes.read(arguments.recipe)).recipe
    tried = next((choice for choice in recipe.methods if choice.key == arguments.method), None)
    if tried is None:
        names = ", ".join(dict.fromkeys(choice.key for choice in recipe.methods))
        raise Refused(f"the recipe has no method {arguments.method!r}; it has {names}", 2)
    plugin = unlearners()[tried.key]
    idle = next(key for key, method in unlearners().items() if method.reference == "do nothing")
    method = tuning.Tunable(tried.key, plugin.fields(), plugin.tuned, Choice(idle))
    row, queue = complete(arguments, resolve(tuning.choosing(recipe, method, tried.settings)).recipe)
    chosen = tuning.best(Recipe.from_json(row.recipe), idle, tables.scores(row, queue))
    if chosen is None:
        raise Refused("no setting could be ranked: each stopped or broke networks", 1)
    forget = ForgetSet.from_json(queue.results(row.id)[0].payload["forget"])
    pictures, _ = removed(open_store(arguments), forget)
    again = tuning.measuring(recipe, method, tried.settings, chosen, pictures=pictures)
    row, queue = complete(arguments, resolve(again).recipe)
    measured = tuning.ranked(Recipe.from_json(row.recipe), idle, tables.scores(row, queue))
    one = next((one for one in measured if dict(one.settings) == dict(chosen.settings)), None)
    if one is None:
        raise Refused("the chosen settings stopped or broke networks when they were measured again", 1)
    if arguments.json:
        print(json.dumps({"method": chosen.key, **one.to_json()}, indent=1))
        return 0
    first, number = headline().title(), headline().written
    print(":".join([chosen.key, *(f"{name}={value}" for name, value in one.settings.items())]))
    print(
        f"{first} on {tuning.MEASURE} fresh networks: forget {number(one.forget)}, retain {number(one.retain)}; "
        f"doing nothing {number(one.nothing)}, floor {number(one.floor)} on the forget set"
    )
    return 0


def complete(arguments: argparse.Namespace, recipe: Recipe) -> tuple[RunRow, Queue]:
    """Submit ``recipe`` and wait until it is done.

    Raises:
        Refused: it failed or was cancelled.
    """
    label = _label(recipe)
    for doubt in _doubts(recipe):
        print(doubt, file=sys.stderr)
    store = open_store(arguments)
    queue = Queue(store.queue_path)
    session = f"cli:{_user()}@{this_host()}:{os.getpid()}"
    run_id = queue.submit(recipe.to_json(), session=session, label=label)
    row = follow.until_over(store, queue, run_id)
    if row.status == "failed":
        raise Refused(row.error or "the run failed without saying why", 1)
    if row.status == "cancelled":
        raise Refused(f"run {run_id} was cancelled; what it had finished is kept, run it again to go on", 1)
    return row, queue


def _doubts(recipe: Recipe) -> list[str]:
    """Return a line for each method whose paper makes no claim about this request, or that has seen the pictures."""
    from engine.unlearners import unlearners

    cards = {choice.key: unlearners()[choice.key].card for choice in recipe.methods}
    claims = {card.name: off_label(card.claims, recipe.to_json()) for card in cards.values()}
    leaks = {cards[c.key].name: warning(c.settings) for c in recipe.methods if "lesson" in cards[c.key].reads}
    doubts = [f"{name}: {doubt} It runs all the same." for name, doubt in claims.items() if doubt]
    return doubts + [f"{name}: {leak}" for name, leak in leaks.items()]


def _label(recipe: Recipe) -> str:
    """Return what pages call a run: its data, by name or by the last part of a path, and its forget set."""
    from engine.experiment import resolve

    experiment = resolve(recipe)
    path = str(recipe.dataset.settings.get("path", ""))
    name = f"{Path(path).name or experiment.dataset.card.name}, {experiment.selector.title()}"
    return f"{name}, request {len(recipe.requests)}" if recipe.before else name


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())
