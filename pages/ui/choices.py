"""The visitor's own experiment: choices whose values are in the URL, together a recipe or the reasons why not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from engine.data.base import DataError
from engine.forget import selectors
from engine.knobs import BadSetting
from engine.launch import ROOT
from engine.records import Recipe
from engine.store import StoreError
from pages.ui import knobs, say, workspace

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz")
_OWN = "own:"
_MOST_LISTED = 200
_MOST_CLASSES = 30


@dataclass(frozen=True)
class Chosen:
    """What the form says: a complete recipe, or the reasons why it is none yet."""

    recipe: Mapping[str, Any] | None
    reasons: tuple[str, ...]


def data_folder() -> Path:
    """Return the only folder whose pictures a page offers: ``FORGETSCOPE_DATA``, else ``data`` beside ``engine``."""
    return Path(os.environ.get("FORGETSCOPE_DATA") or ROOT / "data").expanduser().absolute()


def own_pictures() -> dict[str, str]:
    """Return the folders and archives in :func:`data_folder` by name; visitors choose from these and type no paths."""
    try:
        entries = sorted(data_folder().iterdir(), key=lambda path: path.name.lower())
    except OSError:
        return {}
    found = [p for p in entries if not p.name.startswith(".") and (p.is_dir() or p.name.lower().endswith(_ARCHIVES))]
    return {path.name: str(path) for path in found[:_MOST_LISTED]}


def form() -> Chosen:
    """Draw the whole form and return what it says."""
    words = workspace.words()
    reasons: list[str] = []
    left, middle, right = st.columns(3)
    with left.container(border=True, height="stretch"):
        dataset = _pictures(words)
    facts = _facts(dataset)
    with middle.container(border=True, height="stretch"):
        model, ensemble = _networks(words)
    with right.container(border=True, height="stretch"):
        forget = _forget(words, facts, reasons)
    with st.container(border=True):
        keys = _methods(words)
        if not keys:
            reasons.append("Choose at least one method.")
        with st.expander("Fine tuning: training, measuring, each method's settings"):
            advanced = st.toggle(
                "Show rarely used settings",
                key="advanced",
                bind="query-params",
                help="Settings that are not shown keep their defaults.",
            )
            training, measuring, seed, cut = _training(words, advanced)
            methods = _method_settings(words, keys, advanced)
    return _checked(
        {
            "format": 1,
            "dataset": dataset,
            "model": model,
            "training": training,
            "forget": forget,
            "methods": methods,
            "ensemble": {**ensemble, **cut},
            "measuring": measuring,
            "seed": seed,
        },
        reasons,
    )


def _checked(recipe: dict[str, Any], reasons: list[str]) -> Chosen:
    if not reasons:
        try:
            settings = {k: v for k, v in recipe["forget"].items() if k != "key"}
            selector = selectors()[recipe["forget"]["key"]].from_settings(settings)
            recipe["forget"] = {"key": recipe["forget"]["key"], **selector.settings()}
            return Chosen(Recipe.from_json(recipe).to_json(), ())
        except (BadSetting, DataError) as error:
            reasons.append(sentence(str(error)))
    return Chosen(None, tuple(reasons))


def sentence(text: str) -> str:
    """Return an engine's message as a sentence."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _step(title: str) -> None:
    st.html(f'<p class="fs-step">{say.escaped(title)}</p>')


def _said(text: str) -> None:
    st.html(f'<p class="fs-small">{say.escaped(text)}</p>')


def _entry(words: Mapping[str, Any], group: str, key: str) -> Mapping[str, Any]:
    return next(entry for entry in words[group] if entry["key"] == key)


def _pictures(words: Mapping[str, Any]) -> dict[str, Any]:
    own = own_pictures()
    families: dict[str, list[Mapping[str, Any]]] = {}
    for entry in words["datasets"]:
        families.setdefault(entry["card"]["family"], []).append(entry)
    offered = [e["key"] for e in families.get("embedded", [])]
    offered += [_OWN + name for name in own]
    offered += [e["key"] for family, es in families.items() if family not in ("embedded", "own") for e in es]
    downloads = {e["key"] for e in families.get("download", [])}

    def name(option: str) -> str:
        if option.startswith(_OWN):
            return option.removeprefix(_OWN)
        return say.card_name(words, "datasets", option) + (" (download)" if option in downloads else "")

    _step("Pictures")
    picked = st.selectbox(
        "Data set", offered, format_func=name, key="data", bind="query-params", label_visibility="collapsed"
    )
    if picked.startswith(_OWN):
        choice: dict[str, Any] = {"key": "folder", "path": own[picked.removeprefix(_OWN)]}
    else:
        choice = {"key": picked}
    facts = _facts(choice)
    if facts is not None:
        _, height, width = facts["shape"]
        _said(
            f"{facts['train']:,} pictures to train on, {facts['test']:,} to test, {width}×{height} pixels, "
            f"{say.count(len(facts['classes']), 'class', 'classes')}."
        )
    elif picked.startswith(_OWN):
        _said("Your pictures, one folder per class. Read once, then kept.")
    else:
        _said(_entry(words, "datasets", picked)["card"]["summary"])
    if not own:
        _said(f"Your own: put a folder or archive with one folder per class into {data_folder().name}/.")
    return choice


