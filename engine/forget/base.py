"""What a forget-set selector is: settings, what it looks at, and the checks every forget set must pass. numpy only."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from engine.cards import RANDOM, Card
from engine.data.base import ImageData
from engine.knobs import BadSetting, Configured, Knob, Scalar
from engine.records import digest
from engine.seeds import derive

Count = Annotated[int, Knob("how many", "Training pictures to forget.", low=1, high=10_000_000)]
"""The knob of every selector that takes a number of pictures."""

Space = Annotated[
    str,
    Knob(
        "compare by",
        "features: what one original network sees, its penultimate layer; pixels: the raw pictures (of a table its "
        "standardised columns).",
        choices=("features", "pixels"),
    ),
]
"""The knob of every selector that compares pictures with one another."""


class ForgetError(BadSetting):
    """A forget set cannot be made; the text says why and what to do about it."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What a selector may look at.

    ``features`` float32 (N, D): penultimate features of one original over the training set. ``margins`` float32 (M, N):
    margins of the originals on the training set. Each is None unless the selector's :meth:`Selector.needs` names it.
    ``prerequisites`` are the others that it needs, by word (:mod:`engine.prerequisites`): arrays whose last axis are
    the training pictures, such as "memorisation scores", float32 (N,).
    """

    data: ImageData
    features: np.ndarray | None = None
    margins: np.ndarray | None = None
    prerequisites: Mapping[str, np.ndarray] = field(default_factory=dict)

    def vectors(self, space: str) -> np.ndarray:
        """Return one row per training picture, float32 (N, D): its ``features`` or its ``pixels`` from 0 to 1.

        The pixels of a table are its standardised features.

        Raises:
            ForgetError: the features are missing, of the wrong length or not finite.
        """
        n = len(self.data.y_train)
        if space == "pixels":
            return self.data.vectors()  # (N, D)
        if self.features is None:
            raise ForgetError("this forget set compares features, which need a trained original; use pixels instead")
        if self.features.ndim != 2 or len(self.features) != n:
            raise ForgetError(f"features must be ({n}, D), one row per training picture, not {self.features.shape}")
        if not np.isfinite(self.features).all():
            raise ForgetError("the original's features are not finite, its training diverged; lower the learning rate")
        return self.features.astype(np.float32, copy=False)  # (N, D)

    def mean_margins(self) -> np.ndarray:
        """Return the margin of each training picture averaged over the originals, float64 (N,).

        Raises:
            ForgetError: the margins are missing, of the wrong length or not finite.
        """
        n = len(self.data.y_train)
        if self.margins is None:
            raise ForgetError("this forget set looks at margins, which need trained originals")
        if self.margins.ndim != 2 or self.margins.shape[1] != n:
            raise ForgetError(f"margins must be (M, {n}), one column per training picture, not {self.margins.shape}")
        if not np.isfinite(self.margins).all():
            raise ForgetError("an original's margins are not finite, its training diverged; lower the learning rate")
        return self.margins.mean(axis=0, dtype=np.float64)  # (M, N) -> (N,)

    def memorised(self) -> np.ndarray:
        """Return how much each training picture is memorised, float32 (N,), from -1 to 1.

        Raises:
            ForgetError: the scores are missing, of the wrong length or not finite.
        """
        n, scores = len(self.data.y_train), self.prerequisites.get("memorisation scores")
        if scores is None:
            raise ForgetError("this forget set looks at memorisation, which needs networks trained on halves")
        if scores.shape != (n,):
            raise ForgetError(f"scores must be ({n},), one for each training picture, not {scores.shape}")
        if not np.isfinite(scores).all():
            raise ForgetError("a network on a half answers with no numbers, its training diverged; lower the rate")
        return scores


@dataclass(frozen=True, eq=False)
class Left:
    """The training pictures that earlier requests of a sequence left.

    ``data`` are all of them; ``gone`` int64 (N,) the number of the request that removed a picture, 0 where it is
    still there; ``request`` the number of the one that asks now, from 2.
    """

    data: ImageData
    gone: np.ndarray
    request: int

    @property
    def remaining(self) -> np.ndarray:
        """The numbers of the pictures that are left, int64 (n,), ascending."""
        return np.flatnonzero(self.gone == 0)

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """Return where training pictures (F,) stand among those that are left, (F,).

        Raises:
            ForgetError: an earlier request removed one of them, or there is no such picture.
        """
        given = checked(numbers, self.data)  # (F,)
        removed = given[self.gone[given] > 0]
        if removed.size:
            raise ForgetError(
                f"request {self.request} asks for training picture {removed[0]}{_more(removed)}, which request "
                f"{self.gone[removed[0]]} already removed; take it out of one of them"
            )
        return np.searchsorted(self.remaining, given)


@dataclass(frozen=True)
class Selector(Configured, abc.ABC):
    """A rule for which training pictures should be forgotten. Discovered by scanning ``engine/forget``.

    ``forms`` are examples of its command-line form. What the card's ``reads`` lists is what it may ask for in the
    :class:`Scene` besides the data: "features", "margins", or the word of a prerequisite. ``names_pictures`` says that
    the same settings always mean the same pictures, so that a second such request has nothing left to ask for.
    """

    card: ClassVar[Card]
    order: ClassVar[int] = 100
    forms: ClassVar[tuple[str, ...]] = ()
    names_pictures: ClassVar[bool] = False
    suits: ClassVar[str] = RANDOM
    """Which presets of methods fit what it chooses, one of :data:`engine.cards.PRESETS`."""

    def among(self, left: Left) -> Self:
        """Return the selector that chooses the same among the pictures that earlier requests left.

        One whose settings hold numbers of pictures must count them anew.

        Raises:
            ForgetError: it names pictures that an earlier request removed.
        """
        del left
        return self

    def looks(self) -> tuple[str, ...]:
        """Return what these settings look at besides labels and numbers: "pixels", or what the card reads."""
        return self.card.reads

    def needs(self) -> tuple[str, ...]:
        """Return what must be computed before it can choose: all that it looks at but the pixels."""
        return tuple(what for what in self.looks() if what != "pixels")

    def prerequisite_settings(self) -> Mapping[str, Mapping[str, Scalar]]:
        """Return the settings of the prerequisites it needs, by word; none stands for the defaults."""
        return {}

    @abc.abstractmethod
    def title(self) -> str:
        """Return the forget set's name for people, such as "random 50"."""

    @abc.abstractmethod
    def select(self, scene: Scene, *, seed: int) -> np.ndarray:
        """Return the numbers of the training pictures to forget, int64 (F,), sorted, each once.

        The same settings, scene and seed give the same pictures.

        Raises:
            ForgetError: the choice leaves nothing to forget or nothing to retain, or does not fit the data.
        """

    @classmethod
    @abc.abstractmethod
    def parse(cls, text: str) -> Self:
        """Read the settings from the command-line form, the part after the colon.

        Raises:
            BadSetting: not in this selector's form, or a value out of bounds.
        """


