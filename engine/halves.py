"""Random halves: which half of the training set each model of a halves ensemble learns, recomputed from (seed, i).

Such models show how networks answer an example that they were trained on and one that they were not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.streams import Streams


def half_size(n: int) -> int:
    """Return how many of n training examples a model on a half learns: as many for each, so that they train together.

    Raises:
        ValueError: fewer than two examples cannot be halved.
    """
    if n < 2:
        raise ValueError("the training set needs at least two examples to be halved")
    return n // 2


def halves(seed: int, ids: Sequence[int], n: int) -> Tensor:
    """Return which of n training examples each model learns: bool (M, n), half_size(n) of each row.

    Model i's half depends only on (seed, i). Models 2j and 2j + 1 share one shuffle and take its two ends: each half is
    an even draw by itself, and together they hold every example once (but for one, where n is odd). So from the first
    pair on every example has models that learned it and models that did not, equally many of both.
    """
    size = half_size(n)
    order = Streams(seed, "halves:members", [i // 2 for i in ids], torch.device("cpu")).permutation(n)  # (M, n)
    second = torch.tensor([i % 2 == 1 for i in ids])[:, None]  # (M, 1)
    members = torch.where(second, order[:, n - size :], order[:, :size])  # (M, size)
    return torch.zeros(len(ids), n, dtype=torch.bool).scatter_(1, members, value=True)
