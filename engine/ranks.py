"""Which of each model's weights rank lowest."""

from __future__ import annotations

import torch
from torch import Tensor


def smallest(scores: Tensor, count: int) -> Tensor:
    """Return where each row's ``count`` smallest scores (M, n) are: bool (M, n); of equal ones the first are taken."""
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(count, dim=1, keepdim=True).values  # (M, 1)
    below, equal = scores < threshold, scores == threshold  # (M, n)
    return below | (equal & (equal.cumsum(dim=1) <= count - below.sum(dim=1, keepdim=True)))
