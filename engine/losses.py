"""Losses of one model on one batch. Every pair of same-shaped arguments is keyword-only: KL has a direction."""

from __future__ import annotations

from torch import Tensor

from engine.descent import Student


def cross_entropy(
    student: Student, x: Tensor, y: Tensor, *, label_smoothing: float = 0.0, deviation: float = 0.0
) -> Tensor:
    """Return the mean cross-entropy of pictures x (B, c, h, w) with labels y (B,), as torch's own defines it.

    With ``deviation`` it is the SD loss of Unrolling SGD (Thudi et al. 2022, arXiv 2109.13398): plus that many times
    the mean over the batch of each picture's standard deviation of logits (C - 1 in the divisor).
    """
    return logits_cross_entropy(student(x), y, label_smoothing=label_smoothing, deviation=deviation)


def logits_cross_entropy(logits: Tensor, y: Tensor, *, label_smoothing: float = 0.0, deviation: float = 0.0) -> Tensor:
    """Return :func:`cross_entropy` of logits (B, C) that are there already."""
    log_p = log_probabilities(logits)  # (C, B)
    loss = -log_p.gather(0, y.unsqueeze(0)).mean()
    if label_smoothing:
        loss = (1 - label_smoothing) * loss - label_smoothing * log_p.mean()
    return loss + deviation * logits.std(dim=-1).mean() if deviation else loss


def weighted_cross_entropy(
    student: Student, x: Tensor, y: Tensor, weight: Tensor, *, label_smoothing: float = 0.0, deviation: float = 0.0
) -> Tensor:
    """Return the sum over pictures of ``weight`` (B,) times what :func:`cross_entropy` is the mean of."""
    logits = student(x)  # (B, C)
    log_p = log_probabilities(logits)  # (C, B)
    each = -log_p.gather(0, y.unsqueeze(0)).squeeze(0)  # (B,)
    if label_smoothing:
        each = (1 - label_smoothing) * each - label_smoothing * log_p.mean(dim=0)
    if deviation:
        each = each + deviation * logits.std(dim=-1)
    return (each * weight).sum()


def mean_weighted_cross_entropy(
    student: Student, x: Tensor, y: Tensor, weight: Tensor, *, label_smoothing: float = 0.0, deviation: float = 0.0
) -> Tensor:
    """Return :func:`weighted_cross_entropy` over the sum of ``weight`` (B,), which counts as one where it is less.

    With weights 0 and 1 it is :func:`cross_entropy` of the pictures that weigh 1, and 0 where there is none.
    """
    total = weighted_cross_entropy(student, x, y, weight, label_smoothing=label_smoothing, deviation=deviation)
    return total / weight.sum().clamp_min(1.0)


def log_probabilities(logits: Tensor) -> Tensor:
    """Return the log-softmax of logits (B, C) as (C, B).

    Classes come first because they are few: torch's softmax along a short last axis is five times slower.
    """
    return logits.t().contiguous().log_softmax(dim=0)  # (C, B)


def kl_divergence(*, teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(teacher || student) of logits (B, C): summed over classes, mean over the batch.

    The teacher's distribution is the first argument of KL, the one the expectation is taken over (T^2 keeps
    gradients comparable across temperatures).
    """
    log_p = log_probabilities(teacher / temperature)  # (C, B)
    log_q = log_probabilities(student / temperature)  # (C, B)
    # Written out: torch's own kl_div has no vmap rule and falls back to a slow loop over models.
    return (log_p.exp() * (log_p - log_q)).sum(dim=0).mean() * temperature**2


def squared_error(*, teacher: Tensor, student: Tensor) -> Tensor:
    """Return the mean over the batch of the squared distance between logits (B, C), summed over classes."""
    return (student - teacher).square().sum(dim=-1).mean()
