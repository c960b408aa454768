"""Shared arithmetic of KLOM: equal bins over the joint range of two samples, counts, and the divergence of counts.

Everything is done for a block of points at once; callers cut the points into blocks, which bounds the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

Convention = Literal["paper", "easydub"]
CONVENTIONS: tuple[Convention, ...] = ("paper", "easydub")
CLIP = 100.0
"""Margins are clipped to [-CLIP, CLIP] logits before they are binned."""
EPS = 1e-5
"""Share given to a bin that one histogram leaves empty and the other does not."""

_ROWS = 255
"""Models counted at once: hits are added up in uint8, four to eight times faster than in a wider type."""


class MetricError(ValueError):
    """A number cannot be measured from what was given; the text says why and what to do."""


def spans(points: int, width: int) -> Iterator[slice]:
    """Cut ``points`` into consecutive slices of at most ``width``."""
    for start in range(0, points, width):
        yield slice(start, min(start + width, points))


def joint_edges(*, oracle: np.ndarray, unlearned: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges of ``bins`` equal bins over the joint range of the two samples, point by point.

    ``oracle`` is (N, P), ``unlearned`` (N', P), of one dtype; the result has that dtype and equals
    ``np.linspace(low, high, bins + 1)`` bit for bit. Where all samples are equal the range gets width 1.
    Margins must be finite and clipped.
    """
    low = np.minimum(oracle.min(axis=0), unlearned.min(axis=0))  # (P,)
    high = np.maximum(oracle.max(axis=0), unlearned.max(axis=0))  # (P,)
    high = np.where(low >= high, low + 1, high)  # (P,)
    step = (high - low) / bins  # (P,)
    edges = np.arange(bins + 1, dtype=low.dtype)[:, None] * step + low  # (bins + 1, P)
    edges[-1] = high
    for point in np.flatnonzero(step == 0):  # a range so narrow that its step underflows
        edges[:, point] = np.linspace(low[point], high[point], bins + 1)
    return edges


def compared_edges(edges: np.ndarray, convention: Convention) -> np.ndarray:
    """Return the edges a sample must be compared with: all but the first, and in ``paper`` also all but the last.

    No sample lies below the first edge. In ``paper`` the last bin is closed on the right, so none lies beyond the last
    edge; in ``easydub`` it is half-open, and samples equal to the joint maximum belong to no bin.
    """
    return edges[1:-1] if convention == "paper" else edges[1:]  # (K, P)


def counts_at_least(margins: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how many models reach each edge at each point: (N, P) margins, (K, P) edges, (K, P) whole numbers.

    Comparing with every edge is exact by the definition of a bin, which dividing by the bin width is not.
    """
    counts = np.zeros(edges.shape, np.int64)  # (K, P)
    hit = np.empty((min(_ROWS, len(margins)), margins.shape[1]), np.bool_)  # (n, P)
    for start in range(0, len(margins), _ROWS):
        block = margins[start : start + _ROWS]  # (n, P)
        for k, edge in enumerate(edges):
            np.greater_equal(block, edge, out=hit[: len(block)])
            counts[k] += hit[: len(block)].view(np.uint8).sum(axis=0, dtype=np.uint8)  # (P,)
    return counts


def histogram(at_least: np.ndarray, models: int, convention: Convention) -> np.ndarray:
    """Turn counts of models at or above the compared edges (..., K, P) into shares per bin (..., bins, P).

    Shares sum to 1; in ``easydub`` they are shares of the samples that were not dropped, and all 0 where every sample
    was.
    """
    below = np.full_like(at_least[..., :1, :], models)  # (..., 1, P)
    if convention == "paper":
        at_least = np.concatenate([below, at_least, np.zeros_like(below)], axis=-2)  # (..., bins + 1, P)
        return (at_least[..., :-1, :] - at_least[..., 1:, :]) / np.float64(models)  # (..., bins, P)
    binned = np.maximum(models - at_least[..., -1:, :], 1)  # (..., 1, P); 1 avoids 0 / 0 where all were dropped
    at_least = np.concatenate([below, at_least], axis=-2)  # (..., bins + 1, P)
    return (at_least[..., :-1, :] - at_least[..., 1:, :]) / binned.astype(np.float64)  # (..., bins, P)


def divergence(*, oracle: np.ndarray, unlearned: np.ndarray, convention: Convention) -> np.ndarray:
    """Return the divergence of two histograms in nats: shares (..., bins, P) to float64 (..., P).

    ``paper``: KL(oracle || unlearned); a bin that is empty in one and not in the other gets :data:`EPS` there.
    ``easydub``: KL(unlearned || oracle); only the oracle's empty bins get it, where the unlearned models have mass.
    Nothing is renormalised afterwards. Rounding below zero is cut off.
    """
    return np.maximum(summands(oracle=oracle, unlearned=unlearned, convention=convention).sum(axis=-2), 0.0)  # (..., P)


def summands(*, oracle: np.ndarray, unlearned: np.ndarray, convention: Convention) -> np.ndarray:
    """Return what each bin adds to :func:`divergence`: shares (..., bins, P) to float64 of the same shape."""
    if convention == "paper":
        # A bin that both leave empty gets EPS twice and adds EPS * ln(1) = 0, so it needs no case of its own.
        p = np.where(oracle > 0, oracle, EPS)  # (..., bins, P)
        q = np.where(unlearned > 0, unlearned, EPS)  # (..., bins, P)
        return p * np.log(p / q)  # (..., bins, P)
    q = np.maximum(oracle, EPS)  # (..., bins, P)
    return unlearned * np.log(np.where(unlearned > 0, unlearned, q) / q)  # (..., bins, P)
