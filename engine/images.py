"""Labelled pictures on a device, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from engine.augmentation import views
from engine.data.base import ImageData
from engine.streams import Streams
from engine.training import Training


@dataclass(frozen=True)
class Images:
    """Labelled pictures on a device: uint8 x (N, c, h, w) and int64 y (N,); batches become normalised float32.

    Rows of a table are the same with float32 x (N, D, 1, 1). ``crop`` and ``flip`` are how batches that are trained on
    are shifted and mirrored; :meth:`pictures` never are.
    """

    x: Tensor
    y: Tensor
    top: int
    mean: Tensor
    std: Tensor
    crop: int = 0
    flip: bool = False

    @classmethod
    def of(cls, data: ImageData, part: str, device: torch.device) -> Self:
        """Put the training ("train"), test ("test") or all ("points") pictures of ``data`` on ``device``."""
        xs = {"train": [data.x_train], "test": [data.x_test], "points": [data.x_train, data.x_test]}[part]
        ys = {"train": [data.y_train], "test": [data.y_test], "points": [data.y_train, data.y_test]}[part]
        x = torch.cat([torch.tensor(a) for a in xs]).to(device)  # (N, c, h, w)
        y = torch.cat([torch.tensor(a) for a in ys]).to(device)  # (N,)
        moments = [
            torch.tensor(v, dtype=torch.float32, device=device)[:, None, None] for v in (data.mean, data.std)
        ]  # (c, 1, 1)
        return cls(x, y, data.top, *moments)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def tabular(self) -> bool:
        """Whether these are rows of a table: numbers of any size, not pixels from 0 to ``top``."""
        return self.x.is_floating_point()

    def take(self, indices: Tensor) -> Self:
        """Return the pictures with these numbers."""
        return replace(self, x=self.x[indices], y=self.y[indices])

    def join(self, other: Self) -> Self:
        """Return these pictures followed by the ``other`` ones."""
        return replace(self, x=torch.cat([self.x, other.x]), y=torch.cat([self.y, other.y]))

    def viewed(self, training: Training) -> Self:
        """Return the same pictures, to be seen in a training as it asks for."""
        return replace(self, crop=training.crop, flip=training.flip)

    def pictures(self, positions: Tensor | slice) -> Tensor:
        """Return normalised float32 pictures (*positions.shape, c, h, w)."""
        # (x / top - mean) / std in two passes over memory instead of three: this runs before every step.
        scale = 1 / (self.std * self.top)  # (c, 1, 1)
        # A slice of float32 rows is a view of all rows: without the copy they would be scaled in place.
        return self.x[positions].to(torch.float32, copy=True).mul_(scale).sub_(self.mean / self.std)

    def batch(self, positions: Tensor, streams: Streams | None = None) -> tuple[Tensor, Tensor]:
        """Return pictures (M, B, c, h, w) and labels (M, B) at positions (M, B).

        With the ``streams`` of those who train on them, as each network's training sees them at this visit.
        """
        x = self.pictures(positions)
        if streams is not None and (self.crop or self.flip):
            x = views(x, streams, crop=self.crop, flip=self.flip, black=-self.mean / self.std)
        return x, self.y[positions]

    def epoch(self, streams: Streams, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches that visit every picture once per model, in each model's own order."""
        for positions in streams.epoch(len(self), batch_size):
            yield self.batch(positions, streams)

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self) // batch_size)
