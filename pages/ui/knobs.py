"""Knobs as form widgets: one declaration in the engine becomes one field here, its value kept in the URL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import streamlit as st

_COLUMNS = 4


def form(
    fields: Sequence[Mapping[str, Any]],
    prefix: str,
    *,
    advanced: bool,
    columns: int = _COLUMNS,
    defaults: Mapping[str, Any] | None = None,
    linked: bool = True,
) -> dict[str, Any]:
    """Draw the fields in rows of ``columns`` and return their values by name.

    Advanced fields that are not shown keep their defaults, so what is on the screen is what runs. ``defaults`` replaces
    the declared default of the fields it names. Values are in the URL unless ``linked`` is off.
    """
    values = {field["name"]: field["default"] for field in fields} | dict(defaults or {})
    shown = [field for field in fields if advanced or not field["advanced"]]
    for start in range(0, len(shown), columns):
        for cell, field in zip(st.columns(columns), shown[start : start + columns], strict=False):
            with cell:
                values[field["name"]] = widget(field, f"{prefix}-{field['name']}", values[field["name"]], linked=linked)
    return values


def known(fields: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields' values from ``settings`` where those are ones a field takes, their defaults elsewhere."""
    return {f["name"]: settings[f["name"]] if _takes(f, settings.get(f["name"])) else f["default"] for f in fields}


def _takes(field: Mapping[str, Any], value: object) -> bool:
    if field["kind"] == "bool":
        return isinstance(value, bool)
    if field["kind"] == "str":
        return isinstance(value, str) and (not field["choices"] or value in field["choices"])
    if isinstance(value, bool) or not isinstance(value, int if field["kind"] == "int" else int | float):
        return False
    low, high = field["low"], field["high"]
    return (low is None or value >= low) and (high is None or value <= high)


def widget(field: Mapping[str, Any], key: str, default: Any, *, linked: bool = True) -> Any:
    """Draw one field under ``key``, which is also its name in the URL if it is ``linked``, and return its value."""
    bind: Literal["query-params"] | None = "query-params" if linked else None
    unit = f" ({field['unit']})" if field["unit"] else ""
    label = str(field["label"])[:1].upper() + str(field["label"])[1:] + unit
    if field["kind"] == "bool":
        return st.toggle(label, value=default, help=field["help"], key=key, bind=bind)
    if field["kind"] == "str":
        if field["choices"]:
            options = list(field["choices"])
            return st.selectbox(label, options, index=options.index(default), help=field["help"], key=key, bind=bind)
        return st.text_input(label, value=default, help=field["help"], key=key, bind=bind, max_chars=20_000)
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
        bind=bind,
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
