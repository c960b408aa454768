"""Recipes in and out of text: flags to a recipe, files to a recipe."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.cards import CLASSES, PAPER, RANDOM
from engine.knobs import BadSetting, Configured
from engine.records import Choice, Recipe, Scalar
from engine.sweep import expand
from engine.training import EnsembleSize, Measuring, Training

NAMES = {RANDOM: "random", CLASSES: "class", PAPER: "paper"}
"""What presets are called behind a method's key, as in ``scrub@paper``."""
METHODS = "do_nothing,gradient_descent,gradient_ascent,neg_grad_plus,scrub,oracle_matching"
"""The methods of a recipe that names none."""


def recipe(arguments: argparse.Namespace) -> int:
    """Print a complete recipe."""
    from engine.experiment import as_choice, resolve
    from engine.forget import parse

    requests = [as_choice(parse(forget)) for forget in (arguments.forget, *arguments.then)]
    chosen = Recipe(
        dataset=_dataset(arguments.dataset),
        model=choice(arguments.model, "--model"),
        training=_settings(arguments, Training),
        forget=requests[-1],
        methods=tuple(c for m in arguments.methods.split(",") for c in _methods(m, arguments.seed)),
        ensemble=_settings(arguments, EnsembleSize),
        measuring=_settings(arguments, Measuring),
        seed=arguments.seed,
        before=tuple(requests[:-1]),
    )
    complete = resolve(Recipe.from_json(chosen.to_json())).recipe
    print(json.dumps(complete.to_json(), indent=1))
    return 0


def read(path: str) -> Recipe:
    """Read, check and complete the recipe in a file, or on standard input where ``path`` is ``-``.

    A relative path to pictures in it is taken from the folder the command runs in, as everywhere on a command line;
    the compute process may run elsewhere.

    Raises:
        BadSetting: the file cannot be read, is not JSON, or its recipe is wrong; in one sentence.
    """
    from engine.experiment import resolve

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
        value = json.loads(text)
    except OSError as error:
        raise BadSetting(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        name = "standard input" if path == "-" else path
        raise BadSetting(f"{name} is not JSON: {error}") from error
    try:
        experiment = resolve(Recipe.from_json(value))
        recipe = experiment.recipe
        json.dumps(recipe.to_json(), ensure_ascii=False).encode()
    except (OverflowError, UnicodeEncodeError) as error:  # a number of 400 digits, half a letter
        raise BadSetting(f"recipe: {error}") from error
    where = recipe.dataset.settings.get("path")
    if experiment.dataset.needs != "path" or not where:
        return recipe
    absolute = str(Path(str(where)).expanduser().absolute())
    return replace(recipe, dataset=Choice(recipe.dataset.key, _with_path(recipe.dataset, absolute)))


def _with_path(dataset: Choice, path: str) -> Mapping[str, Scalar]:
    return {**dataset.settings, "path": path}


def _dataset(text: str) -> Choice:
    """Read a data set's key, or the path of a folder or archive; ``./digits`` is a path, ``digits`` the key."""
    from engine.data import datasets

    if text.partition(":")[0] in datasets():
        return choice(text, "--dataset")
    named, colon, target = text.partition(":target=")
    path = Path(text).expanduser()
    if named.lower().endswith((".csv", ".tsv")) and not path.is_dir():
        return _table(Path(named).expanduser(), target if colon else "")
    if text and path.exists():
        return Choice("folder", {"path": str(path.resolve())})
    if os.sep in text:
        raise BadSetting(f"--dataset: there is no {text}")
    return Choice(text or "''")


def _table(path: Path, target: str) -> Choice:
    """Return a CSV file and the column to predict.

    Raises:
        BadSetting: no column is named; the text lists them.
    """
    from engine.data.base import DataError
    from engine.data.csv_file import look

    if not target:
        try:
            names = ", ".join(column["name"] for column in look(str(path))["columns"])
        except DataError as error:
            raise BadSetting(f"--dataset: {error}") from error
        raise BadSetting(f"--dataset: say which column to predict, as in {path.name}:target=NAME (columns: {names})")
    return Choice("csv", {"path": str(path.resolve()), "target": target})


def _settings(arguments: argparse.Namespace, settings: type[Configured]) -> Any:
    values = {f.name: getattr(arguments, f.name) for f in settings.fields()}
    return settings.from_settings({name: value for name, value in values.items() if value is not None})


def _methods(text: str, seed: int) -> list[Choice]:
    """Read one method, or a sweep of it: ``scrub:lr=1e-4|1e-3:epochs=5|10``, ``scrub*20:lr=1e-5..1e-2``."""
    from engine.unlearners import unlearners

    text = _with_preset(text)
    head, colon, rest = text.partition(":")
    key, star, draws = (part.strip() for part in head.partition("*"))
    if star and not draws.isdecimal():
        raise BadSetting(f"--methods: {head.strip()!r} needs a number of settings, such as {key}*20")
    items = dict(item.partition("=")[::2] for item in rest.split(":")) if colon else {}
    swept = {name.strip(): value for name, value in items.items() if "|" in value or ".." in value}
    if star and not any(".." in value for value in swept.values()):
        raise BadSetting(f"--methods: {head.strip()} has no range to draw from; write one like {key}*20:lr=1e-5..1e-2")
    if not swept:
        return [choice(text, "--methods")]
    plain = ":".join([key, *(item for item in rest.split(":") if item.partition("=")[0].strip() not in swept)])
    base = choice(plain, "--methods")
    if key not in unlearners():
        return [base]  # the check of recipes lists the methods there are
    drawn = expand(key, unlearners()[key].fields(), swept, draws=int(draws) if star else 20, seed=seed)
    return [Choice(key, {**base.settings, **one}) for one in drawn]


def _with_preset(text: str) -> str:
    """Write a preset out: ``scrub@paper:epochs=4`` becomes the settings of the paper with other epochs.

    Raises:
        BadSetting: there is no such preset; the text names those there are.
    """
    from engine.unlearners import unlearners

    head, _, rest = text.partition(":")
    key, at, name = (part.strip() for part in head.partition("@"))
    if not at or key not in unlearners():
        return text
    known = {NAMES[kind]: preset for kind, preset in unlearners()[key].presets().items() if preset.settings}
    if name not in known:
        names = ", ".join(f"{key}@{one}" for one in known) or "none"
        raise BadSetting(f"--methods: {key} has no preset {name!r} (there are: {names})")
    given = [item for item in rest.split(":") if item]
    own = {item.partition("=")[0].strip() for item in given}
    settings = known[name].settings.items()
    written = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in settings if k not in own]
    return ":".join([key, *written, *given])


def choice(text: str, flag: str) -> Choice:
    """Read ``scrub:lr=0.001:epochs=5``."""
    key, *rest = (part.strip() for part in text.split(":"))
    if not key:
        raise BadSetting(f"{flag}: a name is missing; write it like scrub or scrub:lr=0.001")
    settings: dict[str, Scalar] = {}
    for item in rest:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name:
            raise BadSetting(f"{flag}: {item!r} is not a setting of {key}; write it like {key}:lr=0.001")
        if name in settings:
            raise BadSetting(f"{flag}: {key} has two values for {name}")
        settings[name] = _scalar(value)
    return Choice(key, settings)


def _scalar(text: str) -> Scalar:
    """Read a number, true or false; anything else is text."""
    words = {"true": True, "false": False}
    if text in words:
        return words[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
