"""Choosing what is to be forgotten: by a rule, a saved set, or what was picked by looking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.ui import knobs, nouns, runs, say, workspace

_MOST_CLASSES = 30
_SAVED = "set:"
_PICKED = "picked"
_TYPED = 2_000
"""Characters of the longest list of numbers that is shown for editing."""


def picker(
    words: Mapping[str, Any], facts: Mapping[str, Any] | None, seed: Mapping[str, Any], reasons: list[str]
) -> dict[str, Any]:
    """Draw the choice of forget set and return it; ``seed`` is what a setup chose before.

    What keeps it from being used is added to ``reasons``.
    """
    keys = [entry["key"] for entry in words["forget"]]
    listed = workspace.shelf().named(facts["hash"])[:50] if facts is not None and "hash" in facts else []
    saved = {_SAVED + one.id: one for one in listed}
    offered = [*keys, *saved]
    picked_before = dict(seed) if seed.get("key") == "indices" and seed.get("indices") else None
    default = str(seed.get("key"))
    if picked_before is not None:
        default = next((key for key, one in saved.items() if one.indices == picked_before["indices"]), _PICKED)
        if default == _PICKED:
            offered.append(_PICKED)
    if default not in offered:
        default = offered[0]

    def name(option: str) -> str:
        if option in saved:
            return f"{saved[option].name} ({saved[option].size:,}) {option[-4:]}"
        if option == _PICKED:
            return say.forget_name(picked_before or {})
        return say.card_name(words, "forget", option)

    picked = st.selectbox(
        "Forget set",
        offered,
        index=offered.index(default),
        format_func=name,
        key="forget",
        bind="query-params",
        label_visibility="collapsed",
    )
    if picked in saved:
        one = saved[picked]
        size = say.count(one.size, nouns.spoken("picture"))
        _note(f"{size}{', ' + one.how if one.how else ''}, saved {say.ago(one.created)}.")
        chosen: dict[str, Any] = {"key": "indices", "indices": one.indices, "name": one.name}
    elif picked == _PICKED and picked_before is not None:
        _note("Picked by looking.")
        chosen = picked_before
    else:
        chosen = _rule(words, picked, facts, seed, reasons)
    runs.link(runs.FORGET_PAGE, "Choose by looking")
    return chosen


def _rule(
    words: Mapping[str, Any],
    picked: str,
    facts: Mapping[str, Any] | None,
    seed: Mapping[str, Any],
    reasons: list[str],
) -> dict[str, Any]:
    entry = next(entry for entry in words["forget"] if entry["key"] == picked)
    _note(nouns.spoken(entry["card"]["summary"]))
    before = seed if seed.get("key") == picked and len(str(seed.get("indices", ""))) <= _TYPED else {}
    if picked == "class" and facts is not None and len(facts["classes"]) <= _MOST_CLASSES:
        return {"key": "class", "classes": _class_pills(facts["classes"], str(before.get("classes", "")), reasons)}
    fields = [field for field in entry["fields"] if field["name"] != "name"]
    settings = knobs.form(
        fields,
        picked,
        advanced=True,
        columns=min(3, max(1, len(fields))),
        defaults=knobs.known(fields, before),
    )
    if picked == "indices" and not str(settings.get("indices", "")).strip():
        reasons.append(nouns.spoken("List the training pictures to forget, such as 3,17,20-25."))
    return {"key": picked, **settings}


def _class_pills(classes: list[str], before: str, reasons: list[str]) -> str:
    # A name with a comma cannot stand in a list with commas; its number can.
    keys = [name if "," not in name and name == name.strip() else str(i) for i, name in enumerate(classes)]
    default = [key for key in keys if key in [word.strip() for word in before.split(",")]]
    picked = st.pills(
        "Classes",
        keys,
        selection_mode="multi",
        default=default or keys[min(3, len(keys) - 1)],
        format_func=lambda key: say.plain(classes[keys.index(key)]),
        key="classes",
        bind="query-params",
        label_visibility="collapsed",
    )
    if not picked:
        reasons.append("Choose at least one class to forget.")
    elif len(picked) == len(keys):
        reasons.append("Leave at least one class to keep.")
    return ",".join(picked)


def _note(text: str) -> None:
    st.html(f'<p class="fs-small">{say.escaped(text)}</p>')
