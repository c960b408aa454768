"""Drawn shapes on textured grounds: pictures of which everything is known, the thing's mask included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import numpy as np

from engine.cards import Card
from engine.data.base import Dataset, ImageData, Progress, image_data
from engine.knobs import Knob

SIDE = 32
STYLES = ("filled", "outline", "striped")
"""The three kinds within each class."""
MISLABELLED = REPEATED = 0.03
"""Share of the training pictures that get a wrong label, and that are another one nearly."""
_FINE = 2
"""Points drawn along each side of a pixel."""
_BLOCK = 500
"""Pictures drawn at once: 500 of 64 x 64 points are 16 MB for each of a few arrays."""


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    turn = (np.arctan2(u, -v) * 5 / (2 * np.pi)) % 1.0
    point = np.abs(2 * turn - 1)
    return np.hypot(u, v) < 0.36 + 0.6 * point**1.5


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = 1.25 * u, -1.25 * v + 0.15
    return (u * u + v * v - 0.8) ** 3 - u * u * v**3 < 0


SHAPES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "circle": lambda u, v: np.hypot(u, v) < 0.85,
        "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) < 0.75,
        "triangle": lambda u, v: (v < 0.65) & (np.abs(u) < 0.58 * (v + 0.95)),
        "hourglass": lambda u, v: (np.abs(u) < np.abs(v) + 0.08) & (np.abs(v) < 0.85),
        "star": _star,
        "cross": lambda u, v: (np.minimum(np.abs(u), np.abs(v)) < 0.27) & (np.maximum(np.abs(u), np.abs(v)) < 0.9),
        "bowl": lambda u, v: (np.hypot(u, v + 0.35) < 0.9) & (v > -0.35),
        "crescent": lambda u, v: (np.hypot(u, v) < 0.9) & (np.hypot(u - 0.42, v) > 0.68),
        "heart": _heart,
        "arrow": lambda u, v: (
            ((np.abs(v) < 0.2) & (u > -0.9) & (u < 0.2)) | ((u > 0.0) & (np.abs(v) < 0.85 * (0.9 - u)))
        ),
    }
)
"""For each class, which points (u, v) of the plane lie inside; u points right, v down, a shape reaches to about 1."""


@dataclass(frozen=True)
class Glyphs(Dataset):
    """Ten shapes, 32x32 in colour, at any place, size, turn and colour, on textured grounds; drawn from a seed.

    What is known of each picture: the pixels of the thing, its style (three within each class), whether its label is
    wrong, and whether it is another picture with a little noise. All of these are listed as subsets.
    """

    key = "glyphs"
    order = 0
    card = Card(
        name="Drawn shapes",
        summary="Ten shapes of 32x32 colour pixels, drawn from a seed; what is the thing, and what is odd, is known.",
        family="embedded",
    )

    each: Annotated[int, Knob("drawn of each class", "Training pictures; a quarter as many test pictures.", low=8,
                              high=5000)] = 200  # fmt: skip
    seed: Annotated[int, Knob("seed", "Another seed draws other pictures.", low=0, high=2**31 - 1, advanced=True)] = 0

    def read(self, cache: Path, progress: Progress) -> ImageData:  # noqa: ARG002
        """Draw the pictures; about a second for 2,500, and nothing is cached."""
        rng = np.random.default_rng(self.seed)
        test = max(2, self.each // 4)
        y = np.concatenate([np.repeat(np.arange(len(SHAPES)), n) for n in (self.each, test)])
        style = rng.integers(len(STYLES), size=len(y))
        train = self.each * len(SHAPES)
        x = np.empty((len(y), 3, SIDE, SIDE), np.uint8)
        masks = np.empty((len(y), SIDE, SIDE), bool)
        for start in range(0, len(y), _BLOCK):
            progress(start / len(y), "drawing shapes")
            here = slice(start, start + _BLOCK)
            x[here], masks[here] = _drawn(y[here], style[here], rng)
        labels = y.copy()
        odd = rng.permutation(train)
        wrong = np.sort(odd[: round(MISLABELLED * train)])
        labels[wrong] = (labels[wrong] + rng.integers(1, len(SHAPES), len(wrong))) % len(SHAPES)
        near = np.sort(odd[len(wrong) : len(wrong) + round(REPEATED * train)])
        # Each repeats a sound picture of its own class that repeats none itself.
        sound = np.setdiff1d(np.arange(train), np.union1d(wrong, near))
        for repeated in near:
            source = int(rng.choice(sound[y[sound] == y[repeated]]))
            noise = rng.normal(0, 3, x[source].shape)
            x[repeated] = np.clip(x[source] + noise, 0, 255).astype(np.uint8)
            masks[repeated], style[repeated] = masks[source], style[source]
        subsets = {
            f"{shape}/{name}": np.flatnonzero((y[:train] == c) & (style[:train] == s))
            for c, shape in enumerate(SHAPES)
            for s, name in enumerate(STYLES)
        }
        data = image_data(
            name=self.key,
            classes=tuple(SHAPES),
            x_train=x[:train],
            y_train=labels[:train],
            x_test=x[train:],
            y_test=labels[train:],
            subsets={"mislabelled": wrong, "repeated": near, **subsets},
            masks=masks,
        )
        progress(1.0, "shapes ready")
        return data


def _drawn(y: np.ndarray, style: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture for each label y (n,) and style (n,): uint8 (n, 3, 32, 32) and the thing's pixels (n, 32, 32)."""
    n = len(y)
    down, right = _grid(SIDE * _FINE)  # (64, 64), in pixels
    size = rng.uniform(8, 13, (n, 1, 1)).astype(np.float32)
    centre = (SIDE / 2 + rng.uniform(-4, 4, (n, 2))).astype(np.float32)[:, :, None, None]
    turn = rng.uniform(-0.35, 0.35, (n, 1, 1)).astype(np.float32)
    across, along = (right - centre[:, 0]) / size, (down - centre[:, 1]) / size
    u = np.cos(turn) * across + np.sin(turn) * along  # (n, 64, 64)
    v = np.cos(turn) * along - np.sin(turn) * across
    whole, inner = np.empty(u.shape, bool), np.zeros(u.shape, bool)
    for label, inside in enumerate(SHAPES.values()):
        at, hollow = y == label, (y == label) & (style == 1)
        whole[at] = inside(u[at], v[at])
        inner[hollow] = inside(u[hollow] * 1.45, v[hollow] * 1.45)
    inked = whole & ~inner
    phase = rng.uniform(0, 6.3, (n, 1, 1)).astype(np.float32)
    striped = inked & (np.sin(9 * u + phase) > 0) & (style == 2)[:, None, None]
    mask, covered, second = (_shrunk(points) for points in (whole, inked, striped))  # (n, 32, 32), shares
    colours = rng.uniform(130, 255, (n, 2, 3)).astype(np.float32)[..., None, None]
    # A darker ground of two waves and grain.
    ground = rng.uniform(10, 120, (n, 3)).astype(np.float32)[..., None, None]  # (n, 3, 1, 1)
    below, beside = _grid(SIDE)
    wave = np.zeros((n, SIDE, SIDE), np.float32)
    for _ in range(2):
        k = rng.uniform(-0.7, 0.7, (n, 2, 1, 1)).astype(np.float32)
        wave += np.sin(k[:, 0] * beside + k[:, 1] * below + rng.uniform(0, 6.3, (n, 1, 1)).astype(np.float32))
    paper = ground + 22 * wave[:, None]  # (n, 3, 32, 32)
    one, two = (covered - second)[:, None], second[:, None]  # (n, 1, 32, 32)
    picture = paper * (1 - one - two) + colours[:, 0] * one + colours[:, 1] * two
    picture += 12 * rng.standard_normal(picture.shape, np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8), mask >= 0.5


def _grid(points: int) -> list[np.ndarray]:
    """Return where the middle of each of ``points`` x ``points`` lies, down and right, in pixels: float32 each."""
    places = ((np.arange(points) + 0.5) * SIDE / points).astype(np.float32)
    return np.meshgrid(places, places, indexing="ij")


def _shrunk(points: np.ndarray) -> np.ndarray:
    """Return the share of true points (n, 64, 64) in each pixel: float32 (n, 32, 32)."""
    steps = range(_FINE)
    return sum(points[:, i::_FINE, j::_FINE].astype(np.float32) for i in steps for j in steps) / _FINE**2
