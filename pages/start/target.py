"""Choosing the column of a table that is to be predicted, by its name, after a look at the first rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.records import digest
from pages.ui import asking, say

_VALUES = 3
"""Values of a column that stand beside its name."""


def seen(path: str) -> asking.Reply:
    """Ask for the first rows of the table at ``path``; the same question again costs nothing."""
    return asking.ask({"kind": "table", "path": path}, key="table")


def picker(path: str, seed: Mapping[str, Any], reasons: list[str]) -> str:
    """Draw the choice of target and return the column's name, "" until one is chosen.

    ``seed`` is the data set that a setup chose before. What keeps it from being used is added to ``reasons``.
    """
    reply = seen(path)
    if reply.error:
        reasons.append(say.sentence(reply.error))
        return ""
    if reply.answer is None:
        asking.wait(reply, what="Looking at the table", key="table")
        reasons.append("The table is being looked at.")
        return ""
    columns = {c["name"]: c for c in reply.answer["columns"] if c["kind"] != "empty"}
    before = seed.get("target") if seed.get("path") == path else None
    picked = st.selectbox(
        "Column to predict",
        list(columns),
        index=list(columns).index(before) if before in columns else None,
        format_func=lambda name: _title(columns[name]),
        key=f"target-{digest([path])[:8]}",
        placeholder="Which column is to be predicted?",
        help="A column of classes. Every other column is what the networks see.",
    )
    if picked is None:
        reasons.append("Choose the column to predict.")
    return picked or ""


def _title(column: Mapping[str, Any]) -> str:
    values = ", ".join(column["values"][:_VALUES])
    return f"{column['name']} ({values}{', ...' if len(column['values']) > _VALUES else ''})"
