"""What maps compare: one vector for each training picture, and fewer numbers that say nearly the same."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from engine.analyses.bench import Bench
from engine.data.base import DataError
from engine.knobs import Knob
from engine.seeds import derive

WIDE = 64
"""Vectors longer than this are reduced to as many principal components before neighbours, clusters and UMAP."""

Through = Annotated[
    str,
    Knob(
        "look through",
        "pixels: the pictures themselves (of a table its standardised columns); network: what the last hidden layer of "
        "one original sees in them.",
        choices=("pixels", "network"),
    ),
]
"""The knob of every analysis that compares training pictures with one another."""


def vectors(bench: Bench, through: str) -> np.ndarray:
    """Return one row per training picture, float32 (N, D): its pixels, or the first original's features of it.

    Raises:
        DataError: the features are not finite.
    """
    if through == "pixels":
        return bench.data.vectors()
    features = bench.only(0).features("original", None, np.arange(bench.train))[0].cpu().numpy()  # (N, D)
    if not np.isfinite(features).all():
        raise DataError("the original's features are not finite, its training diverged; lower the learning rate")
    return features


def narrow(x: np.ndarray, seed: int) -> np.ndarray:
    """Return x (N, D) in its principal components (N, at most 64), those of most variation first."""
    from sklearn.decomposition import PCA

    dimensions = min(WIDE, *x.shape)
    solver = "randomized" if x.shape[1] > 4 * WIDE else "full"
    return PCA(dimensions, svd_solver=solver, random_state=derive(seed, "map:pca") % 2**32).fit_transform(x)  # (N, d)
