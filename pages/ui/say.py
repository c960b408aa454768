"""Numbers and names in words: one way to write a time, a size, a recipe, everywhere."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from engine import catalog
from engine.cards import MethodFacts
from engine.forget import make_selector
from engine.knobs import BadSetting
from engine.records import Choice, Recipe
from pages.ui import workspace

_UPLOAD = re.compile(r"\b([0-9a-f]{64})(\.(?:zip|tar\.gz|tar\.xz|tar|csv))?\b")
_PART = re.compile(r"(\d{5})-(\d{5})")
_WORD = re.compile(r"[a-z][a-z0-9_]*(?:-[0-9a-f]{6})?")
_MARKS = frozenset("\\`*_{}[]<>()#+-!|~$:^=")


def plain(text: object) -> str:
    """Return ``text`` so that Markdown shows it as it is: names from data are never markup."""
    return "".join("\\" + c if c in _MARKS else c for c in str(text).replace("\n", " "))


def escaped(text: object) -> str:
    """Return ``text`` safe inside HTML, attributes included."""
    return html.escape(str(text), quote=True)


def duration(seconds: float | None) -> str:
    """Return "8 s", "3 min", "2 h 10 min"."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(amount: float) -> str:
    """Return "340 kB", "12 MB", "1.4 GB"."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= step:
            value = amount / step
            return f"{value:.1f} {unit}" if value < 10 and unit == "GB" else f"{value:.0f} {unit}"
    return f"{amount:.0f} bytes"


def ago(then: float) -> str:
    """Return "just now", "4 min ago", "yesterday 14:05", "2025-03-01 14:05"."""
    passed = time.time() - then
    if passed < 60:
        return "just now"
    if passed < 5400:
        return f"{round(passed / 60)} min ago"
    when = time.localtime(then)
    if passed < 86_400:
        return f"{round(passed / 3600)} h ago"
    return time.strftime("%Y-%m-%d %H:%M", when)


def count(number: int, one: str, many: str = "") -> str:
    """Return "1 model", "1,437 models"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def job(text: str, names: Mapping[str, str]) -> str:
    """Return a job's text with methods by ``names`` and models counted from 1, without its details.

    "unlearning with scrub, models 00020-00040: step 3 of 9" becomes "unlearning with SCRUB, models 21 to 40".
    """
    counted = _PART.sub(lambda match: f"{int(match[1]) + 1} to {int(match[2])}", text.split(": ")[0])
    return _WORD.sub(lambda match: names.get(match[0], match[0]), counted)


def card_name(words: Mapping[str, Any], group: str, key: str) -> str:
    """Return the name on a plug-in's card, or its key when the catalogue does not know it."""
    return next((entry["card"]["name"] for entry in words[group] if entry["key"] == key), key)


def method_names(words: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the name of each method of a recipe by its id, in the recipe's order.

    The name of a method that is listed more than once ends in what differs: "Partial retrain, share 0.2".
    """
    read = Recipe.from_json(recipe)
    named = {}
    names = [_called(words, choice, recipe) for choice in read.methods]
    for method_id, choice, name in zip(read.methods_ids(), read.methods, names, strict=True):
        twins = [
            other.settings
            for other, theirs in zip(read.methods, names, strict=True)
            if (other.key, theirs) == (choice.key, name)
        ]
        if len(twins) > 1:
            own = [f"{_label(words, choice.key, k)} {_short(v)}" for k, v in choice.settings.items()
                   if any(other.get(k) != v for other in twins)]  # fmt: skip
            name = ", ".join([name, *own]) if own else f"{name}, defaults"
        named[method_id] = name
    return named


def _called(words: Mapping[str, Any], choice: Choice, recipe: Mapping[str, Any]) -> str:
    """Return a method's name under these settings and this training: a part of a method is not called by the whole."""
    entry = next((entry for entry in words["methods"] if entry["key"] == choice.key), {})
    fields = {field["name"]: field["default"] for field in entry.get("fields", ())}
    trained = {field["name"]: field["default"] for field in words["training"]} | dict(recipe.get("training", {}))
    here = {"settings": {**fields, **choice.settings}, "training": trained}
    for one in entry.get("called", ()):
        if all(here[part].get(k) == v for part in here for k, v in one.get(part, {}).items()):
            return str(one["name"])
    return card_name(words, "methods", choice.key)


def method_facts(words: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, MethodFacts]:
    """Return what views must know of each method of a recipe by its id, in the recipe's order."""
    return catalog.method_facts(words, Recipe.from_json(recipe))


def _label(words: Mapping[str, Any], method: str, setting: str) -> str:
    fields = next((entry["fields"] for entry in words["methods"] if entry["key"] == method), [])
    return next((str(field["label"]) for field in fields if field["name"] == setting), setting)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def sentence(text: str) -> str:
    """Return an engine's message as a sentence that names uploads as their visitor does."""
    text = text.strip()
    # Named last: a file's name keeps its first letter.
    return named(text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else "."))


def named(text: str) -> str:
    """Return ``text`` with every upload called by the name its visitor gave it, where it says where the file lies."""
    if not _UPLOAD.search(text):
        return text

    def name(match: re.Match[str]) -> str:
        upload = workspace.shelf().upload(match[1])
        if upload is None:
            return "the upload" if match[2] else match[0]
        return upload.name

    return _UPLOAD.sub(name, text.replace(f"{workspace.store().uploads}/", ""))


def dataset_name(words: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    """Return the data set's name; for own data that of the folder, archive, table or upload, never its path."""
    path = choice.get("path")
    return named(PurePath(str(path)).name) if path else card_name(words, "datasets", str(choice.get("key")))


def forget_name(choice: Mapping[str, Any]) -> str:
    """Return the forget set's title, such as "random 50"."""
    try:
        return make_selector(choice).title()
    except BadSetting:
        return str(choice.get("key"))


def subject(words: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return what a recipe is about, in the order of the header line."""
    models = int(recipe.get("ensemble", {}).get("models", 100))
    forget = forget_name(recipe["forget"])
    if earlier := recipe.get("before"):
        forget += f", after {count(len(earlier), 'request')}"
    if further := recipe.get("then"):
        forget += f", then {len(further)} more"
    return {
        "Data": dataset_name(words, recipe["dataset"]),
        "Model": card_name(words, "models", str(recipe["model"]["key"])),
        "Forget": forget,
        "Ensemble": count(models, "model"),
    }


def label(words: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """Return a run's short name: data and forget set."""
    return f"{dataset_name(words, recipe['dataset'])}, {forget_name(recipe['forget'])}"
