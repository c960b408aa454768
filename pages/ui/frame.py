"""The frame around every page: style, theme, and the header line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from engine.theme import Look, look
from pages.ui import nouns, say, workspace

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def colours() -> Look:
    """Return the colours of the theme the visitor sees."""
    return look(dark=st.context.theme.type == "dark")


def style() -> None:
    """Add the app's style sheet to the page."""
    st.html(ASSETS / "style.css")


def smooth() -> bool:
    """Return whether pictures are enlarged smoothly, not pixel by pixel."""
    return bool(st.session_state.get("smooth", True))


def line(recipe: Mapping[str, Any] | None) -> None:
    """Write the header line: data set, model, forget set, ensemble size, device; from here on points are its points.

    Where those are pictures, a switch beside it says how they are enlarged.
    """
    about = {"Data": "none yet", "Model": "none yet", "Forget": "none yet", "Ensemble": "none yet"}
    if recipe is not None:
        nouns.use(recipe)
        about = say.subject(workspace.words(), recipe)
    parts = "".join(f"<span><i>{say.escaped(k)}</i>{say.escaped(v)}</span>" for k, v in about.items())
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="line"):
        st.html(f'<div class="fs-line">{parts}<span><i>Device</i>{_device()}</span></div>')
        if recipe is not None and not nouns.tabular(str(recipe["dataset"].get("key"))):
            st.toggle(
                "Smooth pictures",
                value=True,
                key="smooth",
                bind="query-params",
                help="On, small pictures are enlarged smoothly, as the eye takes them; off, pixel by pixel, as the "
                "networks do.",
            )
    st.html(f"<style>:root {{ --fs-rendering: {'auto' if smooth() else 'pixelated'}; }}</style>")


def _device() -> str:
    row = workspace.compute()
    if row is None or not row.alive:
        return '<span class="fs-dot"></span>starting'
    device = "GPU" if row.device == "cuda" else "CPU"
    return f'<span class="fs-dot on"></span>{device}, {say.count(row.workers, "worker")}'
