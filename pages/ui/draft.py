"""What the visitor is setting up, shared by the pages on the way to a run: a recipe that need not be complete.

It is stored under the hash of its content, which stands in the URL, so a half set-up experiment is a link
too. Without one in the URL it is this session's, else what this visitor set up last, else the defaults.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.cards import RANDOM
from engine.catalog import references
from engine.demo import METHODS
from engine.knobs import BadSetting
from engine.records import Recipe, digest
from pages.ui import workspace

_ID = re.compile(r"[0-9a-f]{16}")
KEPT = 90 * 86_400
"""Seconds for which a setup can be opened by its link."""
PARTS = ("dataset", "model", "training", "forget", "then", "methods", "ensemble", "measuring", "seed")
"""``forget`` is the first request, ``then`` the list of those that follow it."""


def default() -> dict[str, Any]:
    """Return the setup of a visitor who has chosen nothing yet: the digits, an MLP, 50 random pictures."""
    words = workspace.words()

    def settings(fields: list[Mapping[str, Any]]) -> dict[str, Any]:
        return {field["name"]: field["default"] for field in fields}

    def plugin(group: str, key: str) -> dict[str, Any]:
        entry = next(entry for entry in words[group] if entry["key"] == key)
        fitting = entry.get("presets", {}).get(RANDOM, {"settings": {}})  # 50 random pictures are what it begins with
        return {"key": key, **settings(entry["fields"]), **fitting["settings"]}

    partial = {key for key, kind in references(words).items() if kind == "partial retrain"}
    usual = {choice.key for choice in METHODS} - partial
    return {
        "format": 1,
        "dataset": {"key": "digits"},
        "model": plugin("models", "mlp"),
        "training": settings(words["training"]),
        "forget": plugin("forget", "random"),
        "methods": [plugin("methods", entry["key"]) for entry in words["methods"] if entry["key"] in usual],
        "ensemble": settings(words["ensemble"]),
        "measuring": settings(words["measuring"]),
        "seed": 0,
    }


def current() -> dict[str, Any]:
    """Return the recipe being set up, of its first request; its methods may be none, and nothing has been checked."""
    return {part: value for part, value in _whole().items() if part != "then"}


def then() -> list[dict[str, Any]]:
    """Return the requests that follow the first one, in order; none for a single request."""
    return [dict(choice) for choice in _whole().get("then", [])]


def of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as the parts of a setup, all requests of its sequence included."""
    first, *further = [dict(choice) for choice in (*recipe.get("before", []), recipe["forget"])]
    return {**{part: recipe[part] for part in PARTS if part in recipe}, "forget": first, "then": further}


def _whole() -> dict[str, Any]:
    draft_id = st.query_params.get("draft", "")
    setup = _stored(draft_id) if _ID.fullmatch(draft_id) else None
    if setup is None:
        setup = st.session_state.get("draft") or _last()
    return default() | setup


def update(**parts: Any) -> dict[str, Any]:
    """Replace parts of the setup, store it, put its link into the URL, and return the whole."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"a setup has no part {sorted(unknown)[0]!r}")
    whole = _whole() | parts
    if not whole.get("then"):
        whole.pop("then", None)
    if whole != st.session_state.get("draft"):
        name = digest(whole)[:16]
        queue = workspace.queue()
        queue.remember(f"draft:{name}", {"setup": whole, "at": time.time()})
        queue.sweep("draft:", older=KEPT)
        queue.remember(f"visitor:{workspace.visitor()}", {"draft": name})
        st.session_state["draft"] = whole
    name = link()
    if st.query_params.get("draft") != name:
        st.query_params["draft"] = name
    return whole


def link() -> str:
    """Return the current setup's id for a URL."""
    return digest(st.session_state.get("draft") or _whole())[:16]


def complete(setup: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return the setup as a checked recipe, or None and a sentence that says what is missing.

    With further requests under ``then`` it is the recipe of the last of them.
    """
    if not setup.get("methods"):
        return None, "Choose at least one method."
    requests = [setup["forget"], *setup.get("then", [])]
    parts = {part: value for part, value in setup.items() if part != "then"} | {"forget": requests[-1]}
    try:
        return Recipe.from_json({**parts, "before": requests[:-1]}).to_json(), ""
    except BadSetting as error:
        return None, str(error)


def _stored(name: str) -> dict[str, Any] | None:
    stored = workspace.queue().recall(f"draft:{name}")
    return stored.get("setup") if isinstance(stored, dict) else None


def _last() -> dict[str, Any]:
    noted = workspace.queue().recall(f"visitor:{workspace.visitor()}")
    return (_stored(str(noted.get("draft", ""))) if isinstance(noted, dict) else None) or {}
