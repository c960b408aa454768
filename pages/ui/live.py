"""A run under way: its share done, time left, current jobs, each method's state, and a button to stop it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.queue import RunRow, sequences
from pages.ui import results, say, workspace

EVERY = 1.0
"""Seconds between reads of the queue; only while something runs."""
REDRAW = 2
"""Ticks between two redraws of a page's figures at most, so that they can be read while they fill in."""


def panel(run: RunRow, *, drawn: str) -> None:
    """Show the run's progress, ticking until it is over; ``drawn`` is the version of the results on the page.

    When there are newer results, or the run is over, the whole page runs once more.
    """
    st.fragment(run_every=None if run.over else EVERY)(_panel)(run.id, drawn)


def _panel(run_id: str, drawn: str) -> None:
    workspace.keeper().ensure()
    run = workspace.queue().run(run_id)
    key = f"ticks-{run_id}"
    st.session_state[key] = st.session_state.get(key, 0) + 1
    if run.over:
        st.session_state.pop(key)
        st.rerun()
    if results.version(run) != drawn and st.session_state[key] >= REDRAW:
        st.session_state[key] = 0
        st.rerun()
    progress = run.progress
    with st.container(border=True, key="live", gap="xsmall"):
        left, right = st.columns([5, 1], vertical_alignment="center")
        with left:
            st.progress(min(1.0, max(0.0, float(progress.get("share") or 0.0))), text=headline(run))
        with right:
            cancel(run, key="live", wide=True)
        if methods := _methods(run):
            st.html(methods)


def headline(run: RunRow) -> str:
    """Return one line: share done, time left, what is being done."""
    progress = run.progress
    if run.cancel:
        return "Stopping"
    if run.status == "queued" or not progress:
        row = workspace.compute()
        return "Waiting for its turn" if row is not None and row.alive else "Starting the compute process"
    parts = []
    if progress.get("planned"):
        parts.append(f"**{progress['share']:.0%}**")
        if progress.get("seconds_left") is not None:
            parts.append(f"about {say.duration(progress['seconds_left'])} left")
    names = say.method_names(workspace.words(), run.recipe)
    doing = list(dict.fromkeys(say.job(text, names) for text in progress.get("doing", [])))
    parts.append(say.plain("; ".join(doing[:2]) or "preparing"))
    return " · ".join(parts)


def _methods(run: RunRow) -> str:
    states: Mapping[str, Any] = run.progress.get("methods") or {}
    parts = []
    for method, called in say.method_names(workspace.words(), run.recipe).items():
        if method not in states:
            continue
        state = states[method]
        name = say.escaped(called)
        if state["stopped"]:
            parts.append(f'<span class="stopped" title="{say.escaped(state["stopped"])}">{name} stopped</span>')
        else:
            # Half of a method's jobs unlearn a chunk, the other half measure it.
            share = state["done"] / state["total"] if state["total"] else 0.0
            parts.append(f'<span>{name} <span class="fs-quiet">{share:.0%}</span></span>')
    return f'<div class="fs-methods">{"".join(parts)}</div>' if parts else ""


def cancel(run: RunRow, *, key: str, wide: bool = False) -> None:
    """Show the button that stops a run: the first press between frames, the second at once."""
    pressed = run.cancel > 0

    follow = sequences.place(workspace.queue().unfinished()[::-1], run)
    rest = " Later requests of its sequence stop with it." if follow and follow.number < follow.total else ""

    def press() -> None:
        sequences.cancel(workspace.queue(), run)

    st.button(
        "Stop at once" if pressed else "Cancel",
        key=f"cancel-{key}-{run.id}",
        on_click=press,
        width="stretch" if wide else "content",
        help="Ends the work in flight without waiting."
        if pressed
        else f"Stops within a second; what is done is kept.{rest}",
    )
