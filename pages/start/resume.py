"""The visitor's last run and last setup, in one line."""

from __future__ import annotations

import streamlit as st

from engine.queue import RunRow
from pages.ui import draft, live, runs, say, workspace


def line() -> None:
    """Offer the visitor's latest run, or one under way; draws nothing for a new visitor."""
    row = _latest()
    if row is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="resume", gap="small"):
        if row.over:
            when = say.ago(row.finished or row.created)
            st.markdown(f"Your last run: **{say.plain(row.label)}** · {row.status}, {when}", width="content")
        else:
            st.markdown(f"**{say.plain(row.label)}** · {live.headline(row)}", width="content")
        if st.button("Open" if row.over else "Watch", key="watch"):
            runs.show(row.id)


def _latest() -> RunRow | None:
    queue = workspace.queue()
    own = queue.runs(limit=1, session=workspace.visitor())
    if own and not own[0].over:
        return own[0]
    under_way = runs.in_turn()
    return under_way[0] if under_way else (own[0] if own else None)


def set_up_before() -> bool:
    """Say that the form shows what was set up before, with a way to begin afresh; return whether it does."""
    if not draft.then() and {k: v for k, v in draft.current().items() if k != "format"} == {
        k: v for k, v in draft.default().items() if k != "format"
    }:
        return False

    def afresh() -> None:
        for key in [key for key in st.session_state if key not in ("visitor", "run")]:
            del st.session_state[key]
        st.query_params.clear()
        draft.update(then=[], **{part: value for part, value in draft.default().items() if part != "format"})

    st.button("Begin afresh", key="afresh", type="tertiary", on_click=afresh, help="Puts every choice back.")
    return True