@dataclass(frozen=True, eq=False)
class ForgetSet:
    """A finished forget set: its name, the selector's key, the pictures' numbers int64 (F,), and its identity.

    ``hash`` covers the data and the numbers, so two ways to choose the same pictures share their oracles.
    """

    name: str
    kind: str
    indices: np.ndarray
    hash: str

    def __len__(self) -> int:
        return len(self.indices)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; the numbers are spelled as by :func:`spans`."""
        return {"name": self.name, "kind": self.kind, "indices": spans(self.indices), "hash": self.hash}


def forget_set(selector: Selector, scene: Scene, *, seed: int) -> ForgetSet:
    """Let ``selector`` choose, check its choice and name it.

    Raises:
        ForgetError: as :meth:`Selector.select`.
    """
    indices = checked(selector.select(scene, seed=seed), scene.data)
    return ForgetSet(selector.title(), selector.key, indices, identity(indices, scene.data.hash))


def identity(indices: np.ndarray, data_hash: str) -> str:
    """Return the identity of a set of training pictures, sorted int64 (F,): what oracles without them are named by."""
    return digest(["forget", data_hash, hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()])


def checked(indices: np.ndarray | Iterable[int], data: ImageData) -> np.ndarray:
    """Return ``indices`` as sorted int64 (F,), checked to be a possible forget set of ``data``.

    Raises:
        ForgetError: empty, every training picture, out of range, duplicates, not whole numbers; in words.
    """
    given = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
    n = len(data.y_train)
    if given.size == 0:
        raise ForgetError(f"the forget set is empty; choose at least one training {data.noun}")
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ForgetError(f"a forget set is a list of whole numbers, not {given.dtype} of shape {given.shape}")
    outside = given[(given < 0) | (given >= n)]
    if outside.size:
        raise ForgetError(
            f"there is no training {data.noun} {outside[0]}{_more(outside)}; "
            f"{data.name} has {n:,}, numbered from 0 to {n - 1} (test {data.noun}s cannot be forgotten)"
        )
    values, times = np.unique(given, return_counts=True)
    twice = values[times > 1]
    if twice.size:
        raise ForgetError(f"training {data.noun} {twice[0]}{_more(twice)} is listed more than once; list each one once")
    if len(values) == n:
        raise ForgetError(
            f"the forget set is the whole training set ({n:,} {data.noun}s), nothing is left to retain; leave some out"
        )
    return values.astype(np.int64)


def checked_count(count: int, data: ImageData) -> int:
    """Return ``count``, checked to be fewer than there are training pictures.

    Raises:
        ForgetError: nothing would be left to retain.
    """
    n = len(data.y_train)
    if count >= n:
        raise ForgetError(
            f"cannot forget {count:,} of the {n:,} training {data.noun}s of {data.name}, nothing would be left to "
            f"retain; choose at most {n - 1:,}"
        )
    return count


def generator(seed: int, role: str) -> np.random.Generator:
    """Return the random stream of one selector."""
    return np.random.default_rng(derive(seed, f"forget:{role}"))


def words(text: str, *, form: str, least: int = 1, most: int) -> list[str]:
    """Split a command-line form at its commas.

    Raises:
        ForgetError: fewer than ``least`` or more than ``most`` parts, or an empty one; the text shows ``form``.
    """
    parts = [part.strip() for part in text.split(",")]
    if not least <= len(parts) <= most or not all(parts):
        raise ForgetError(f"{text!r} does not fit; write it like {form}")
    return parts


def whole(text: str, *, form: str) -> int:
    """Read a whole number from 0 up.

    Raises:
        ForgetError: anything else; the text shows ``form``.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ForgetError(f"{text!r} is not a whole number from 0 up; write it like {form}")
    return int(text)


def spans(indices: np.ndarray) -> str:
    """Spell sorted numbers compactly: "3,17,20-25". :mod:`engine.forget.indices` reads it back."""
    if len(indices) == 0:
        return ""
    runs = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _more(values: np.ndarray) -> str:
    return f" (and {len(values) - 1:,} more)" if len(values) > 1 else ""
