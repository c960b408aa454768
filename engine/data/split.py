"""Holding pictures out for testing, the same ones for ever: no random generator whose stream could change."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

TEST_SHARE = 0.2


def held_out(labels: np.ndarray, keys: Sequence[str], share: float = TEST_SHARE) -> np.ndarray:
    """Choose a stratified test set that depends on the labels and the pictures' own names only.

    Each class gives its share, rounded so that the total is ``ceil(share * N)``; the leftovers go to the classes with
    the largest remainders. Within a class the pictures with the smallest SHA-256 of their key are taken. A class
    always keeps at least one picture for training.

    Args:
        labels: int (N,), the class of each picture.
        keys: N names, one of its own for each picture.
        share: part of all pictures to hold out, between 0 and 1.

    Returns:
        bool (N,), true for a test picture.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quota = counts * share
    take = np.floor(quota).astype(int)
    for i in np.argsort(take - quota, kind="stable"):
        if take.sum() < math.ceil(share * len(labels)) and take[i] < counts[i] - 1:
            take[i] += 1
    chosen = np.zeros(len(labels), bool)
    for label, n in zip(classes, take, strict=True):
        members = sorted(np.flatnonzero(labels == label), key=lambda i: (hashlib.sha256(keys[i].encode()).digest(), i))
        chosen[members[:n]] = True
    return chosen
