"""Settings that every recipe has: how models are trained, how many there are, how KLOM is reported."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated

from engine.knobs import Configured, Knob

MOMENTS = 12
"""Looks at an unlearning run on its way, evenly spread, besides step 0; the last one is the result."""


@dataclass(frozen=True)
class Training(Configured):
    """How every model is trained: originals, oracles and retrains alike."""

    key = "training"

    epochs: Annotated[int, Knob("epochs", "Passes over the training set.", low=1, high=1000)] = 20
    batch_size: Annotated[
        int, Knob("batch size", "Examples per step; the last batch of an epoch may be smaller.", low=1, high=8192)
    ] = 64
    optimizer: Annotated[
        str,
        Knob(
            "optimizer", "The update rule; signsgd steps by the gradient's signs.", choices=("sgd", "adam", "signsgd")
        ),
    ] = "sgd"
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
    restricted: Annotated[
        str,
        Knob(
            "restricted gradient",
            "Whose gradient gradient restriction keeps short: that of each batch, or of each example on average, which "
            "takes a third more.",
            choices=("batch", "example"),
            advanced=True,
        ),
    ] = "batch"
    clip: Annotated[
        float,
        Knob(
            "gradient clipping",
            "Longest gradient of a step; a longer one is shortened to it. 0: none is.",
            low=0,
            high=1000,
            advanced=True,
        ),
    ] = 0.0
    crop: Annotated[
        int,
        Knob(
            "random crop",
            "Most pixels by which a picture is shifted, anew at each visit, with black beyond its edge. 0: never.",
            low=0,
            high=32,
            advanced=True,
        ),
    ] = 0
    flip: Annotated[
        bool,
        Knob(
            "random flip",
            "Mirrors every second picture, left to right, anew at each visit; wrong for digits and letters.",
            advanced=True,
        ),
    ] = False
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

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Return why pictures of ``shape`` (c, h, w) cannot be trained on like this; a row of a table is (D, 1, 1)."""
        if shape[1:] == (1, 1) and (self.crop or self.flip):
            return "Rows of a table cannot be shifted or mirrored: set random crop to 0 and random flip to off."
        if self.crop >= min(shape[1:]):
            return f"A random crop of {self.crop} pixels leaves nothing of pictures {min(shape[1:])} pixels wide."
        return None

    @property
    def restricts_examples(self) -> bool:
        """Whether the GR loss looks at the gradient of each example."""
        return self.restriction > 0 and self.restricted == "example"

    @property
    def augmented(self) -> bool:
        """Whether a network sees another view of a picture at each visit: :mod:`engine.augmentation`."""
        return self.crop > 0 or self.flip

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

        Forward 1, backward 2; differentiating both once more, which the GR loss needs, twice those 3; the GR loss of
        each example does all of it beside the plain 3. With shards an example goes through one of as many networks of
        equal size, so that share of the whole.
        """
        each = 12.0 if self.restricts_examples else 9.0 if self.restriction else 3.0
        return each / self.shards

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
    """How KLOM is reported, and how often runs are looked at on their way to it."""

    key = "measuring"

    convention: Annotated[
        str,
        Knob(
            "KLOM convention",
            "paper: KL(oracle || unlearned) as defined; easydub: the released benchmark code, to the digit.",
            choices=("paper", "easydub"),
        ),
    ] = "paper"
    moments: Annotated[
        int,
        Knob(
            "moments",
            "How often each method's run is looked at on its way, evenly spread, at most once a step; more show more, "
            "and each costs a look at up to 1,500 points.",
            low=2,
            high=500,
            advanced=True,
        ),
    ] = MOMENTS
    bootstrap: Annotated[
        int, Knob("bootstrap", "Resamples of the models behind the interval.", low=20, high=5000, advanced=True)
    ] = 200
