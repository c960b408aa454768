"""Tuning a method: a few settings on a few networks, the best of them measured again on networks that are fresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.forget.base import spans
from engine.knobs import Field
from engine.metrics import headline
from engine.metrics.scores import Scores
from engine.records import Choice, Recipe
from engine.seeds import derive
from engine.sweep import expand

MOST = 8
"""Settings tried, those at hand among them."""
CHOOSE, MEASURE = 16, 40
"""Networks that the settings are chosen on, and that the choice is measured on."""


@dataclass(frozen=True)
class Choosing:
    """What a tuning measured: the settings, how far they are from the oracles, and the same of those it began with.

    ``worse`` is the larger of forget and retain KLOM, in nats, by which settings are ranked; ``interval`` is that of
    the forget KLOM; ``nothing`` what doing nothing scores.
    """

    settings: Mapping[str, Any]
    worse: float
    forget: float
    retain: float
    interval: tuple[float, float] | None
    floor: float | None
    nothing: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**vars(self), "settings": dict(self.settings)}


@dataclass(frozen=True)
class Tunable:
    """What tuning needs of a method: its ``key``, knobs, the values worth trying (``tuned``), and the ``idle`` method.

    The idle one does nothing; every setting is compared with it.
    """

    key: str
    fields: Sequence[Field]
    tuned: Mapping[str, str]
    idle: Choice

    def whole(self, settings: Mapping[str, Any]) -> Choice:
        """Return the method with every knob given: those of ``settings``, the others by default."""
        return Choice(self.key, {field.name: settings.get(field.name, field.default) for field in self.fields})


def candidates(method: Tunable, settings: Mapping[str, Any], *, seed: int) -> list[Choice]:
    """Return the settings to try: those at hand first, then others of the method's grid, drawn from ``seed``."""
    here = method.whole(settings)
    grid = expand(method.key, method.fields, method.tuned) if method.tuned else []
    others = [choice for choice in (method.whole({**here.settings, **one}) for one in grid) if choice != here]
    rng = np.random.default_rng(derive(seed, f"tune:{method.key}"))
    return [here, *(others[i] for i in sorted(rng.permutation(len(others))[: MOST - 1]))]


def choosing(recipe: Recipe, method: Tunable, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe that tries the settings, beside doing nothing, on the recipe's data and forget set."""
    tried = candidates(method, settings, seed=recipe.seed)
    return _sized(replace(recipe, methods=(method.idle, *tried)), CHOOSE)


def measuring(
    recipe: Recipe,
    method: Tunable,
    settings: Mapping[str, Any],
    chosen: Choice,
    *,
    pictures: np.ndarray | None = None,
) -> Recipe:
    """Return the recipe that measures the choice on networks of another seed, beside the settings it began with.

    ``pictures`` (F,) are those that were forgotten when it was chosen: by number, for another seed would draw others.
    """
    if pictures is not None and not recipe.before:
        recipe = replace(recipe, forget=Choice("indices", {"indices": spans(pictures), "name": ""}))
    here = method.whole(settings)
    seed = derive(recipe.seed, "tune: fresh networks") % 2**31
    methods = (method.idle, here, *([] if chosen == here else [chosen]))
    return _sized(replace(recipe, methods=methods, seed=seed), MEASURE)


def ranked(recipe: Recipe, idle: str, scores: Mapping[str, Scores]) -> list[Choosing]:
    """Return what was measured of each setting of a recipe, the best first; ``scores`` by method id.

    Ranked by the larger of forget and retain KLOM. One that breaks networks or stopped is not ranked; ``idle`` is the
    key of the method that does nothing.
    """
    metric = headline()
    both = list(zip(recipe.methods, recipe.methods_ids(), strict=True))
    nothing = next((scores[name].value(metric, "forget") for c, name in both if c.key == idle and name in scores), None)
    measured = []
    for choice, name in both:
        one = scores.get(name)
        if choice.key == idle or one is None or one.broken:
            continue
        forget, retain = (one.value(metric, split) for split in ("forget", "retain"))
        if forget is None or retain is None:
            continue
        low, high = (one.value(metric, "forget", part) for part in ("low", "high"))
        interval = None if low is None or high is None else (low, high)
        floor = one.value(metric, "forget", "floor")
        measured.append(Choosing(choice.settings, max(forget, retain), forget, retain, interval, floor, nothing))
    return sorted(measured, key=lambda one: one.worse)


def best(recipe: Recipe, idle: str, scores: Mapping[str, Scores]) -> Choice | None:
    """Return the setting of a finished :func:`choosing` that is nearest to the oracles; None if none can be ranked."""
    key = next((choice.key for choice in recipe.methods if choice.key != idle), "")
    order = ranked(recipe, idle, scores)
    return Choice(key, dict(order[0].settings)) if order else None


def _sized(recipe: Recipe, models: int) -> Recipe:
    chunk = min(recipe.ensemble.chunk, models)
    return replace(recipe, ensemble=replace(recipe.ensemble, models=models, chunk=chunk))
