"""Questions to the compute process from a page: ask, show progress, and run the page again for the answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from engine.records import digest
from pages.ui import nouns, say, workspace

MEASURING = {"what": "Measuring what this takes", "stop": "Skip the estimate"}
"""How the line reads while the price of something is asked for; "Cancel" there would read as cancelling a run."""
EVERY = 0.7
"""Seconds between checks for an answer; only until it is there."""
FRESH = 300.0
"""Seconds after which the same question is asked again, because the store may have changed."""


@dataclass(frozen=True)
class Reply:
    """The state of a question: its ``answer``, an ``error`` in words, or in ``pending`` what is being done for it."""

    id: str
    answer: Mapping[str, Any] | None
    error: str
    pending: Mapping[str, Any] | None
    withdrawn: bool = False

    @property
    def ready(self) -> bool:
        """Whether there is an answer that is no error."""
        return self.answer is not None and not self.error


def ask(question: Mapping[str, Any], *, key: str, also: object = None) -> Reply:
    """Ask once per content and return where the question stands; ``also`` is content that makes it a new question.

    ``key`` names the place on the page that asks, so that a changed question replaces the older one.
    """
    queue = workspace.queue()
    place = f"asked-{key}"
    content = digest([dict(question), also])
    known: tuple[str, str, float] | None = st.session_state.get(place)
    if known is None or known[0] != content or time.time() - known[2] > FRESH:
        known = (content, queue.ask(question), time.time())
        st.session_state[place] = known
    question_id = known[1]
    answer = queue.answer_to(question_id)
    pending = None if answer is not None else queue.question_progress(question_id)
    if answer is None and pending is None:
        # Withdrawn on this page, or removed by the queue after a long pause.
        return Reply(question_id, None, "", None, withdrawn=True)
    return Reply(question_id, answer, str(answer.get("error", "")) if answer else "", pending)


def wait(reply: Reply, *, what: str, key: str, stop: str = "Cancel") -> None:
    """Draw one quiet line about a question that is not answered yet, with a button ``stop`` that withdraws it.

    The page runs again when the answer is there. A question that was stopped offers to be asked again.
    """
    if reply.withdrawn:
        with st.container(horizontal=True, vertical_alignment="center", key=f"stopped-{key}"):
            st.html(f'<p class="fs-small">{say.escaped(what)}: stopped.</p>')
            if st.button("Start again", key=f"again-{key}"):
                st.session_state.pop(f"asked-{key}", None)
                st.rerun()
        return
    st.fragment(run_every=EVERY)(_wait)(reply.id, what, key, stop)


def _wait(question: str, what: str, key: str, stop: str) -> None:
    queue = workspace.queue()
    progress = queue.question_progress(question)
    if progress is None:
        st.rerun()
    workspace.keeper().ensure()
    row = workspace.compute()
    with st.container(horizontal=True, vertical_alignment="center", key=f"waiting-{key}", gap="small"):
        if row is None or not row.alive:
            state = "starting the compute process"
        elif not progress:
            state = "waiting for a free worker"
        else:
            state = nouns.spoken(str(progress.get("message") or "preparing").split(": ")[-1])
            if progress.get("seconds"):
                state += f", {say.duration(progress['seconds'])} so far"
        share = float(progress.get("share") or 0.0)
        done = f" {share:.0%}" if share > 0 else ""
        st.html(f'<p class="fs-small strong" role="status">{say.escaped(what)}{done}: {say.escaped(state)}</p>')
        if st.button(stop, key=f"withdraw-{key}"):
            queue.withdraw(question)
            st.rerun()
