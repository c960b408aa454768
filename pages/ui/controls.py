"""A switch between a few ways to look, its state in the URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st


def switch(
    label: str, options: Sequence[str], *, key: str, default: str, name: Callable[[str], str] | None = None
) -> str:
    """Show the options side by side and return the chosen one; what is no option any more becomes ``default``."""
    chosen = st.segmented_control(
        label,
        list(options),
        format_func=name,
        key=key,
        default=default,
        required=True,
        bind="query-params",
        label_visibility="collapsed",
        wrap=True,
    )
    return str(chosen or default)
