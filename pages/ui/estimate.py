"""Before pressing Run: what it will take in time and disk, or why it cannot run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.records import digest
from pages.ui import choices, runs, say, workspace

EVERY = 0.7
"""Seconds between looks for the answer; only until it is there."""


def bar(chosen: choices.Chosen) -> None:
    """Show the estimate and the Run button for what the form says."""
    if chosen.recipe is None:
        _bar(None, list(chosen.reasons), "", ready=False)
        return
    question = _ask(chosen.recipe)
    answered = workspace.queue().answer_to(question) is not None
    st.fragment(run_every=None if answered else EVERY)(_wait)(dict(chosen.recipe), question, answered)


def _ask(recipe: Mapping[str, Any]) -> str:
    """Ask the compute process and return the question's id; again when the recipe or the newest run changed.

    What is computed already costs nothing, so a finished run changes the answer; answers are swept after ten minutes.
    """
    newest = [(row.id, row.status) for row in workspace.queue().runs(limit=1)]
    key = digest([dict(recipe), newest, int(time.time() // 300)])
    asked: tuple[str, str] | None = st.session_state.get("asked")
    if asked is None or asked[0] != key:
        asked = (key, workspace.queue().ask({"kind": "estimate", "recipe": dict(recipe)}))
        st.session_state["asked"] = asked
    return asked[1]


def _wait(recipe: Mapping[str, Any], question: str, known: bool) -> None:
    answer = workspace.queue().answer_to(question)
    if answer is not None and not known:
        st.rerun()  # stops the clock
    if answer is None:
        workspace.keeper().ensure()
        row = workspace.compute()
        waiting = "Estimating time and disk" if row is not None and row.alive else "Starting the compute process"
        _bar(recipe, [], waiting, ready=True)
    elif "error" in answer:
        _bar(recipe, [choices.sentence(str(answer["error"]))], "", ready=False)
    else:
        _bar(recipe, [], words(answer), ready=True)


def words(answer: Mapping[str, Any]) -> str:
    """Return an estimate in words."""
    if answer.get("cached"):
        return "Already computed: opens at once."
    return f"About **{say.duration(answer['seconds'])}** and **{say.size(answer['bytes'])}** of disk."


def _bar(recipe: Mapping[str, Any] | None, reasons: list[str], said: str, *, ready: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="runbar"):
        pressed = st.button("Run", type="primary", key="run-own", disabled=not ready)
        st.markdown(" ".join(say.plain(reason) for reason in reasons) or said, width="stretch")
    if pressed and recipe is not None:
        runs.show(runs.start(recipe))
