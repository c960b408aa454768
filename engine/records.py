"""The words that cross between layers: cards, training specs and recipes. Frozen, JSON in and out, no tensors.

A recipe says everything about a run and nothing about where it runs; its canonical JSON is what gets hashed, so the
same recipe gives the same numbers from a click, the command line or a cluster.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from engine.knobs import BadSetting, Configured, Knob, Scalar

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
class Card:
    """What a plug-in is, in words a page can show.

    ``summary`` is one sentence for a newcomer. ``reads`` names what a method may look at. ``departs`` says where and
    why we differ from the paper; empty means we do not. ``arxiv`` is the bare number. ``claims`` names the kinds of
    request the paper makes a claim about (:data:`engine.claims.CLAIMS`); none means any.
    """

    name: str
    summary: str
    family: str = ""
    formula: str = ""
    reads: tuple[str, ...] = ()
    cost: str = ""
    paper: str = ""
    year: int = 0
    arxiv: str = ""
    departs: str = ""
    fails: str = ""
    better: Literal["", "lower", "higher", "oracle"] = ""
    unit: str = ""
    claims: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the card as plain JSON data."""
        return {**dataclasses.asdict(self), "reads": list(self.reads), "claims": list(self.claims)}


REFERENCES = ("", "do nothing", "retrain", "partial retrain")
"""Kinds of reference, there to be compared with; a method that is tried is none."""


@dataclass(frozen=True)
class MethodFacts:
    """What a view needs of a method with its settings, besides its name.

    ``starts`` is where its step 0 stands, "original" or "fresh"; ``reference`` one of :data:`REFERENCES`.
    """

    key: str = ""
    starts: str = "original"
    reference: str = ""


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
class Training(Configured):
    """How every model is trained: originals, oracles and retrains alike."""

    key = "training"

    epochs: Annotated[int, Knob("epochs", "Passes over the training set.", low=1, high=1000)] = 20
    batch_size: Annotated[
        int, Knob("batch size", "Examples per step; the last batch of an epoch may be smaller.", low=1, high=8192)
    ] = 64
    optimizer: Annotated[str, Knob("optimizer", "The update rule.", choices=("sgd", "adam"))] = "sgd"
    lr: Annotated[float, Knob("learning rate", "Peak step length.", low=1e-7, high=10, scale="log")] = 0.1
    schedule: Annotated[
        str,
        Knob(
            "schedule",
            "Learning rate over time: constant; cosine to zero; one_cycle rises to its peak and falls as a cosine.",
            choices=("constant", "cosine", "one_cycle"),
        ),
    ] = "cosine"
    warmup: Annotated[
        float, Knob("warm-up share", "Where one_cycle peaks, as a share of all steps.", low=0, high=0.9, advanced=True)
    ] = 0.2
    momentum: Annotated[float, Knob("momentum", "SGD momentum; Adam ignores it.", low=0, high=0.999)] = 0.9
    weight_decay: Annotated[
        float, Knob("weight decay", "L2 pull towards zero, added to the gradient.", low=0, high=1, scale="log")
    ] = 5e-4
    label_smoothing: Annotated[
        float, Knob("label smoothing", "Share of the target spread over all classes.", low=0, high=0.5, advanced=True)
    ] = 0.0
    precision: Annotated[
        str,
        Knob(
            "precision",
            "Arithmetic while training; margins are always float32. bf16 pays on a GPU.",
            choices=("float32", "bf16"),
            advanced=True,
        ),
    ] = "float32"
    restriction: Annotated[
        float,
        Knob(
            "gradient restriction",
            "GR loss: adds this times the length of the loss's gradient; a step then costs three times as much.",
            low=0,
            high=1,
            advanced=True,
        ),
    ] = 0.0
    deviation: Annotated[
        float,
        Knob(
            "logit deviation",
            "SD loss: adds this times the standard deviation of each picture's logits.",
            low=0,
            high=100,
            advanced=True,
        ),
    ] = 0.0
    shards: Annotated[
        int,
        Knob(
            "shards",
            "Cuts the training set into as many parts, each with a network of its own; together they vote. SISA then "
            "retrains only the parts it must. 1: one network learns everything.",
            low=1,
            high=64,
            advanced=True,
        ),
    ] = 1
    slices: Annotated[
        int,
        Knob(
            "slices",
            "Each network learns its part slice by slice and is kept after each, so that SISA can go back to the last "
            "one without a forgotten picture. Takes as many times the disk.",
            low=1,
            high=32,
            advanced=True,
        ),
    ] = 1
    vote: Annotated[
        str,
        Knob(
            "vote",
            "How the shards' networks answer together: by their mean probabilities, or each with one vote.",
            choices=("mean", "majority"),
            advanced=True,
        ),
    ] = "mean"

    trajectory: Annotated[
        bool,
        Knob(
            "keep the trajectory",
            "Originals keep the gradient of every step, for DeltaGrad: steps x weights x 4 bytes of disk per model.",
            advanced=True,
        ),
    ] = False
    patience: Annotated[
        int,
        Knob(
            "patience",
            "Early stopping: a model stops after this many epochs in which its held-out loss did not fall, and keeps "
            "its best weights; epochs are then the most it may take. 0 never stops.",
            low=0,
            high=1000,
            advanced=True,
        ),
    ] = 0
    held_out: Annotated[
        float,
        Knob(
            "held-out share",
            "With patience: the share of the training pictures that a model does not train on and that says when to "
            "stop, drawn for each model.",
            low=0.01,
            high=0.5,
            advanced=True,
        ),
    ] = 0.1

    @property
    def sharded(self) -> bool:
        """Whether the training set is cut: :mod:`engine.sharding` trains then."""
        return self.shards > 1 or self.slices > 1

    def held(self, n: int) -> int:
        """Return how many of ``n`` training pictures are held out for early stopping: at least one and not all."""
        return min(n - 1, max(1, round(self.held_out * n))) if self.patience else 0

    @property
    def passes(self) -> float:
        """What a training step costs for each example: forward-equivalent passes of the whole network.

        Forward 1, backward 2; differentiating both once more, which the GR loss needs, twice those 3. With shards an
        example goes through one of as many networks of equal size, so that share of the whole.
        """
        return (9.0 if self.restriction else 3.0) / self.shards

    @property
    def slice_epochs(self) -> tuple[int, ...]:
        """How many epochs are trained on slice 1, on slices 1 to 2, and so on to all: at least one each.

        The paper's rule, e_r = 2 epochs / (slices + 1), makes the whole as long as ``epochs`` over everything. Its
        fractions are carried over from slice to slice, not rounded away in each.
        """
        ends = [int(2 * self.epochs * r / (self.slices + 1) + 0.5) for r in range(self.slices + 1)]
        return tuple(max(1, after - before) for before, after in itertools.pairwise(ends))

    @property
    def visits(self) -> float:
        """How often an example is trained on, on average over the slices; without slices the number of epochs."""
        return sum(r * epochs for r, epochs in enumerate(self.slice_epochs, 1)) / self.slices


