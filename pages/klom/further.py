"""Looking further: whatever analysis there is of the networks of the method in focus."""

from __future__ import annotations

import streamlit as st

from engine.queue import RunRow
from engine.records import Recipe
from pages.ui import analysis, results, say, workspace


def draw(run: RunRow, result: results.Result) -> None:
    """Offer every analysis of a method by name, and show the one that is chosen; it is in the URL as ``look``."""
    recipe = Recipe.from_json(run.recipe)
    key = dict(zip(recipe.methods_ids(), recipe.methods, strict=True))[result.method].key
    names = analysis.offered("method", next((e for e in workspace.words()["methods"] if e["key"] == key), {}))
    with st.container(key="further-part"):
        st.html(
            '<p class="fs-step">Look further</p>'
            f'<p class="fs-small">Inside the networks of {say.escaped(result.name)}, beside originals, oracles and a '
            "second set of oracles. Each is measured on request and kept with the run.</p>"
        )
        if st.session_state.get("look") not in (None, *names):
            del st.session_state["look"]  # chosen for a method that has more to show
        chosen = st.segmented_control(
            "Look further",
            list(names),
            format_func=names.__getitem__,
            key="look",
            bind="query-params",
            label_visibility="collapsed",
            wrap=True,
        )
        if chosen:
            analysis.offer(run, result.method, str(chosen), models=result.models)
