"""The parts of the Layers page: every analysis of what happens inside the networks, one under the other."""

from __future__ import annotations

import streamlit as st

from pages.layers import chosen
from pages.ui import analysis, say, workspace
from pages.ui.subject import Subject

FAMILY = "representation"
"""The family of analyses that look at layers; a new one of it appears here by itself."""


def draw(here: Subject) -> None:
    """Offer each analysis of layers, and draw those that were measured."""
    entries = [entry for entry in workspace.words()["analyses"] if entry["card"]["family"] == FAMILY]
    for entry in entries:
        st.html(f'<p class="fs-step">{say.escaped(entry["card"]["name"])}</p>')
        analysis.offer(here.run, here.result.method, entry["key"], models=here.result.models, choosing=chosen.draw)
