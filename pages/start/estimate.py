"""Before pressing Run: what it will take in time, memory and disk, or why it cannot run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.start import choices
from pages.ui import asking, runs, say, workspace


def bar(chosen: choices.Chosen, *, page: str = runs.KLOM_PAGE) -> None:
    """Show the estimate and the Run button for the content of the form; a run that begins is shown on ``page``."""
    if chosen.recipe is None:
        _bar(None, " ".join(say.plain(reason) for reason in chosen.reasons), page)
        return
    # What is computed already costs nothing, so a finished run changes the answer.
    newest = [[row.id, row.status] for row in workspace.queue().runs(limit=1)]
    whole = {"sequence": True} if chosen.recipe.get("before") else {}
    reply = asking.ask({"kind": "estimate", "recipe": dict(chosen.recipe), **whole}, key="estimate", also=newest)
    if reply.error:
        _bar(None, say.plain(say.sentence(reply.error)), page)
    elif reply.answer is not None:
        _bar(chosen.recipe, words(reply.answer, free=workspace.disk_use()[1]), page)
    else:
        _bar(chosen.recipe, "", page)
        asking.wait(reply, key="estimate", **asking.MEASURING)


def words(answer: Mapping[str, Any], *, free: int) -> str:
    """Return an estimate in words; ``free`` bytes are left on the disk."""
    if answer.get("cached"):
        return "Already computed: opens at once."
    parts = [f"**{say.duration(answer['seconds'])}**"]
    if answer.get("memory"):
        parts.append(f"**{say.size(answer['memory'])}** of memory")
    parts.append(f"**{say.size(answer['bytes'])}** of disk")
    sentence = f"About {', '.join(parts[:-1])} and {parts[-1]}, measured on this computer."
    if answer.get("memory", 0) > answer.get("memory_free", float("inf")):
        sentence += f" **Only {say.size(answer['memory_free'])} of memory are free:** choose a smaller chunk or batch."
    if answer["bytes"] > free:
        sentence += f" **Only {say.size(free)} of disk are free:** delete runs first, or choose fewer models."
    return sentence


def _bar(recipe: Mapping[str, Any] | None, sentence: str, page: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="runbar"):
        pressed = st.button("Run", type="primary", key="run-own", disabled=recipe is None)
        st.markdown(sentence, width="stretch")
    if pressed and recipe is not None:
        runs.show(runs.start(recipe), page)
