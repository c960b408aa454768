"""Which run a page is about, and how one is started: the run's id is in the URL, so every view is a link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import streamlit as st

from engine.launch import ROOT
from engine.queue import RunRow, access
from engine.records import Recipe, digest
from engine.store import StoreError
from pages.ui import say, workspace

KLOM_PAGE = "pages/klom/page.py"
START_PAGE = "pages/start/page.py"
FORGET_PAGE = "pages/forget/page.py"
UNLEARN_PAGE = "pages/unlearn/page.py"
METHODS_PAGE = "pages/methods/page.py"
MISSING_PAGE = "pages/missing/page.py"
PREDICTIONS_PAGE = "pages/predictions/page.py"
ATTENTION_PAGE = "pages/attention/page.py"
GONE = (
    "This link names a run that is not in this store, or one on pictures that are not shared with you. "
    "It may have been deleted."
)
_ID = re.compile(r"[0-9a-f]{16}")


def chosen() -> tuple[RunRow | None, str]:
    """Return the run this visit is about and, when the URL names one that is not there, a sentence that says so.

    The URL decides; without one the run last looked at, else the newest.
    """
    run_id = st.query_params.get("run") or st.session_state.get("run", "")
    if run_id:
        row = find(run_id)
        if row is None:
            st.session_state.pop("run", None)
            return None, GONE
        return _remember(row), ""
    newest = listed()
    return (_remember(newest[0]), "") if newest else (None, "")


def find(run_id: str) -> RunRow | None:
    """Return the run with this id, None when there is none that this visitor may see."""
    if not _ID.fullmatch(run_id):
        return None
    try:
        rows = _visible([workspace.queue().run(run_id)])
    except StoreError:
        return None
    return rows[0] if rows else None


def listed(limit: int = 200) -> list[RunRow]:
    """Return those of the newest ``limit`` runs that this visitor may see, newest first."""
    return _visible(workspace.queue().runs(limit=limit))


def in_turn() -> list[RunRow]:
    """Return the unfinished runs that this visitor may see, the next to be served first."""
    return _visible(workspace.queue().in_turn())


def deletable(row: RunRow) -> bool:
    """Return whether this visitor may delete a run: an own one; at this computer also those of the command line."""
    local = access.local(str(st.get_option("server.address") or ""))
    return access.deletable(row, workspace.visitor(), local=local)


def _visible(rows: list[RunRow]) -> list[RunRow]:
    return access.visible(workspace.store(), workspace.shelf(), workspace.visitor(), rows)


def _remember(row: RunRow) -> RunRow:
    st.session_state["run"] = row.id
    return row


def start(recipe: Mapping[str, Any]) -> str:
    """Submit a recipe and return its run's id; an equal one that is done, running or waiting is not run again.

    A sequence of requests is a run for each, in order; the id is that of the first that is not over, else the last's.
    Methods that a recipe has twice are told apart by all their settings, so these are filled in.
    """
    requests = [one.to_json() for one in Recipe.from_json(recipe).sequence()[:-1]] + [dict(recipe)]
    recipes = [{**one, "methods": whole(one)["methods"]} for one in requests]
    known = {
        digest(row.recipe): row
        for row in reversed(listed())
        if row.status in ("done", "running", "queued") and not row.cancel
    }
    waiting = ""
    for number, one in enumerate(recipes, start=1):
        row = known.get(digest(one))
        if row is not None and row.over:
            last = row.id
            continue
        label = say.label(workspace.words(), one)
        if len(recipes) > 1:
            label += f", request {number} of {len(recipes)}"
        last = row.id if row is not None else workspace.queue().submit(one, session=workspace.session(), label=label)
        waiting = waiting or last
    return waiting or last


def whole(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe with every default filled in, so that a setting left out equals its default spelled out."""
    words, made = workspace.words(), Recipe.from_json(recipe).to_json()

    def filled(group: str, choice: Mapping[str, Any]) -> dict[str, Any]:
        fields = next((entry["fields"] for entry in words[group] if entry["key"] == choice["key"]), ())
        return {"key": choice["key"], **{field["name"]: field["default"] for field in fields}, **choice}

    for part, group in (("dataset", "datasets"), ("model", "models"), ("forget", "forget")):
        made[part] = filled(group, made[part])
    made["methods"] = [filled("methods", choice) for choice in made["methods"]]
    if made.get("before"):
        made["before"] = [filled("forget", choice) for choice in made["before"]]
    return made


def show(run_id: str, page: str = KLOM_PAGE) -> NoReturn:
    """Go to a page about the run, its KLOM page unless another is named."""
    st.session_state["run"] = run_id
    st.switch_page(page, query_params={"run": run_id})


def exists(page: str) -> bool:
    """Return whether the app has this page."""
    return (ROOT / page).exists()


def link(page: str, label: str, *, run_id: str = "", **further: str) -> None:
    """Draw a quiet link to another page, about a run if one is named; nothing while the app has no such page.

    ``further`` are more parts of the address, with _ for -.
    """
    if exists(page):
        parts = {"run": run_id} if run_id else {}
        parts |= {name.replace("_", "-"): value for name, value in further.items()}
        st.page_link(page, label=label, query_params=parts or None)
