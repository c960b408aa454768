"""The Isolation Kernel by Voronoi partitions, and the kernel mean embedding of labelled pictures under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from engine.seeds import derive

FLOATS = 2**24
"""Most distances held at once: 64 MiB of float32."""


@dataclass(frozen=True)
class IsolationKernel:
    """How alike two points are: in how many of t random partitions they fall into the same one of psi cells.

    A partition's cells are those of a Voronoi diagram around psi points drawn from the data, so cells are small where
    data are dense. ``centres`` float32 (t, psi, d) are the drawn points. With ``classes`` above 1 a cell is also split
    by label: points of two classes are then not alike at all. Source: Ting et al. 2018, Qin et al. 2019.
    """

    centres: Tensor
    classes: int = 1

    @classmethod
    def of(cls, points: Tensor, *, psi: int, partitions: int, seed: int, classes: int = 1) -> Self:
        """Draw the partitions from ``points`` (N, d); each from its own stream, so more leave the first as they are.

        Raises:
            ValueError: fewer points than cells.
        """
        if len(points) < psi:
            raise ValueError(f"{psi} cells need at least {psi} points to be drawn from, not {len(points)}")
        drawn = []
        for number in range(partitions):
            generator = torch.Generator().manual_seed(derive(seed, "isolation", number))
            drawn.append(torch.randperm(len(points), generator=generator)[:psi])
        return cls(points[torch.stack(drawn).to(points.device)], classes)  # (t, psi, d)

    @property
    def width(self) -> int:
        """Length of the feature map: cells of all partitions, each split by class."""
        return self.centres.shape[0] * self.centres.shape[1] * self.classes

    def ones(self, points: Tensor, labels: Tensor) -> Tensor:
        """Return where the feature map of each point is 1: int64 (n, t), one place per partition.

        ``points`` (n, d), ``labels`` (n,) from 0 to classes - 1, ignored with one class. Cost: n t psi distances.
        """
        t, psi, d = self.centres.shape
        centres = self.centres.reshape(t * psi, d)
        lengths = centres.square().sum(dim=1)  # (t psi,)
        block = torch.arange(t, device=points.device) * psi  # (t,)
        size = max(1, FLOATS // (t * psi))
        places = []
        for start in range(0, len(points), size):
            # |x - c|^2 without |x|^2, which is the same for every centre.
            far = lengths - 2 * points[start : start + size] @ centres.t()  # (b, t psi)
            cell = block + far.reshape(-1, t, psi).argmin(dim=-1)  # (b, t)
            label = labels[start : start + size, None] if self.classes > 1 else 0
            places.append(cell * self.classes + label)
        return torch.cat(places)  # (n, t)

    def mean(self, ones: Tensor) -> Tensor:
        """Return the kernel mean embedding of points by their :meth:`ones` (n, t): float32 (width,), summing to t.

        Linear in the set: the embedding of a union is the mean of the embeddings, weighted by size. Cost: n t.
        """
        counts = torch.bincount(ones.flatten(), minlength=self.width)  # (width,)
        return (counts.double() / len(ones)).float()


def likeness(ones: Tensor, point: Tensor) -> Tensor:
    """Return the kernel between points (n, t) and one point (t,), from 0 to 1: float32 (n,)."""
    return (ones == point).float().mean(dim=1)
