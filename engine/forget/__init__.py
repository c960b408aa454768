"""Forget sets: plug-ins that choose which training pictures should be forgotten."""

from __future__ import annotations

from collections.abc import Mapping

from engine import registry
from engine.forget.base import ForgetError, Selector
from engine.knobs import BadSetting


def selectors() -> Mapping[str, type[Selector]]:
    """Return every selector by key, in the order a visitor sees."""
    return registry.discover("engine.forget", Selector)


def make_selector(choice: Mapping[str, object]) -> Selector:
    """Return the selector that ``choice`` names, with its settings; see :func:`engine.registry.make`."""
    return registry.make("engine.forget", Selector, choice, what="forget set")


def parse(text: str) -> Selector:
    """Read a command-line form such as ``random:50``, ``class:3,5`` or ``indices:FILE``.

    A file is read here and now: the selector holds the numbers, so that a recipe never holds a path.

    Raises:
        ForgetError: an unknown kind or settings that do not fit; one sentence that shows the right forms.
    """
    kinds = selectors()
    kind, colon, rest = text.strip().partition(":")
    kind = kind.strip()
    if kind not in kinds:
        forms = ", ".join(form for selector in kinds.values() for form in selector.forms[:1])
        raise ForgetError(f"{text!r} is not a forget set; write one of {forms}")
    if not colon or not rest.strip():
        raise ForgetError(f"{text!r} does not say what to forget; write it like {' or '.join(kinds[kind].forms)}")
    try:
        return kinds[kind].parse(rest.strip())
    except ForgetError:
        raise
    except BadSetting as error:
        raise ForgetError(f"{error}; write it like {' or '.join(kinds[kind].forms)}") from error
