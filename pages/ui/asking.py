"""Questions to the compute process from a page: ask, show how far the work is, be there when the answer comes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from engine.records import digest
from pages.ui import nouns, say, workspace

EVERY = 0.7
"""Seconds between looks for an answer; only until it is there."""
FRESH = 300.0
"""Seconds after which the same question is asked anew, because the store may have changed."""


@dataclass(frozen=True)
class Reply:
    """Where a question stands: its ``answer``, an ``error`` in words, or in ``pending`` what is being done for it."""

    id: str
    answer: Mapping[str, Any] | None
    error: str
    pending: Mapping[str, Any] | None
    withdrawn: bool = False

    @property
    def ready(self) -> bool:
        """Whether there is an answer that is no error."""
        return self.answer is not None and not self.error


def ask(request: Mapping[str, Any], *, key: str, also: object = None) -> Reply:
    """Ask once per content and return where the question stands; ``also`` is content that makes it a new question.

    ``key`` names the place on the page that asks, so that a changed request replaces the older one.
    """
    queue = workspace.queue()
    place = f"asked-{key}"
    wanted = digest([dict(request), also])
    known: tuple[str, str, float] | None = st.session_state.get(place)
    if known is None or known[0] != wanted or time.time() - known[2] > FRESH:
        known = (wanted, queue.ask(request), time.time())
        st.session_state[place] = known
    question = known[1]
    answer = queue.answer_to(question)
    pending = None if answer is not None else queue.question_progress(question)
    if answer is None and pending is None:
        # Taken back on this page, or swept after a long pause.
        return Reply(question, None, "", None, withdrawn=True)
    return Reply(question, answer, str(answer.get("error", "")) if answer else "", pending)


def wait(reply: Reply, *, what: str, key: str) -> None:
    """Draw one quiet line about a question that is not answered yet, with a button to stop it.

    The page runs again when the answer is there. A question that was stopped offers to be asked again.
    """
    if reply.withdrawn:
        with st.container(horizontal=True, vertical_alignment="center", key=f"stopped-{key}"):
            st.html(f'<p class="fs-small">{say.escaped(what)}: stopped.</p>')
            if st.button("Start again", key=f"again-{key}"):
                st.session_state.pop(f"asked-{key}", None)
                st.rerun()
        return
    st.fragment(run_every=EVERY)(_wait)(reply.id, what, key)


def _wait(question: str, what: str, key: str) -> None:
    queue = workspace.queue()
    progress = queue.question_progress(question)
    if progress is None:
        st.rerun()
    workspace.keeper().ensure()
    row = workspace.compute()
    with st.container(horizontal=True, vertical_alignment="center", key=f"waiting-{key}", gap="small"):
        if row is None or not row.alive:
            said = "starting the compute process"
        elif not progress:
            said = "waiting for a free worker"
        else:
            said = nouns.spoken(str(progress.get("message") or "preparing").split(": ")[-1])
            if progress.get("seconds"):
                said += f", {say.duration(progress['seconds'])} so far"
        share = float(progress.get("share") or 0.0)
        done = f" {share:.0%}" if share > 0 else ""
        st.html(f'<p class="fs-small strong" role="status">{say.escaped(what)}{done}: {say.escaped(said)}</p>')
        if st.button("Cancel", key=f"withdraw-{key}"):
            queue.withdraw(question)
            st.rerun()
