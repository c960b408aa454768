"""Requests in a row: what the next selector may choose from, once earlier requests have taken their pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from engine.data.base import ImageData
from engine.forget.base import ForgetSet, Left, Scene, Selector, checked, forget_set, identity
from engine.seeds import derive


def next_set(selector: Selector, scene: Scene, earlier: Sequence[np.ndarray], *, seed: int) -> ForgetSet:
    """Let ``selector`` choose among the training pictures that ``earlier`` requests, int64 (F,) each, left.

    It sees what is left and nothing else; features and margins are those of the first originals, which saw everything.
    Indices count in the whole training set, as everywhere. With no earlier request this is
    :func:`engine.forget.base.forget_set`.

    Raises:
        ForgetError: as :meth:`Selector.select`, or it asks for removed pictures; the text names the request.
    """
    if not earlier:
        return forget_set(selector, scene, seed=seed)
    gone = np.zeros(len(scene.data.y_train), np.int64)  # (N,)
    for number, indices in enumerate(earlier, start=1):
        gone[indices] = number
    left = Left(scene.data, gone, len(earlier) + 1)
    counted = selector.among(left)  # before the choice, in the numbers that the visitor knows
    rest = _of(scene, left)
    indices = left.remaining[checked(counted.select(rest, seed=seed), rest.data)]  # (F,)
    return ForgetSet(selector.title(), selector.key, indices, identity(indices, scene.data.hash))


def sizes(
    selectors: Sequence[Selector], labels: np.ndarray, classes: Sequence[str], *, name: str, seed: int
) -> list[int]:
    """Return how many of the training pictures with these labels (N,) each request takes, as far as labels alone say.

    The list ends before the first request that looks at pictures or networks: what it takes is known only in a run. The
    numbers are those of a run with this seed.

    Raises:
        ForgetError: a request asks for removed pictures, or leaves nothing; the text names it.
    """
    none = np.empty((len(labels), 0, 0, 0), np.uint8)  # labels alone are looked at
    data = ImageData(name, tuple(classes), none, labels, none[:0], labels[:0], top=1, mean=(), std=())
    taken: list[np.ndarray] = []
    for selector in selectors:
        if selector.looks():
            break
        taken.append(next_set(selector, Scene(data), taken, seed=derive(seed, "forget", len(taken))).indices)
    return [len(indices) for indices in taken]


def together(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Return everything that several requests removed, int64 (F,), sorted, each once; empty for none."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *sets]))


def _of(scene: Scene, left: Left) -> Scene:
    remaining = left.remaining  # (n,)
    data: ImageData = dataclasses.replace(
        scene.data,
        name=f"{scene.data.name} after request {left.request - 1}",
        x_train=scene.data.x_train[remaining],
        y_train=scene.data.y_train[remaining],
    )
    features = None if scene.features is None else scene.features[remaining]  # (n, D)
    margins = None if scene.margins is None else scene.margins[:, remaining]  # (M, n)
    return Scene(data, features, margins, {word: x[..., remaining] for word, x in scene.prerequisites.items()})
