"""Typed settings: one declaration is default, validation, form widget, command-line flag, recipe field and document.

A configurable thing is a frozen dataclass that derives from :class:`Configured`; each field is
``Annotated[type, Knob(...)]`` with ``type`` one of ``int``, ``float``, ``bool``, ``str``::

    @dataclass(frozen=True)
    class GradientDescent(Unlearner):
        lr: Annotated[float, Knob("learning rate", "Step length.", low=0, high=1, scale="log")] = 1e-3
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

Scalar = int | float | bool | str


class BadSetting(ValueError):
    """A setting is missing, unknown, of the wrong type or out of bounds; the text says which and what is allowed."""


@dataclass(frozen=True, slots=True)
class Knob:
    """What one setting means and which values it may take.

    ``low`` and ``high`` are inclusive bounds of numbers; ``choices`` lists the only values allowed; ``scale`` tells a
    form how to space a slider; ``unit`` is printed behind the value; ``advanced`` knobs are folded away at first.
    """

    label: str
    help: str
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    unit: str = ""
    choices: tuple[str, ...] = ()
    advanced: bool = False

    def check(self, owner: str, name: str, kind: type, value: object) -> Scalar:
        """Return ``value`` as ``kind``, or raise :class:`BadSetting` naming ``owner`` and the field ``name``."""
        what = f"{owner}: {name} ({self.label})"
        if kind is bool:
            if not isinstance(value, bool):
                raise BadSetting(f"{what} must be true or false, not {value!r}")
            return value
        if kind is str:
            if not isinstance(value, str):
                raise BadSetting(f"{what} must be text, not {value!r}")
            if self.choices and value not in self.choices:
                raise BadSetting(f"{what} must be one of {', '.join(self.choices)}, not {value!r}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadSetting(f"{what} must be a number, not {value!r}")
        try:
            finite = math.isfinite(value)
        except OverflowError:  # a whole number of hundreds of digits
            raise BadSetting(f"{what} is far out of range") from None
        if not finite:
            raise BadSetting(f"{what} must be finite, not {value!r}")
        if kind is int and value != int(value):
            raise BadSetting(f"{what} must be a whole number, not {value!r}")
        if self.low is not None and value < self.low:
            raise BadSetting(f"{what} must be at least {self.low:g}, not {value:g}")
        if self.high is not None and value > self.high:
            raise BadSetting(f"{what} must be at most {self.high:g}, not {value:g}")
        return kind(value)


@dataclass(frozen=True, slots=True)
class Field:
    """One knob of one class, as forms, flags and documents need it."""

    name: str
    kind: Literal["int", "float", "bool", "str"]
    default: Scalar
    knob: Knob

    def describe(self) -> dict[str, Any]:
        """Return the field as plain JSON data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "default": self.default,
            **dataclasses.asdict(self.knob),
            "choices": list(self.knob.choices),
        }


_KINDS: dict[type, Literal["int", "float", "bool", "str"]] = {int: "int", float: "float", bool: "bool", str: "str"}


@dataclass(frozen=True)
class Configured:
    """Base of everything with knobs: a frozen value that checks itself when it is made.

    ``key`` is the snake-case name used in recipes and on the command line.
    """

    key: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check every knob; whole numbers given for floats become floats, so equal settings hash equally."""
        for field in self.fields():
            kind = {"int": int, "float": float, "bool": bool, "str": str}[field.kind]
            value = field.knob.check(self.key or type(self).__name__, field.name, kind, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @classmethod
    @functools.cache
    def fields(cls) -> tuple[Field, ...]:
        """Return the knobs of this class in the order they are declared; worked out once per class.

        Raises:
            TypeError: a field lacks a knob or has a type other than int, float, bool or str.
        """
        hints = typing.get_type_hints(cls, include_extras=True)
        knobs = []
        for field in dataclasses.fields(cls):
            hint = hints[field.name]
            knob = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Knob)), None)
            if typing.get_origin(hint) is not Annotated or knob is None:
                raise TypeError(f"{cls.__name__}.{field.name} must be Annotated[type, Knob(...)]")
            kind = typing.get_args(hint)[0]
            if kind not in _KINDS:
                raise TypeError(f"{cls.__name__}.{field.name} must be int, float, bool or str, not {kind!r}")
            knobs.append(Field(field.name, _KINDS[kind], field.default, knob))
        return tuple(knobs)

    @classmethod
    def from_settings(cls, settings: Mapping[str, object]) -> Self:
        """Make a configured value from plain data; what is left out takes its default.

        Raises:
            BadSetting: an unknown name, a wrong type or a value out of bounds; the text names this class.
        """
        names = [f.name for f in cls.fields()]
        for name in settings:
            if name not in names:
                allowed = ", ".join(names) if names else "none"
                raise BadSetting(f"{cls.key or cls.__name__}: unknown setting {name!r} (settings: {allowed})")
        return cls(**settings)  # type: ignore[arg-type]

    def settings(self) -> dict[str, Scalar]:
        """Return every knob's value as plain JSON data; ``from_settings`` reads it back."""
        return {f.name: getattr(self, f.name) for f in self.fields()}
