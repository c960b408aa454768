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
from numpy.typing import ArrayLike

from engine.data import datasets, make_dataset
from engine.data.base import DataError, ImageData
from engine.data.decoded import fetch
from engine.knobs import BadSetting
from engine.store import Store, StoreError

_LOSSLESS = 300_000
"""Pixels of a sheet up to which it is a PNG, exact to the pixel; larger ones are JPEGs, a quarter of the bytes."""


@dataclass(frozen=True)
class Sheet:
    """Many small pictures in one image file: ``columns`` to a row, each in a square of ``cell`` pixels a side."""

    file: bytes
    mime: str
    cell: int
    columns: int
    rows: int

    def url(self) -> str:
        """Return the sheet as a ``data:`` URL."""
        return f"data:{self.mime};base64," + base64.b64encode(self.file).decode("ascii")


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
        """Return the picture as a PNG in a ``data:`` URL, in its own size; of a row of a table, which has none, ""."""
        if self.data.tabular:
            return ""
        from PIL import Image  # only pages that show pictures pay for it

        raw = self.pixels(point).astype(np.uint16) * 255 // self.data.top
        planes = raw.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)  # (H, W, C)
        image = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
        out = io.BytesIO()
        image.save(out, "PNG")
        return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")

    def sheet(self, points: ArrayLike, *, side: int, columns: int = 32) -> Sheet:
        """Return the pictures of ``points`` (n,) on one sheet, in their order, at most ``side`` pixels a side each.

        A larger picture is made smaller by averaging whole blocks of pixels; a smaller one keeps its size. One that is
        not square stands in the middle of a black square.

        Raises:
            IndexError: there is no such point.
            ValueError: no points, or no room; or rows of a table, which have no picture.
        """
        if self.data.tabular:
            raise ValueError("rows of a table have no picture")
        from PIL import Image  # only pages that show pictures pay for it

        ids = np.asarray(points, dtype=np.int64)
        if ids.ndim != 1 or not len(ids) or side < 1 or columns < 1:
            raise ValueError("a sheet takes at least one picture, one column and one pixel")
        outside = ids[(ids < 0) | (ids >= len(self))]
        if len(outside):
            raise IndexError(f"there is no point {outside[0]}; {self.data.name} has {len(self)}")
        channels, height, width = self.data.shape
        by = -(-max(height, width) // side)
        high, wide = -(-height // by), -(-width // by)
        cell, columns = max(high, wide), min(columns, len(ids))
        exact = -(-len(ids) // columns) * columns * cell * cell <= _LOSSLESS
        if not exact:
            cell = -(-cell // 16) * 16  # blocks of a JPEG do not reach into the next picture
        rows = -(-len(ids) // columns)
        top, left = (cell - high) // 2, (cell - wide) // 2
        paper = np.zeros((rows * cell, columns * cell, channels), np.uint8)
        for place, point in enumerate(ids.tolist()):
            small = _smaller(self.pixels(point), by, self.data.top)  # (h, w, C)
            y, x = place // columns * cell + top, place % columns * cell + left
            paper[y : y + high, x : x + wide] = small
        image = Image.fromarray(paper[:, :, 0] if channels == 1 else paper)
        out = io.BytesIO()
        if exact:
            image.save(out, "PNG", compress_level=3)
            return Sheet(out.getvalue(), "image/png", cell, columns, rows)
        image.save(out, "JPEG", quality=82)
        return Sheet(out.getvalue(), "image/jpeg", cell, columns, rows)


def _smaller(picture: np.ndarray, by: int, top: int) -> np.ndarray:
    """Return a picture (C, H, W) as uint8 (h, w, C) from 0 to 255, each pixel the mean of a block ``by`` a side."""
    _, height, width = picture.shape
    if by > 1:
        rows, columns = -height % by, -width % by
        padded = np.pad(picture, ((0, 0), (0, rows), (0, columns)), mode="edge")  # (C, h * by, w * by)
        channels, tall, broad = padded.shape
        blocks = padded.reshape(channels, tall // by, by, broad // by, by)  # (C, h, by, w, by)
        picture = blocks.mean(axis=(2, 4), dtype=np.float32).round()  # (C, h, w)
    return (picture.astype(np.uint32) * 255 // top).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)  # (h, w, C)


def find(store: Store, data_hash: str) -> Pictures | None:
    """Return the pictures of the data set with this hash, or None where no copy is left.

    Decoded copies are opened as views of files, so only what is used is read.
    """
    for path in sorted(store.data_cache.glob("*/*/data.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(path.read_text("utf-8"))["hash"] == data_hash:
                data = fetch(path.parent.parent, path.parent.name, path.parent.parent.name)
                if data is not None:
                    return Pictures(data)
    return _embedded(store, data_hash) or _in_part(store, data_hash)


def _embedded(store: Store, data_hash: str) -> Pictures | None:
    """Return the data set with this hash among those that need nothing before they can be read."""
    for kind in datasets().values():
        if kind.needs:
            continue
        with contextlib.suppress(DataError):
            data = kind().load(store.data_cache, lambda _share, _message: None)
            if data.hash == data_hash:
                return Pictures(data)
    return None


def _in_part(store: Store, data_hash: str) -> Pictures | None:
    """Return a data set that a run read with settings of its own, a part of one for instance, read once more."""
    for piece in store.pieces():
        if piece.kind != "data":
            continue
        with contextlib.suppress(DataError, BadSetting, StoreError, KeyError, TypeError):
            choice = store.spec("data", piece.key)["dataset"]
            info = store.artefact("data", {"dataset": choice}).read(piece.part).json("info")
            dataset = make_dataset(choice)
            if info["hash"] == data_hash and (dataset.needs != "network" or (store.data_cache / dataset.key).exists()):
                data = dataset.load(store.data_cache, lambda _share, _message: None)
                if data.hash == data_hash:
                    return Pictures(data)
    return None
