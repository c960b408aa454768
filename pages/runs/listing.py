"""The list of runs: one row each, found by words, tags and state, with its size on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from engine.queue import RunNote, RunRow
from engine.queue.uses import Use, free_unused
from engine.records import Recipe
from pages.runs import acts, disk
from pages.ui import live, runs, say, workspace

_PAGE = 12
_WIDTHS = [5, 5, 4, 4]
_DOT = {"done": "on", "failed": "bad"}
_STATES = ("queued", "running", "done", "failed", "cancelled")


def compute_line() -> None:
    """Draw whether the compute process is alive, and what is on disk."""
    row = workspace.compute()
    used, free = workspace.disk_use()
    if row is not None and row.alive:
        state = "working" if row.state == "busy" else "idle"
        state_line = f'<span class="fs-dot on"></span>Compute process {state}, {say.count(row.workers, "worker")}'
    else:
        state_line = '<span class="fs-dot"></span>Compute process starting'
    st.html(
        f'<p class="fs-small strong">{state_line} <span class="fs-quiet">· {say.size(used)} on disk, {say.size(free)} '
        "free</span></p>"
    )


def show() -> None:
    """Show the runs, newest first; ticks while one of them is not over."""
    rows = runs.listed(disk.MOST_RUNS)
    if not rows:
        with st.container(border=True, key="empty"):
            st.subheader("No runs yet", anchor=False)
            st.write("Press **Run the demo** on the Start page, or set up your own experiment there.")
            if st.button("Go to Start", type="primary", key="to-start"):
                st.switch_page(runs.START_PAGE)
        return
    notes = workspace.shelf().notes(row.id for row in rows)
    matches = _matching(rows, notes)
    takes, left = disk.use()
    if left:
        _left_over(left)
    if not matches:
        st.html('<p class="fs-small strong">No run is like that. Take words or states away.</p>')
        return
    pages = -(-len(matches) // _PAGE)
    number = _page_number(pages) if pages > 1 else 1
    shown = matches[(number - 1) * _PAGE : number * _PAGE]
    active = any(not row.over for row in rows)
    st.fragment(run_every=live.EVERY if active else None)(_table)(
        [row.id for row in shown], active, {row.id: notes.get(row.id, RunNote()) for row in shown}, takes
    )


def _matching(rows: Sequence[RunRow], notes: Mapping[str, RunNote]) -> list[RunRow]:
    """Draw the search and return the runs that fit."""
    with st.container(horizontal=True, vertical_alignment="center", key="search-row"):
        search = st.text_input(
            "Search",
            key="search",
            bind="query-params",
            placeholder="Data, model, method, forget set, tag",
            label_visibility="collapsed",
            max_chars=200,
            width=320,
        )
        there = [state for state in _STATES if any(row.status == state for row in rows)]
        states = st.pills(
            "States",
            there,
            selection_mode="multi",
            format_func=str.capitalize,
            key="states",
            bind="query-params",
            label_visibility="collapsed",
        )
    words = str(search or "").lower().split()
    return [
        row
        for row in rows
        if (not states or row.status in states)
        and (not words or all(word in _text(row, notes.get(row.id, RunNote())) for word in words))
    ]


def _text(row: RunRow, note: RunNote) -> str:
    about = " ".join(say.subject(workspace.words(), row.recipe).values())
    methods = " ".join(say.method_names(workspace.words(), row.recipe).values())
    return f"{row.label} {row.id} {row.status} {about} {methods} {' '.join(note.tags)} {note.text}".lower()


def _left_over(left: int) -> None:
    def free() -> None:
        free_unused(workspace.queue(), workspace.store())
        disk.recount()

    with st.container(horizontal=True, vertical_alignment="center", key="left-over"):
        st.html(f'<p class="fs-small">{say.size(left)} of results belong to no run any more.</p>')
        st.button("Free them", key="free-unused", on_click=free)


def _page_number(pages: int) -> int:
    return int(
        st.segmented_control(
            "Page",
            list(range(1, min(pages, 40) + 1)),
            default=1,
            key="page",
            required=True,
            label_visibility="collapsed",
            bind="query-params",
        )
    )


def _table(ids: list[str], active: bool, notes: Mapping[str, RunNote], takes: Mapping[str, Use]) -> None:
    queue = workspace.queue()
    rows = [row for row in map(runs.find, ids) if row is not None]
    if len(rows) < len(ids) or (active and all(row.over for row in rows) and not queue.unfinished()):
        st.rerun()
    if active:
        workspace.keeper().ensure()
    turns = {row.id: number for number, row in enumerate(queue.in_turn(), 1)}
    for row in rows:
        with st.container(border=True, key=f"run-{row.id}", gap="xsmall"):
            _row(row, notes[row.id], takes.get(row.id), turns.get(row.id, 0))


def _row(row: RunRow, note: RunNote, takes: Use | None, turn: int) -> None:
    recipe = Recipe.from_json(row.recipe)
    words = workspace.words()
    name, about, state, act = st.columns(_WIDTHS, vertical_alignment="center")
    tags = "".join(f'<span class="fs-tag">{say.escaped(tag)}</span>' for tag in note.tags)
    name.html(
        f'<p style="margin:0"><b>{say.escaped(say.named(row.label))}</b> {tags}</p><p class="fs-small">'
        f"{say.ago(row.created)}, {say.escaped(row.id[:6])}{_takes(takes)}</p>"
    )
    methods = "; ".join(say.method_names(words, row.recipe).values())
    model = say.card_name(words, "models", recipe.model.key)
    about.html(
        f'<p class="fs-small strong">{say.escaped(model)}, {say.count(recipe.ensemble.models, "model")}</p>'
        f'<p class="fs-small">{say.escaped(methods)}</p>'
    )
    with state:
        _state(row, turn)
    with act, st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        if not row.over:
            if st.button("Watch", key=f"open-{row.id}"):
                runs.show(row.id)
            live.cancel(row, key="runs")
        else:
            if st.button("Open", key=f"open-{row.id}", disabled=row.status == "failed" and not row.started):
                runs.show(row.id)
            acts.more(row)
    if row.error:
        st.html(
            f'<p class="fs-small strong"><span class="fs-dot bad"></span>{say.escaped(say.sentence(row.error))}</p>'
        )
    acts.confirm_delete(row, takes)


def _takes(takes: Use | None) -> str:
    if takes is None or not takes.own + takes.shared:
        return ""
    shared = f", {say.size(takes.shared)} shared" if takes.shared else ""
    return f" · {say.size(takes.own)}{shared}"


def _state(row: RunRow, turn: int) -> None:
    if row.over:
        took = f" in {say.duration(row.finished - row.started)}" if row.finished and row.started else ""
        st.html(
            f'<p class="fs-small strong"><span class="fs-dot {_DOT.get(row.status, "")}"></span>'
            f"{row.status.capitalize()}{took}</p>"
        )
    elif row.status == "queued" and turn > 1:
        st.html(f'<p class="fs-small strong"><span class="fs-dot"></span>Number {turn} in the queue</p>')
    else:
        st.progress(min(1.0, max(0.0, float(row.progress.get("share") or 0.0))), text=live.headline(row))
