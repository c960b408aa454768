"""Settings of a method that belong together: for a kind of forget set, or as its paper has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from engine import ablation
from engine.cards import PAPER, RANDOM
from engine.catalog import references
from engine.records import Choice, Recipe
from pages.ui import draft, knobs, runs, say, workspace


def fitting(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a method begins with here: those searched for this kind of forget set, else defaults."""
    preset = entry["presets"].get(_kind(), {"settings": {}})
    return knobs.known(entry["fields"], preset["settings"])


def draw(
    entry: Mapping[str, Any], values: Mapping[str, Any], place: int, use: Callable[[dict[str, Any]], None]
) -> None:
    """Say which preset the values are and offer the others; ``use`` is given the settings of the one that is chosen."""
    presets = {kind: one for kind, one in entry["presets"].items() if one["settings"] or kind != PAPER}
    if not presets:
        return
    whole = {kind: knobs.known(entry["fields"], one["settings"]) for kind, one in presets.items()}
    stands = [kind for kind, settings in whole.items() if settings == dict(values)]
    own = knobs.known(entry["fields"], {}) == dict(values)
    named = " and ".join(stands) or ("the defaults" if own else "your own")
    st.html(
        f'<p class="fs-small">Settings: <strong>{say.escaped(named)}</strong>{say.escaped(_about(presets, stands))}</p>'
    )
    _training(entry, place)
    _apart(entry, values, place)
    others = [kind for kind in presets if kind not in stands]
    if others:
        with st.container(horizontal=True, gap="small", key=f"presets-{place}", wrap=True):
            for kind in others:
                st.button(
                    f"Use those for {kind}" if kind != PAPER else "Use the paper's",
                    key=f"preset-{place}-{kind}",
                    type="tertiary",
                    on_click=use,
                    args=(whole[kind],),
                    help=f"{_differences(entry, whole[kind])} From {presets[kind]['source']}.",
                )


def _training(entry: Mapping[str, Any], place: int) -> None:
    """Offer the training that the method's paper has, where this one is another."""
    published = entry["presets"].get(PAPER, {}).get("training", {})
    now = draft.current()["training"]
    missing = {name: value for name, value in published.items() if now.get(name) != value}
    if not missing:
        return
    labels = {field["name"]: field["label"] for field in workspace.words()["training"]}
    words = " and ".join(f"{labels.get(name, name)} {value}" for name, value in missing.items())

    def train() -> None:
        draft.update(training={**draft.current()["training"], **missing})

    sentence = f"Its paper trains the networks with {words}, which is a part of the method: without it this is less."
    st.html(f'<p class="fs-small">{say.escaped(sentence)}</p>')
    st.button(f"Train with {words}", key=f"training-{place}", type="tertiary", on_click=train)


def _apart(entry: Mapping[str, Any], values: Mapping[str, Any], place: int) -> None:
    """Offer the runs that show what each part of a method adds."""
    parts = [str(one["name"]) for one in entry.get("called", ())]
    if not parts:
        return
    published = entry["presets"].get(PAPER, {}).get("training", {})
    idle = next(key for key, kind in references(workspace.words()).items() if kind == "do nothing")
    whole, reason = draft.complete({**draft.current(), "methods": [{"key": idle}]})

    def compare() -> None:
        recipes = ablation.apart(
            Recipe.from_json(whole or {}),
            Choice(entry["key"], dict(values)),
            called=entry["called"],
            published=published,
            defaults={field["name"]: field["default"] for field in entry["fields"]},
            idle=Choice(idle),
        )
        started = [runs.start(one.to_json()) for one in recipes]
        if len(started) > 1:
            st.query_params["compare"] = ",".join(started)
        else:
            st.query_params["run"] = started[0]

    name = entry["card"]["name"]
    st.button(
        f"Take {name} apart",
        key=f"apart-{place}",
        type="tertiary",
        on_click=compare,
        disabled=whole is None,
        help=reason
        or f"Runs {', '.join([*parts, name])} on this data and forget set, "
        f"{'in 2 runs' if published else 'in one run'}, side by side: what does each part add?",
    )


def _kind() -> str:
    """Return the kind of preset that the forget set being set up asks for."""
    key = draft.current()["forget"].get("key")
    chosen = next((entry for entry in workspace.words()["forget"] if entry["key"] == key), {})
    return str(chosen.get("suits", RANDOM))


def _about(presets: Mapping[str, Any], stands: list[str]) -> str:
    if not stands:
        return ""
    one = presets[stands[-1]]
    parts = [f" (from {one['source']})"]
    if one["number"]:
        parts.append(f" Published: {one['number']}.")
    if one["gap"]:
        parts.append(f" Not the same here: {one['gap']}.")
    return "".join(parts)


def _differences(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return the settings that are not the defaults, as a sentence."""
    changed = [
        f"{field['label']} {settings[field['name']]}"
        for field in entry["fields"]
        if settings[field["name"]] != field["default"]
    ]
    return f"{', '.join(changed) or 'The defaults'}."
