"""Knobs as form widgets: one declaration in the engine becomes one field here, its value kept in the URL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

_COLUMNS = 4


def form(
    fields: Sequence[Mapping[str, Any]],
    prefix: str,
    *,
    advanced: bool,
    columns: int = _COLUMNS,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draw the fields in rows of ``columns`` and return their values by name.

    Advanced fields that are not shown keep their defaults, so what is on the screen is what runs. ``defaults`` replaces
    the declared default of the fields it names.
    """
    values = {field["name"]: field["default"] for field in fields} | dict(defaults or {})
    shown = [field for field in fields if advanced or not field["advanced"]]
    for start in range(0, len(shown), columns):
        for cell, field in zip(st.columns(columns), shown[start : start + columns], strict=False):
            with cell:
                values[field["name"]] = widget(field, f"{prefix}-{field['name']}", values[field["name"]])
    return values


def widget(field: Mapping[str, Any], key: str, default: Any) -> Any:
    """Draw one field under ``key``, which is also its name in the URL, and return its value."""
    unit = f" ({field['unit']})" if field["unit"] else ""
    label = str(field["label"])[:1].upper() + str(field["label"])[1:] + unit
    if field["kind"] == "bool":
        return st.toggle(label, value=default, help=field["help"], key=key, bind="query-params")
    if field["kind"] == "str":
        if field["choices"]:
            options = list(field["choices"])
            return st.selectbox(
                label, options, index=options.index(default), help=field["help"], key=key, bind="query-params"
            )
        return st.text_input(label, value=default, help=field["help"], key=key, bind="query-params", max_chars=20_000)
    whole = field["kind"] == "int"
    kind = int if whole else float
    low, high = field["low"], field["high"]
    return st.number_input(
        label,
        min_value=None if low is None else kind(low),
        max_value=None if high is None else kind(high),
        value=kind(default),
        step=1 if whole else step(field, float(default)),
        format="%d" if whole else "%g",
        help=f"{field['help']} {bounds(low, high)}".strip(),
        key=key,
        bind="query-params",
    )


def step(field: Mapping[str, Any], default: float) -> float:
    """Return how far one press of + or - goes: a power of ten at most a tenth of the default, or of the range."""
    span = (1.0 if field["high"] is None else field["high"]) - (field["low"] or 0.0)
    scale = min(abs(default), span) if default else span
    return 10.0 ** math.floor(math.log10(scale / 10)) if scale > 0 else 0.1


def bounds(low: float | None, high: float | None) -> str:
    """Return the allowed range in words."""
    if low is None and high is None:
        return ""
    return f"From {low:g} to {high:g}." if low is not None and high is not None else ""
