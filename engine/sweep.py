"""Many settings of one method from a few words: a grid of values, or random draws from ranges.

A knob is given as text: ``0.001, 0.01`` (or ``0.001|0.01`` on a command line) are values, ``1e-5..1e-2`` is a range.
Values alone make a grid, every combination once; with a range among them settings are drawn at random.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.knobs import BadSetting, Field, Knob, Scalar
from engine.seeds import derive

MOST = 200
"""Settings of one method in one run at most."""

_WORDS = {"true": True, "false": False}


def expand(
    key: str, fields: Sequence[Field], texts: Mapping[str, str], *, draws: int = 20, seed: int = 0
) -> list[dict[str, Scalar]]:
    """Return the settings that ``texts`` describe for the method ``key``, each once and checked.

    ``texts`` maps a knob's name to its text; other knobs are left out. ``draws`` is how many random settings are made
    if a text holds a range.
    Draws depend on the method, the texts and ``seed`` alone. A knob on a log scale is drawn evenly in its logarithm.

    Raises:
        BadSetting: an unknown knob, a value it does not take, an empty or upside-down range, or more than
            :data:`MOST` settings; in words.
    """
    by_name = {field.name: field for field in fields}
    for name in texts:
        if name not in by_name:
            raise BadSetting(f"{key}: unknown setting {name!r} (settings: {', '.join(by_name) or 'none'})")
    read = {name: _read(key, by_name[name], text) for name, text in sorted(texts.items())}
    if any(isinstance(one, _Range) for one in read.values()):
        if not 1 <= draws <= MOST:
            raise BadSetting(f"{key}: from 1 to {MOST} settings can be drawn, not {draws}")
        rng = np.random.default_rng(derive(seed, f"sweep:{key}:{sorted(texts.items())}"))
        settings = [{name: _draw(one, rng) for name, one in read.items()} for _ in range(draws)]
    else:
        size = math.prod(len(one) for one in read.values())
        if size > MOST:
            raise BadSetting(f"{key}: these values make {size:,} settings; at most {MOST} fit into one run")
        settings = [dict(zip(read, values, strict=True)) for values in itertools.product(*read.values())]
    once = {tuple(sorted(one.items())): one for one in settings}
    return list(once.values())


def described(field: Mapping[str, Any]) -> Field:
    """Return the field that :meth:`engine.knobs.Field.describe` described."""
    about = {name: field[name] for name in ("label", "help", "low", "high", "scale", "unit", "advanced")}
    return Field(field["name"], field["kind"], field["default"], Knob(**about, choices=tuple(field["choices"])))


class _Range:
    """A range of one knob, both ends checked and included."""

    def __init__(self, field: Field, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.whole = field.kind == "int"
        self.log = field.knob.scale == "log" and low > 0


def _read(key: str, field: Field, text: str) -> list[Scalar] | _Range:
    parts = [part.strip() for part in re.split(r"[,|\s]+", text.strip()) if part.strip()]
    if not parts:
        raise BadSetting(f"{key}: {field.name} ({field.knob.label}) has no values")
    if len(parts) == 1 and ".." in parts[0]:
        if field.kind not in ("int", "float"):
            raise BadSetting(f"{key}: {field.name} ({field.knob.label}) is no number, so it has no range; list values")
        low, _, high = parts[0].partition("..")
        first, last = (_value(key, field, end) for end in (low, high))
        if not first < last:  # type: ignore[operator]
            raise BadSetting(f"{key}: the range of {field.name} must go up, such as 1..10, not {parts[0]}")
        return _Range(field, float(first), float(last))
    return list(dict.fromkeys(_value(key, field, part) for part in parts))


def _value(key: str, field: Field, text: str) -> Scalar:
    value: object = text
    if field.kind == "bool":
        value = _WORDS.get(text.lower(), text)
    elif field.kind != "str":
        try:
            value = float(text)
        except ValueError:
            value = text
    return field.knob.check(key, field.name, {"int": int, "float": float, "bool": bool, "str": str}[field.kind], value)


def _draw(one: list[Scalar] | _Range, rng: np.random.Generator) -> Scalar:
    if not isinstance(one, _Range):
        return one[int(rng.integers(len(one)))]
    if one.whole and not one.log:
        return int(rng.integers(int(one.low), int(one.high) + 1))
    share = rng.random()
    if one.log:
        value = math.exp(math.log(one.low) + share * (math.log(one.high) - math.log(one.low)))
    else:
        value = one.low + share * (one.high - one.low)
    value = min(max(float(f"{value:.3g}"), one.low), one.high)  # three digits: a setting is read and typed again
    return round(value) if one.whole else value
