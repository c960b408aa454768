"""Forget set: which pictures should be forgotten? Choose them by looking."""

import streamlit as st

from pages.forget import map as forget_map
from pages.forget import parts, state, tools
from pages.ui import draft, frame, inspector, nouns, runs

header = st.container()
setup = draft.update()
nouns.use(setup)
st.title("Forget set", anchor=False)
pool = state.pool()
if pool is not None:
    chosen = state.selection(pool)
    parts.arrive(pool, chosen)
    left, right = st.columns([2, 1], gap="medium")
    beside, waiting = right.container(), right.container()
    with waiting:
        known = forget_map.measured(pool)
    with left:
        forget_map.draw(pool, chosen, known)
    with beside:
        parts.panel(pool, chosen, known)
    tools.tools(pool, chosen)
    parts.grid(pool, chosen, known)
with header:
    frame.line(setup)
if pool is not None:
    inspector.linked(runs.find(st.session_state.get("run", "")), pool.hash)
