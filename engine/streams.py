"""Random numbers for M models at once, each model from its own stream."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from engine.seeds import derive


class Streams:
    """One generator per model, seeded by (seed, role, model number) and nothing else.

    Numbers are always drawn on the CPU, so a model gets the same batches on every device and in every chunk.
    """

    def __init__(self, seed: int, role: str, ids: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator().manual_seed(derive(seed, role, i)) for i in ids]
        self._device = device

    def pick(self, models: Sequence[int]) -> Streams:
        """Return the streams of the models at these positions, which go on where they are."""
        some = copy.copy(self)
        some._generators = [self._generators[m] for m in models]
        return some

    def permutation(self, n: int) -> Tensor:
        """Return a random order of 0..n-1 for each model: int64 (M, n)."""
        return self._stack([torch.randperm(n, generator=g) for g in self._generators])

    def choice(self, n: int, k: int) -> Tensor:
        """Return k different numbers below n for each model, in random order: int64 (M, k)."""
        return self._stack([torch.randperm(n, generator=g)[:k] for g in self._generators])

    def integers(self, high: int, *shape: int) -> Tensor:
        """Return whole numbers from 0 to high-1: int64 (M, *shape)."""
        return self._stack([torch.randint(high, shape, generator=g) for g in self._generators])

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers: float32 (M, *shape)."""
        return self._stack([torch.randn(shape, generator=g) for g in self._generators])

    def wrong_labels(self, y: Tensor, classes: int) -> Tensor:
        """Return labels (M, n) drawn evenly from the classes that are not those of y, (M, n) or (n,) for all models."""
        return (y + 1 + self.integers(classes - 1, y.shape[-1])) % classes

    def epoch(self, n: int, batch_size: int) -> Iterator[Tensor]:
        """Yield positions (M, B) that visit each of n examples once in a fresh order; the last batch may be smaller."""
        order = self.permutation(n)  # (M, n)
        yield from order.split(batch_size, dim=1)  # (M, B)

    def _stack(self, rows: list[Tensor]) -> Tensor:
        return torch.stack(rows).to(self._device, non_blocking=True)  # (M, ...)
