"""The visitor's own experiment: choices whose values are in the URL and in the draft, or the reasons why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from engine.claims import off_label
from engine.data.base import DataError
from engine.forget import make_selector
from engine.knobs import BadSetting
from pages.start import choose_data, choose_forget, preview, upload
from pages.ui import draft, knobs, nouns, runs, say, workspace


@dataclass(frozen=True)
class Chosen:
    """The content of the form: a complete recipe, or the reasons why it is not complete yet."""

    recipe: Mapping[str, Any] | None
    reasons: tuple[str, ...]


def form() -> Chosen:
    """Draw the whole form, store its content in the draft, and return it."""
    words = workspace.words()
    seed = _seed()
    reasons: list[str] = []
    left, middle, right = st.columns(3)
    with left.container(border=True, height="stretch", key="card-data"):
        _step("Data")
        dataset = choose_data.picker(words, seed["dataset"], reasons)
    facts = choose_data.facts(dataset)
    with middle.container(border=True, height="stretch", key="card-model"):
        model, ensemble = _networks(words, seed, table=nouns.tabular(dataset["key"]))
    with right.container(border=True, height="stretch", key="card-forget"):
        _step("To be forgotten")
        forget = choose_forget.picker(words, facts, seed["forget"], reasons)
        if further := draft.then():
            choose_data.note(f"Then {say.count(len(further), 'more request')}, listed on the Unlearn page.")
    if facts is not None:
        preview.draw(facts)
    elif dataset["key"] == "csv":
        preview.first_rows(dataset["path"])
    upload.box()
    with st.container(border=True, key="card-methods"):
        methods = _methods(words, seed["methods"])
        if not methods:
            reasons.append("Choose at least one method.")
        doubts = st.container(gap="xsmall")
        with st.expander("Fine tuning: training and measuring"):
            advanced = st.toggle(
                "Show rarely used settings",
                key="advanced",
                bind="query-params",
                help="Settings that are not shown keep their values.",
            )
            training, measuring, number, cut = _training(words, seed, advanced)
    setup = {
        "dataset": dataset,
        "model": model,
        "training": training,
        "forget": forget,
        "methods": methods,
        "ensemble": {**ensemble, **cut},
        "measuring": measuring,
        "seed": number,
    }
    with doubts:
        _doubts(words, {**setup, "before": draft.then()})
    before = draft.current()
    if any(before.get(part) != value for part, value in setup.items()):
        draft.update(**setup)
    return _checked({"format": 1, **setup, "then": draft.then()}, reasons)


def _seed() -> dict[str, Any]:
    """Return the setup that this visit of the page began with: the form's defaults must not move under its widgets."""
    if "data" not in st.session_state or "form-seed" not in st.session_state:
        st.session_state["form-seed"] = draft.current()
    return st.session_state["form-seed"]


def _checked(recipe: dict[str, Any], reasons: list[str]) -> Chosen:
    if not reasons:
        try:
            recipe["forget"] = {"key": recipe["forget"]["key"], **make_selector(recipe["forget"]).settings()}
            whole, why = draft.complete(recipe)
            if whole is not None:
                return Chosen(whole, ())
            reasons.append(say.sentence(why))
        except (BadSetting, DataError) as error:
            reasons.append(say.sentence(str(error)))
    return Chosen(None, tuple(reasons))


def _step(title: str) -> None:
    st.html(f'<p class="fs-step">{say.escaped(title)}</p>')


def _entry(words: Mapping[str, Any], group: str, key: str) -> Mapping[str, Any]:
    return next(entry for entry in words[group] if entry["key"] == key)


