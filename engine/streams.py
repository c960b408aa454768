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
        self._source = seed, role, tuple(ids)
        self._generators = [torch.Generator().manual_seed(derive(seed, role, i)) for i in ids]
        self._device = device
        self._beside: dict[str, Streams] = {}

    def pick(self, models: Sequence[int]) -> Streams:
        """Return the streams of the models at these positions, which go on where they are."""
        some = copy.copy(self)
        some._generators = [self._generators[m] for m in models]
        seed, role, ids = self._source
        some._source = seed, role, tuple(ids[m] for m in models)
        some._beside = {role: streams.pick(models) for role, streams in self._beside.items()}
        return some

    def beside(self, role: str) -> Streams:
        """Return the streams of the same models for another role: draws from one do not move the other."""
        if role not in self._beside:
            seed, own, ids = self._source
            self._beside[role] = Streams(seed, f"{own}:{role}", ids, self._device)
        return self._beside[role]

    def permutation(self, n: int) -> Tensor:
        """Return a random order of 0..n-1 for each model: int64 (M, n)."""
        return self._stack([torch.randperm(n, generator=g) for g in self._generators])

    def choice(self, n: int, k: int) -> Tensor:
        """Return k different numbers below n for each model, in random order: int64 (M, k)."""
        return self._stack([torch.randperm(n, generator=g)[:k] for g in self._generators])

    def stratified(self, y: Tensor, k: int) -> Tensor:
        """Return k different positions of labels y (n,) for each model, each class by its share: int64 (M, k).

        Of a class with n_c examples k n_c / n are drawn, up to one; in random order within a class.
        """
        order = self.permutation(len(y))  # (M, n): a random order, which ranks each class's examples
        shuffled = y.to(order.device)[order]  # (M, n)
        rank, size = torch.zeros(order.shape, device=order.device), torch.ones(order.shape, device=order.device)
        for label in y.unique():
            here = shuffled == label  # (M, n)
            rank[here] = here.cumsum(dim=1)[here].float()
            size[here] = here.sum(dim=1, keepdim=True).expand_as(here)[here].float()
        # The k smallest places on a scale from 0 to 1 on which each class is spread evenly.
        first = ((rank - 0.5) / size).sort(dim=1, stable=True).indices[:, :k]  # (M, k)
        return order.gather(1, first)

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
