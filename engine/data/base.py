"""What every data set is once loaded: pixels or a table, labels, class names and a hash of all of it. numpy only."""

from __future__ import annotations

import abc
import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import numpy as np

from engine.cards import Card
from engine.knobs import Configured, Knob
from engine.records import canonical


class DataError(ValueError):
    """A data set cannot be read; the text says what is wrong and what to do about it."""


@dataclass(frozen=True)
class Column:
    """One column of a table as its owner wrote it: numbers, or one of the ``categories`` (none means numbers)."""

    name: str
    categories: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """What the column is to a network: itself, or one 0-or-1 feature per category, called "column=category"."""
        return tuple(f"{self.name}={value}" for value in self.categories) or (self.name,)


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled pictures, or rows of a table, split in train and test.

    ``x_train`` uint8 (N, C, H, W), ``y_train`` int64 (N,), ``x_test`` uint8 (T, C, H, W), ``y_test`` int64 (T,).
    ``top`` is the raw value of full brightness (255, or 16 for the digits). ``mean`` and ``std`` are per channel, of
    x / top over the training set. A *point* is a number from 0 to N+T-1: training examples first, then test examples.
    Arrays that come from a cache are read-only views of files.

    A table is the same with one channel per feature and one pixel: float32 (N, D, 1, 1) as written, ``top`` 1, and
    ``columns`` naming what the D features stand for; pictures have none. What is per channel is then per feature, so
    everything that learns, unlearns and measures takes either. ``notes`` say in words how a table was read,
    ``target`` which column held the labels.

    ``subsets`` are groups of training examples that the data set knows of, by name: "mislabelled" ones, or those of a
    folder within a class folder ("cat/small"); each int64 (n,), sorted. ``masks`` bool (P, H, W) say, of every point,
    which pixels belong to the thing that its class names, where that is known. No method reads either.
    """

    name: str
    classes: tuple[str, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    top: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    target: str = ""
    subsets: Mapping[str, np.ndarray] = field(default_factory=dict)
    masks: np.ndarray | None = None

    @property
    def tabular(self) -> bool:
        """Whether these are rows of a table, which there is no picture of."""
        return bool(self.columns)

    @property
    def noun(self) -> str:
        """What one point is called: "picture" or "row"."""
        return "row" if self.tabular else "picture"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture, (D, 1, 1) of one row."""
        return self.x_train.shape[1:]  # type: ignore[return-value]

    @property
    def points(self) -> int:
        """N + T, the number of points margins are measured on."""
        return len(self.y_train) + len(self.y_test)

    def vectors(self) -> np.ndarray:
        """Return one row per training picture, float32 (N, C * H * W): its pixels from 0 to 1.

        Of a table: its standardised features.
        """
        rows = self.x_train.reshape(len(self.x_train), -1)  # (N, D)
        if self.tabular:
            return ((rows - np.array(self.mean)) / np.array(self.std)).astype(np.float32)
        return rows.astype(np.float32) / self.top

    @functools.cached_property
    def hash(self) -> str:
        """128 bits over pixels or values, labels, names and scale: what a result names as its data."""
        identity: list[Any] = [self.top, list(self.classes), list(self.x_train.shape), len(self.x_test)]
        if self.tabular:
            identity.append([[c.name, list(c.categories)] for c in self.columns])
        sha = hashlib.sha256(canonical(identity).encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            sha.update(np.ascontiguousarray(array))
        return sha.hexdigest()[:32]


def image_data(
    *,
    name: str,
    classes: tuple[str, ...],
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    top: int = 255,
    subsets: Mapping[str, np.ndarray] = MappingProxyType({}),
    masks: np.ndarray | None = None,
) -> ImageData:
    """Check shapes and labels, measure mean and deviation per channel, and return the finished record.

    Raises:
        DataError: an empty split, pictures of different shapes, labels outside the classes, fewer than two classes.
    """
    for what, x, y in (("training", x_train, y_train), ("test", x_test, y_test)):
        if x.dtype != np.uint8 or x.ndim != 4:
            raise DataError(f"{name}: the {what} pictures must be uint8 (N, C, H, W), not {x.dtype} {x.shape}")
        if len(x) == 0:
            raise DataError(f"{name}: there are no {what} pictures")
        if len(x) != len(y):
            raise DataError(f"{name}: {len(x)} {what} pictures but {len(y)} labels")
        if y.min() < 0 or y.max() >= len(classes):
            raise DataError(f"{name}: a {what} label lies outside the {len(classes)} classes")
    if len(classes) < 2:
        raise DataError(f"{name}: a classifier needs at least two classes, found {len(classes)}")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(f"{name}: training pictures are {x_train.shape[1:]}, test pictures {x_test.shape[1:]}")
    counts = _histogram(x_train)  # (256, C)
    values = np.arange(256) / top
    mean = counts.T @ values / counts.sum(axis=0)
    var = counts.T @ values**2 / counts.sum(axis=0) - mean**2
    std = np.sqrt(np.maximum(var, 0))
    std[std == 0] = 1.0
    return ImageData(
        name=name,
        classes=tuple(classes),
        x_train=x_train,
        y_train=y_train.astype(np.int64),
        x_test=x_test,
        y_test=y_test.astype(np.int64),
        top=top,
        mean=tuple(float(v) for v in mean),
        std=tuple(float(v) for v in std),
        subsets={name: np.sort(np.asarray(ids, np.int64)) for name, ids in subsets.items()},
        masks=masks,
    )


_BLOCK = 1 << 22
"""Pixel values counted at once; bincount widens each to eight bytes."""


def _histogram(x: np.ndarray) -> np.ndarray:
    """Count each pixel value per channel: exact, without a float copy, a few megabytes of memory at a time."""
    rows = max(1, _BLOCK // max(1, x[0, 0].size))
    counts = np.zeros((256, x.shape[1]), np.int64)
    for start in range(0, len(x), rows):
        for c in range(x.shape[1]):
            counts[:, c] += np.bincount(x[start : start + rows, c].ravel(), minlength=256)
    return counts  # (256, C)


def part(data: ImageData, per_class: int) -> ImageData:
    """Return up to ``per_class`` training examples of each class, and test examples by the same share.

    Which ones is drawn class by class from a seed of its own, so that a smaller part lies within a larger one. Mean and
    deviation are those of the part; subsets and masks follow their examples, and sets that end up empty go.
    """
    share = per_class / max(1.0, len(data.y_train) / len(data.classes))
    train = _some(data.y_train, lambda _: per_class)
    test = _some(data.y_test, lambda count: max(1, round(min(1.0, share) * count)))
    x, name = data.x_train[train], f"{data.name}, {per_class} of each class"
    moments: dict[str, Any] = {}
    if data.tabular:
        std = x[:, :, 0, 0].std(axis=0, dtype=np.float64)
        moments["mean"] = tuple(x[:, :, 0, 0].mean(axis=0, dtype=np.float64).tolist())
        moments["std"] = tuple(np.where(std > 0, std, 1.0).tolist())
    else:
        whole = image_data(
            name=name, classes=data.classes, x_train=x, y_train=data.y_train[train],
            x_test=data.x_test[test], y_test=data.y_test[test], top=data.top,
        )  # fmt: skip
        moments = {"mean": whole.mean, "std": whole.std}
    subsets = {key: np.flatnonzero(np.isin(train, ids)) for key, ids in data.subsets.items()}
    masks = data.masks
    return ImageData(
        name=name,
        classes=data.classes,
        x_train=np.ascontiguousarray(x),
        y_train=data.y_train[train],
        x_test=np.ascontiguousarray(data.x_test[test]),
        y_test=data.y_test[test],
        top=data.top,
        **moments,
        columns=data.columns,
        notes=data.notes,
        target=data.target,
        subsets={key: ids for key, ids in subsets.items() if len(ids)},
        masks=None if masks is None else masks[np.concatenate([train, len(data.y_train) + test])],
    )


def _some(y: np.ndarray, how_many: Callable[[int], int]) -> np.ndarray:
    """Return positions of labels y (n,), sorted: of a class with c examples ``how_many(c)``, all if there are fewer."""
    rng, chosen = np.random.default_rng(0), []
    for label in np.unique(y):
        here = np.flatnonzero(y == label)
        chosen.append(rng.permutation(here)[: how_many(len(here))])
    return np.sort(np.concatenate(chosen))


Progress = Callable[[float, str], None]
"""Called with (share done from 0 to 1, what is being done); may raise to cancel."""


@dataclass(frozen=True)
class Dataset(Configured, abc.ABC):
    """A source of pictures or of a table. Subclasses live in ``engine/data`` and are discovered by scanning.

    ``order`` sorts the list a visitor sees; ``needs`` says what must be had first ("", "network", "path"): a set that
    needs nothing comes with the program, and pages read it themselves to show its pictures or rows;
    ``tabular`` whether it gives rows instead of pictures.
    """

    card: ClassVar[Card]
    order: ClassVar[int] = 100
    needs: ClassVar[str] = ""
    tabular: ClassVar[bool] = False

    per_class: Annotated[
        int,
        Knob(
            "pictures of each class",
            "Takes so many training pictures of each class, and test pictures in proportion; always the same ones. "
            "0 takes all.",
            low=0,
            high=1_000_000,
            advanced=True,
        ),
    ] = 0

    def load(self, cache: Path, progress: Progress) -> ImageData:
        """Return the data, or the part of it that the settings ask for; see :meth:`read`."""
        data = self.read(cache, progress)
        return part(data, self.per_class) if self.per_class else data

    @abc.abstractmethod
    def read(self, cache: Path, progress: Progress) -> ImageData:
        """Return all the data, from ``cache`` (a folder this data set may fill) when it was decoded before.

        Raises:
            DataError: it cannot be loaded; the text says why and what to do.
        """