def _facts(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return name, classes, shape and sizes of a data set that was read before."""
    try:
        artefact = workspace.store().artefact("data", {"dataset": dict(choice)})
        return artefact.read("whole").json("info") if artefact.has("whole") else None
    except StoreError:
        return None


def _networks(words: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    _step("Networks")
    keys = [entry["key"] for entry in words["models"]]
    picked = st.selectbox(
        "Architecture",
        keys,
        index=keys.index("mlp") if "mlp" in keys else 0,
        format_func=lambda key: say.card_name(words, "models", key),
        key="model",
        bind="query-params",
        label_visibility="collapsed",
        help=None,
    )
    entry = _entry(words, "models", picked)
    _said(entry["card"]["summary"])
    size = next(field for field in words["ensemble"] if field["name"] == "models")
    shown = [f for f in entry["fields"] if not f["advanced"]]
    cells = st.columns(max(2, len(shown) + 1), vertical_alignment="bottom")
    with cells[0]:
        models = knobs.widget({**size, "label": "models"}, "models", size["default"])
    settings = {field["name"]: field["default"] for field in entry["fields"]}
    for cell, field in zip(cells[1:], shown, strict=False):
        with cell:
            settings[field["name"]] = knobs.widget(field, f"{picked}-{field['name']}", field["default"])
    return {"key": picked, **settings}, {"models": models}


def _forget(words: Mapping[str, Any], facts: Mapping[str, Any] | None, reasons: list[str]) -> dict[str, Any]:
    _step("To be forgotten")
    keys = [entry["key"] for entry in words["forget"]]
    picked = st.selectbox(
        "Forget set",
        keys,
        format_func=lambda key: say.card_name(words, "forget", key),
        key="forget",
        bind="query-params",
        label_visibility="collapsed",
    )
    entry = _entry(words, "forget", picked)
    _said(entry["card"]["summary"])
    if picked == "class" and facts is not None and len(facts["classes"]) <= _MOST_CLASSES:
        return {"key": "class", "classes": _class_pills(facts["classes"], reasons)}
    settings = knobs.form(entry["fields"], picked, advanced=True, columns=min(3, max(1, len(entry["fields"]))))
    if picked == "indices" and not str(settings.get("indices", "")).strip():
        reasons.append("List the training pictures to forget, such as 3,17,20-25.")
    return {"key": picked, **settings}


def _class_pills(classes: list[str], reasons: list[str]) -> str:
    # A name with a comma cannot stand in a list with commas; its number can.
    told = [name if "," not in name and name == name.strip() else str(i) for i, name in enumerate(classes)]
    picked = st.pills(
        "Classes",
        told,
        selection_mode="multi",
        default=told[min(3, len(told) - 1)],
        format_func=lambda key: say.plain(classes[told.index(key)]),
        key="classes",
        bind="query-params",
        label_visibility="collapsed",
    )
    if not picked:
        reasons.append("Choose at least one class to forget.")
    elif len(picked) == len(told):
        reasons.append("Leave at least one class to keep.")
    return ",".join(picked)


def _methods(words: Mapping[str, Any]) -> list[str]:
    _step("Methods to compare")
    cards = {entry["key"]: entry["card"] for entry in words["methods"]}
    default = [key for key in cards if key not in ("retrain", "partial_retrain")]
    picked = st.pills(
        "Methods",
        list(cards),
        selection_mode="multi",
        default=default,
        format_func=lambda key: cards[key]["name"],
        key="methods",
        bind="query-params",
        label_visibility="collapsed",
    )
    return [key for key in cards if key in picked]


def _training(words: Mapping[str, Any], advanced: bool) -> tuple[dict[str, Any], dict[str, Any], int, dict[str, Any]]:
    _step("Training")
    training = knobs.form(words["training"], "training", advanced=advanced, columns=4)
    _step("Measuring")
    fields = [*words["measuring"], *(f for f in words["ensemble"] if f["name"] != "models")]
    cells = st.columns(4)
    with cells[0]:
        seed = st.number_input(
            "Seed",
            min_value=0,
            max_value=2**53 - 1,
            value=0,
            step=1,
            key="seed",
            bind="query-params",
            help="The same seed gives the same numbers.",
        )
    shown = [field for field in fields if advanced or not field["advanced"]]
    values = {field["name"]: field["default"] for field in fields}
    for i, field in enumerate(shown):
        with cells[(i + 1) % 4]:
            values[field["name"]] = knobs.widget(field, f"measure-{field['name']}", field["default"])
    measured = {f["name"] for f in words["measuring"]}
    return (
        training,
        {k: v for k, v in values.items() if k in measured},
        int(seed),
        {k: v for k, v in values.items() if k not in measured},
    )


def _method_settings(words: Mapping[str, Any], keys: list[str], advanced: bool) -> list[dict[str, Any]]:
    methods = []
    for key in keys:
        entry = _entry(words, "methods", key)
        if any(advanced or not field["advanced"] for field in entry["fields"]):
            _step(entry["card"]["name"])
        methods.append({"key": key, **knobs.form(entry["fields"], key, advanced=advanced, columns=4)})
    return methods
