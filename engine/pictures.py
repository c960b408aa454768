"""The picture behind a point, for pages: found by the data's hash among what is decoded already. No torch here.

A page never decodes and never opens a visitor's path: it looks for a decoded copy in the store whose note carries the
hash that a result names, and for data sets that come with the program.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from dataclasses import dataclass

import numpy as np

from engine.data.base import DataError, ImageData
from engine.data.decoded import fetch
from engine.store import Store


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures and labels of one data set by point: 0 to N-1 are training examples, then test examples."""

    data: ImageData

    def __len__(self) -> int:
        """Return the number of points."""
        return self.data.points

    @property
    def labels(self) -> np.ndarray:
        """Labels of all points, int64 (P,)."""
        return np.concatenate([self.data.y_train, self.data.y_test])  # (P,)

    def pixels(self, point: int) -> np.ndarray:
        """Return one picture, uint8 (C, H, W), from 0 to ``data.top``.

        Raises:
            IndexError: there is no such point.
        """
        train = len(self.data.y_train)
        if not 0 <= point < len(self):
            raise IndexError(f"there is no point {point}; {self.data.name} has {len(self)}")
        return self.data.x_train[point] if point < train else self.data.x_test[point - train]

    def class_name(self, point: int) -> str:
        """Return the name of the class a point is labelled with."""
        train = len(self.data.y_train)
        label = self.data.y_train[point] if point < train else self.data.y_test[point - train]
        return self.data.classes[int(label)]

    def url(self, point: int) -> str:
        """Return the picture as a PNG in a ``data:`` URL, in its own size (a page enlarges it)."""
        from PIL import Image  # only pages that show pictures pay for it

        raw = self.pixels(point).astype(np.uint16) * 255 // self.data.top
        planes = raw.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)  # (H, W, C)
        image = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
        out = io.BytesIO()
        image.save(out, "PNG")
        return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def find(store: Store, data_hash: str) -> Pictures | None:
    """Return the pictures of the data set with this hash, or None when they are not at hand any more.

    Decoded copies are opened as views of files: what is never looked at is never read.
    """
    for path in sorted(store.data_cache.glob("*/*/data.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(path.read_text("utf-8"))["hash"] == data_hash:
                data = fetch(path.parent.parent, path.parent.name, path.parent.parent.name)
                if data is not None:
                    return Pictures(data)
    return _embedded(store, data_hash)


def _embedded(store: Store, data_hash: str) -> Pictures | None:
    from engine.data.digits import Digits  # reading them imports scikit-learn, which other data sets need not pay

    with contextlib.suppress(DataError):
        data = Digits().load(store.data_cache, lambda _share, _said: None)
        if data.hash == data_hash:
            return Pictures(data)
    return None
