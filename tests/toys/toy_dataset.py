"""Toy data set: bright bars, three classes, made from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.cards import Card
from engine.data.base import Dataset, ImageData, Progress, image_data


@dataclass(frozen=True)
class ToyBars(Dataset):
    """240 pictures of 6x6 pixels with one bright column pair; its place is the class."""

    key = "toy_bars"
    card = Card(name="Toy bars", summary="Bright bars of 6x6 pixels in three places.", family="embedded")

    def read(self, cache: Path, progress: Progress) -> ImageData:
        progress(0.0, "drawing bars")
        rng = np.random.default_rng(0)
        y = np.arange(240) % 3
        x = rng.integers(0, 9, (240, 1, 6, 6)).astype(np.uint8)
        for column in (0, 1):
            x[np.arange(240), 0, :, 2 * y + column] += 7
        return image_data(
            name="toy bars",
            classes=("left", "middle", "right"),
            x_train=x[:180],
            y_train=y[:180].astype(np.int64),
            x_test=x[180:],
            y_test=y[180:].astype(np.int64),
            top=16,
        )
