"""A part of Fashion-MNIST that comes with the program: photographs, where the digits are drawings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.cards import Card
from engine.data.base import DataError, Dataset, ImageData, Progress, image_data
from engine.data.torchvision_sets import CLOTHES

_FILE = Path(__file__).resolve().parents[2] / "assets" / "fashion.npz"


@dataclass(frozen=True)
class Fashion(Dataset):
    """5,000 and 1,000 photographs of clothing, 28x28 grey: the first 500 and 100 of each class of Fashion-MNIST."""

    key = "fashion"
    order = 0
    card = Card(
        name="Clothing",
        summary="6,000 photographs of ten kinds of clothing, 28x28 grey; comes with the program. MIT licence, Zalando.",
        family="embedded",
        paper="Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
        year=2017,
        arxiv="1708.07747",
    )

    def read(self, cache: Path, progress: Progress) -> ImageData:  # noqa: ARG002
        """Return the pictures; takes a tenth of a second and caches nothing.

        Raises:
            DataError: the file is not where the program has it.
        """
        progress(0.0, "reading the clothing")
        try:
            with np.load(_FILE, allow_pickle=False) as file:
                parts = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise DataError(f"{_FILE} cannot be read ({error}); install the program again") from error
        data = image_data(
            name=self.key,
            classes=CLOTHES,
            x_train=parts["x_train"][:, None],
            y_train=parts["y_train"].astype(np.int64),
            x_test=parts["x_t10k"][:, None],
            y_test=parts["y_t10k"].astype(np.int64),
        )
        progress(1.0, "clothing ready")
        return data
