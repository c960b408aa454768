"""What maps compare: one vector for each training picture, and fewer numbers that say nearly the same."""

from __future__ import annotations

import warnings
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

Layout = Annotated[
    str,
    Knob("layout", "pca: the two directions of most variation; umap: who is near whom.", choices=("pca", "umap")),
]
"""The knob of every analysis that lays points out on a plane."""


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


def plane(x: np.ndarray, layout: str, seed: int) -> np.ndarray:
    """Return points (N, D) on a plane, float64 (N, 2), centred and at most 1 from the middle.

    ``layout`` is "pca", the two directions of most variation, or "umap", who is near whom.
    """
    if layout == "pca":
        xy = np.pad(x[:, :2], ((0, 0), (0, max(0, 2 - x.shape[1]))))  # a table may have a single column
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fixed seed keeps it on one core, which is what we want
            from umap import UMAP

            state = derive(seed, "map:umap") % 2**32
            xy = UMAP(n_neighbors=min(15, len(x) - 1), random_state=state).fit_transform(x)
    xy = np.asarray(xy, dtype=np.float64)
    xy = xy - (xy.max(axis=0) + xy.min(axis=0)) / 2
    return xy / max(1e-12, np.abs(xy).max())
