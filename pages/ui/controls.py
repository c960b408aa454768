"""A switch between a few options, its state in the URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st


def switch(
    label: str, options: Sequence[str], *, key: str, default: str, name: Callable[[str], str] | None = None
) -> str:
    """Show the options side by side and return the chosen one, ``default`` where it is no longer an option."""
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
