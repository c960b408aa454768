"""A method taken apart: the runs that show what each of its parts adds, on the same data and forget set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.records import Choice, Recipe
from engine.training import Training


def apart(
    recipe: Recipe,
    method: Choice,
    *,
    called: Sequence[Mapping[str, Any]],
    published: Mapping[str, Any],
    defaults: Mapping[str, Any],
    idle: Choice,
) -> tuple[Recipe, ...]:
    """Return the recipes that measure a method's parts and then the whole.

    ``called`` are the parts that have a name of their own: those with ``settings`` run on a plain training, beside the
    method without them; one with ``training`` is that method itself. ``published`` is what the whole asks of the
    training, ``defaults`` every knob of the method, and ``idle`` does nothing, measured beside each training's
    networks.

    Source: Efficient Machine Unlearning via Influence Approximation, figure 2: IA, IA+GC, IAU.
    """
    settings = {name: method.settings.get(name, value) for name, value in defaults.items()}
    named = [one["settings"] for one in called if one.get("settings")]
    touched = {name: defaults[name] for one in named for name in one}
    whole = Choice(method.key, {**settings, **touched})
    parts = [Choice(method.key, {**whole.settings, **one}) for one in named]
    plain = {name: getattr(Training(), name) for name in published}
    first = replace(recipe, methods=(idle, *parts, whole), training=replace(recipe.training, **plain))
    if not published:
        return (first,)
    return first, replace(recipe, methods=(idle, whole), training=replace(recipe.training, **published))
