"""The embedded data set: real handwritten digits that ship inside scikit-learn, so nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from engine.cards import Card
from engine.data.base import Dataset, ImageData, Progress, image_data
from engine.data.split import held_out
from engine.knobs import Knob


@dataclass(frozen=True)
class Digits(Dataset):
    """1,797 handwritten digits, 8x8 pixels of 17 grey levels (top = 16): 1,437 to train on, 360 to test on."""

    key = "digits"
    order = 0
    card = Card(
        name="Handwritten digits",
        summary="1,797 real handwritten digits of 8x8 pixels; comes with the program and trains in seconds.",
        family="embedded",
        paper="Optical Recognition of Handwritten Digits (Alpaydin and Kaynak), UCI Machine Learning Repository",
        year=1998,
    )

    flipped: Annotated[
        float,
        Knob(
            "wrong labels",
            "Share of the training pictures that get a wrong label, drawn once; they are listed as mislabelled.",
            low=0,
            high=50,
            unit="%",
            advanced=True,
        ),
    ] = 0.0

    def read(self, cache: Path, progress: Progress) -> ImageData:  # noqa: ARG002
        """Return the digits with a fixed stratified test set of a fifth; takes milliseconds and caches nothing."""
        from sklearn.datasets import load_digits  # a second of import that other data sets need not pay

        progress(0.0, "reading the digits")
        digits = load_digits()
        x = digits.images.astype(np.uint8)[:, None]  # (N, 1, 8, 8)
        y = digits.target.astype(np.int64)  # (N,)
        test = held_out(y, [str(i) for i in range(len(y))])
        y_train, wrong = y[~test], np.empty(0, np.int64)
        if self.flipped:
            rng = np.random.default_rng(0)
            wrong = np.sort(rng.choice(len(y_train), round(self.flipped / 100 * len(y_train)), replace=False))
            y_train[wrong] = (y_train[wrong] + rng.integers(1, 10, len(wrong))) % 10
        data = image_data(
            name="digits",
            classes=tuple(str(name) for name in digits.target_names),
            x_train=x[~test],
            y_train=y_train,
            x_test=x[test],
            y_test=y[test],
            top=16,
            subsets={"mislabelled": wrong} if len(wrong) else {},
        )
        progress(1.0, "digits ready")
        return data
