"""Losses of one model on one batch. Every pair of same-shaped arguments is keyword-only: KL has a direction."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.descent import Student


def cross_entropy(student: Student, x: Tensor, y: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of pictures x (B, c, h, w) with labels y (B,)."""
    return F.cross_entropy(student(x), y, label_smoothing=label_smoothing)


def kl_divergence(*, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(teacher || student) of logits (B, C): summed over classes, mean over the batch.

    The teacher's distribution is the first argument of KL, the one the expectation is taken over (T^2 keeps
    gradients comparable across temperatures).
    """
    log_p = F.log_softmax(teacher / temperature, dim=-1)  # (B, C)
    log_q = F.log_softmax(student / temperature, dim=-1)  # (B, C)
    # Written out: torch's own kl_div has no vmap rule and falls back to a slow loop over models.
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean() * temperature**2


def squared_error(*, teacher: Tensor, student: Tensor) -> Tensor:
    """Return the mean over the batch of the squared distance between logits (B, C), summed over classes."""
    return (student - teacher).square().sum(dim=-1).mean()