def _networks(
    words: Mapping[str, Any], seed: Mapping[str, Any], *, table: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    _step("Networks")
    keys = [entry["key"] for entry in words["models"] if not (table and entry.get("last_convolution"))]
    before = seed["model"]
    picked = st.selectbox(
        "Architecture",
        keys,
        index=keys.index(before.get("key")) if before.get("key") in keys else 0,
        format_func=lambda key: say.card_name(words, "models", key),
        key="model",
        bind="query-params",
        label_visibility="collapsed",
    )
    entry = _entry(words, "models", picked)
    choose_data.note(entry["card"]["summary"] if not table else entry["card"]["summary"].replace("pixels", "columns"))
    if table:
        choose_data.note("Convolutional networks look at pictures; a table has none, so they are not offered.")
    size = next(field for field in words["ensemble"] if field["name"] == "models")
    shown = [f for f in entry["fields"] if not f["advanced"]]
    cells = st.columns(max(2, len(shown) + 1), vertical_alignment="bottom")
    with cells[0]:
        models = knobs.widget({**size, "label": "models"}, "models", knobs.known([size], seed["ensemble"])["models"])
    settings = knobs.known(entry["fields"], before if picked == before.get("key") else {})
    for cell, field in zip(cells[1:], shown, strict=False):
        with cell:
            settings[field["name"]] = knobs.widget(field, f"{picked}-{field['name']}", settings[field["name"]])
    return {"key": picked, **settings}, {"models": models}


def _methods(words: Mapping[str, Any], before: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Draw the choice of methods and return them with the settings they had, or with defaults."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        _step("Methods to compare")
        runs.link(runs.UNLEARN_PAGE, "Tune the methods")
    entries = {entry["key"]: entry for entry in words["methods"]}
    default = [key for key in entries if any(method.get("key") == key for method in before)]
    picked = st.pills(
        "Methods",
        list(entries),
        selection_mode="multi",
        default=default,
        format_func=lambda key: entries[key]["card"]["name"],
        key="methods",
        bind="query-params",
        label_visibility="collapsed",
    )
    chosen: list[dict[str, Any]] = []
    for key in (key for key in entries if key in picked):
        tuned = [dict(method) for method in before if method.get("key") == key]
        chosen += tuned or [{"key": key, **knobs.known(entries[key]["fields"], {})}]
    if any(key in default and _tuned(entries[key], method) for key in picked for method in before):
        choose_data.note("Settings made on the Unlearn page are kept.")
    return chosen


def _doubts(words: Mapping[str, Any], setup: Mapping[str, Any]) -> None:
    """Draw, before a run, which methods' papers make no claim about this request; they may still be run."""
    for key in dict.fromkeys(method["key"] for method in setup["methods"]):
        card = _entry(words, "methods", key)["card"]
        if doubt := off_label(card["claims"], setup):
            st.html(
                f'<p class="fs-small"><span class="fs-dot bad"></span><b>{say.escaped(card["name"])}</b>: '
                f"{say.escaped(doubt)} You may still run it.</p>"
            )


def _tuned(entry: Mapping[str, Any], method: Mapping[str, Any]) -> bool:
    return method.get("key") == entry["key"] and any(
        field["name"] in method and method[field["name"]] != field["default"] for field in entry["fields"]
    )


def _training(
    words: Mapping[str, Any], seed: Mapping[str, Any], advanced: bool
) -> tuple[dict[str, Any], dict[str, Any], int, dict[str, Any]]:
    _step("Training")
    training = knobs.form(
        words["training"],
        "training",
        advanced=advanced,
        columns=4,
        defaults=knobs.known(words["training"], seed["training"]),
    )
    _step("Measuring")
    fields = [*words["measuring"], *(f for f in words["ensemble"] if f["name"] != "models")]
    cells = st.columns(4)
    with cells[0]:
        number = st.number_input(
            "Seed",
            min_value=0,
            max_value=2**53 - 1,
            value=seed["seed"] if isinstance(seed["seed"], int) and 0 <= seed["seed"] < 2**53 else 0,
            step=1,
            key="seed",
            bind="query-params",
            help="The same seed gives the same numbers.",
        )
    shown = [field for field in fields if advanced or not field["advanced"]]
    values = knobs.known(fields, {**seed["ensemble"], **seed["measuring"]})
    for i, field in enumerate(shown):
        with cells[(i + 1) % 4]:
            values[field["name"]] = knobs.widget(field, f"measure-{field['name']}", values[field["name"]])
    measured = {f["name"] for f in words["measuring"]}
    return (
        training,
        {k: v for k, v in values.items() if k in measured},
        int(number),
        {k: v for k, v in values.items() if k not in measured},
    )
