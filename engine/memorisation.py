"""How much networks memorise each training example, and a cheap stand-in for it. numpy only."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from engine.knobs import BadSetting, Knob

KINDS = ("halves", "confidence")
"""What memorisation scores can be made of."""

Scores = Annotated[
    str,
    Knob(
        "memorisation by",
        "halves: networks trained on random halves, which are trained first; confidence: a proxy at no cost, how "
        "unsure the originals are.",
        choices=KINDS,
    ),
]
"""The knob of everything that lets one choose the scores."""


def memorisation(*, right: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """Return how much more often an example is answered rightly by models that learned it: float32 (n,), -1 to 1.

    mem(z) = P[right | z learned] - P[right | z not learned], each P the mean over the models at hand. ``right`` (M, n)
    is whether a model answers rightly, or the probability with which it does; ``learned`` bool (M, n) which
    examples each model was trained on. Near 1: known by heart, for no other example helps; near 0: the others
    suffice. Source: Feldman 2020 (arXiv 1906.05271), which leaves out one example at a time; Feldman and Zhang 2020
    (arXiv 2008.03703) estimate it from random subsets, as here, of 70 % where these are halves.

    Raises:
        ValueError: the two differ in shape.
        BadSetting: an example that every model learned, or none; in words.
    """
    if right.shape != learned.shape:
        raise ValueError(f"right {right.shape} and learned {learned.shape} must be (models, examples) alike")
    inside = learned.sum(axis=0)  # (n,)
    outside = len(learned) - inside
    lost = int(((inside == 0) | (outside == 0)).sum())
    if lost:
        raise BadSetting(
            f"with {len(learned)} networks on halves, {lost:,} of {len(inside):,} pictures were learned by all of them "
            "or by none, so their memorisation cannot be told; use more networks"
        )
    answers = right.astype(np.float64)  # (M, n)
    with_it = (answers * learned).sum(axis=0) / inside  # (n,)
    without = (answers * ~learned).sum(axis=0) / outside
    return (with_it - without).astype(np.float32)


def doubt(margins: np.ndarray) -> np.ndarray:
    """Return 1 - the true label's probability, mean over models: float32 (n,), from margins (M, n).

    A proxy of memorisation that takes no training: networks still unsure of an example they trained on must learn it by
    itself. A margin is the logit of that probability, so 1 - p = 1 / (1 + exp(margin)), to full precision
    where p is nearly 1. Source: "confidence" in arXiv 2410.16516, which averages over the epochs of one training; here
    it is over the models, at its end.
    """
    wide = margins.astype(np.float64)
    return np.exp(-np.logaddexp(0.0, wide)).mean(axis=0).astype(np.float32)  # (M, n) -> (n,)


def by_rank(scores: np.ndarray, groups: int) -> list[np.ndarray]:
    """Return the positions of scores (n,) in ``groups`` groups by rising score: int64, each sorted, of like sizes.

    Ties go by position. Earlier groups are the larger ones where n does not divide; groups that would be empty are left
    out.
    """
    order = np.argsort(scores, kind="stable")  # (n,)
    return [np.sort(part) for part in np.array_split(order, min(groups, len(order)))]


def sizes(n: int, groups: int) -> list[int]:
    """Return how large the groups of :func:`by_rank` are, lowest scores first."""
    return [len(part) for part in by_rank(np.zeros(n), groups)]