@dataclass(frozen=True)
class EnsembleSize(Configured):
    """How many models, and how they are cut into units of work."""

    key = "ensemble"

    models: Annotated[
        int,
        Knob("models", "Models per ensemble; the papers use 100, fewer raise the noise floor.", low=2, high=10_000),
    ] = 100
    chunk: Annotated[
        int,
        Knob("chunk", "Models per unit of work: of retry, of distribution, of live display.", low=1, high=1000,
             advanced=True),
    ] = 20  # fmt: skip
    strategy: Annotated[
        str,
        Knob(
            "strategy",
            "stacked trains all models of a chunk in one pass, looped one at a time; auto times both once.",
            choices=("auto", "stacked", "looped"),
            advanced=True,
        ),
    ] = "auto"

    def chunks(self) -> tuple[tuple[int, int], ...]:
        """Return the half-open ranges of model numbers, each at most ``chunk`` long, that cover all models."""
        return tuple((i, min(i + self.chunk, self.models)) for i in range(0, self.models, self.chunk))


@dataclass(frozen=True)
class Measuring(Configured):
    """How KLOM is reported."""

    key = "measuring"

    convention: Annotated[
        str,
        Knob(
            "KLOM convention",
            "paper: KL(oracle || unlearned) as defined; easydub: the released benchmark code, to the digit.",
            choices=("paper", "easydub"),
        ),
    ] = "paper"
    bootstrap: Annotated[
        int, Knob("bootstrap", "Resamples of the models behind the interval.", low=20, high=5000, advanced=True)
    ] = 200


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
    ensemble: EnsembleSize = EnsembleSize()
    measuring: Measuring = Measuring()
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
