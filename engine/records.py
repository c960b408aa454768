"""Recipes: everything that decides the numbers of a run, frozen, JSON in and out.

A recipe says everything about a run and nothing about where it runs; its canonical JSON is what gets hashed, so the
same recipe gives the same numbers from a click, the command line or a cluster.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from engine.knobs import BadSetting, Scalar
from engine.training import EnsembleSize, Measuring, Training

RECIPE_FORMAT = 1
SPLITS = ("forget", "retain", "test")
EARLIER = "earlier"
"""A fourth split that only a later request of a sequence has: the pictures that earlier requests removed."""
MOST_REQUESTS = 20
"""Requests of a sequence at most: each stands on the networks that the one before it left."""


def canonical(value: object) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces and no NaN, the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """Return the first 32 hex digits (128 bits) of the SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Choice:
    """One plug-in picked by key, with its settings: ``{"key": "random", "n": 50}`` in JSON."""

    key: str
    settings: Mapping[str, Scalar] = field(default_factory=dict)

    def to_json(self) -> dict[str, Scalar]:
        """Return ``{"key": ..., **settings}``."""
        return {"key": self.key, **self.settings}

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            BadSetting: not an object, no key, or a setting that is not a finite number, a truth value or text.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("key"), str) or not value["key"]:
            raise BadSetting(f'recipe: {where} must be an object with a "key", such as {{"key": "digits"}}')
        settings = {str(k): v for k, v in value.items() if k != "key"}
        for name, setting in settings.items():
            if not isinstance(setting, int | float | bool | str):
                raise BadSetting(f"recipe: {where}.{name} must be a number, true, false or text")
            if isinstance(setting, float) and not math.isfinite(setting):
                raise BadSetting(f"recipe: {where}.{name} must be finite, not {setting!r}")
        # JSON may hold half of a surrogate pair, which has no bytes to hash or to store.
        for text in (value["key"], *settings, *(v for v in settings.values() if isinstance(v, str))):
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise BadSetting(f"recipe: {where} holds text that is not valid Unicode: {text!r}")
        return cls(value["key"], settings)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the numbers of a run.

    ``before`` are the requests that were carried out before this one, in order: the methods go on from the networks
    that they left, and their pictures are not retained. ``seed`` feeds every random stream through
    :func:`engine.seeds.derive`, so model i depends only on (recipe part, seed, i).
    """

    dataset: Choice
    model: Choice
    training: Training
    forget: Choice
    methods: tuple[Choice, ...]
    ensemble: EnsembleSize = field(default_factory=EnsembleSize)
    measuring: Measuring = field(default_factory=Measuring)
    seed: int = 0
    before: tuple[Choice, ...] = ()

    @property
    def requests(self) -> tuple[Choice, ...]:
        """Every forget choice in the order of the requests; this recipe's own is the last."""
        return (*self.before, self.forget)

    def sequence(self) -> tuple[Recipe, ...]:
        """Return one recipe per request, from the first to this one: what to run to see each of them."""
        requests = self.requests
        return tuple(dataclasses.replace(self, before=requests[:i], forget=one) for i, one in enumerate(requests))

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON data; :meth:`from_json` reads it back unchanged."""
        return {
            "format": RECIPE_FORMAT,
            "dataset": self.dataset.to_json(),
            "model": self.model.to_json(),
            "training": self.training.settings(),
            "before": [one.to_json() for one in self.before],
            "forget": self.forget.to_json(),
            "methods": [method.to_json() for method in self.methods],
            "ensemble": self.ensemble.settings(),
            "measuring": self.measuring.settings(),
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a recipe from plain JSON data; plug-in keys are checked later, by ``engine.experiment.resolve``.

        Raises:
            BadSetting: the first thing that is wrong, in words.
        """
        if not isinstance(value, Mapping):
            raise BadSetting("a recipe is a JSON object; `python -m engine recipe` prints one")
        parts = (
            "format",
            "dataset",
            "model",
            "training",
            "before",
            "forget",
            "methods",
            "ensemble",
            "measuring",
            "seed",
        )
        known = set(parts)
        unknown = sorted(set(map(str, value)) - known)
        if unknown:
            raise BadSetting(f"recipe: unknown part {unknown[0]!r} (parts: {', '.join(sorted(known))})")
        if value.get("format") != RECIPE_FORMAT:
            raise BadSetting(f"recipe: format must be {RECIPE_FORMAT}, not {value.get('format')!r}")
        methods = value.get("methods")
        if not isinstance(methods, Sequence) or isinstance(methods, str) or not methods:
            raise BadSetting("recipe: methods must be a list with at least one method")
        seed = value.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise BadSetting(f"recipe: seed must be a whole number from 0 to 2^63 - 1, not {seed!r}")
        before = value.get("before", [])
        if not isinstance(before, Sequence) or isinstance(before, str):
            raise BadSetting("recipe: before must be a list of forget sets, the requests that came earlier")
        if len(before) >= MOST_REQUESTS:
            raise BadSetting(f"recipe: a sequence has at most {MOST_REQUESTS} requests, not {len(before) + 1}")
        chosen = tuple(Choice.from_json(m, f"methods[{i}]") for i, m in enumerate(methods))
        if len({digest(m.to_json()) for m in chosen}) != len(chosen):
            raise BadSetting("recipe: the same method with the same settings is listed twice")
        return cls(
            dataset=Choice.from_json(value.get("dataset"), "dataset"),
            model=Choice.from_json(value.get("model"), "model"),
            training=Training.from_settings(_part(value, "training")),
            forget=Choice.from_json(value.get("forget"), "forget"),
            methods=chosen,
            ensemble=EnsembleSize.from_settings(_part(value, "ensemble")),
            measuring=Measuring.from_settings(_part(value, "measuring")),
            seed=seed,
            before=tuple(Choice.from_json(one, f"before[{i}]") for i, one in enumerate(before)),
        )

    def methods_ids(self) -> tuple[str, ...]:
        """Return a short name per method, unique within the recipe: its key, and a digest where a key repeats."""
        keys = [m.key for m in self.methods]
        return tuple(m.key if keys.count(m.key) == 1 else f"{m.key}-{digest(m.to_json())[:6]}" for m in self.methods)

    def hash(self) -> str:
        """Return the recipe's identity: 32 hex digits over its canonical JSON."""
        return digest(self.to_json())


def _part(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = value.get(name, {})
    if not isinstance(part, Mapping):
        raise BadSetting(f"recipe: {name} must be an object")
    return part
