"""Exploring: how the training pictures lie, which are alike, which are unusual; for maps on which one picks.

A map shows what one compares: raw pixels, or the penultimate features of the first original network. Nearest
neighbours are always of pixels, because a near-duplicate is a matter of the pictures and not of a network. The pixels
of a table are its standardised features.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from engine.data.base import ImageData
from engine.forget.base import Scene
from engine.jobs import Hooks, Job
from engine.seeds import derive
from engine.specs import Trained
from engine.store import Artefact, Store
from engine.stored import load_data, through

WIDE = 64
"""Vectors longer than this are reduced to as many principal components before neighbours, clusters and UMAP."""
CLUSTERS = 10
NEIGHBOURS = 8
NEAR = 0.5
"""A pair counts as near-duplicate when it is closer than this share of the usual distance to the nearest neighbour."""
_FIT = 10_000
"""Examples that clusters are fitted on at most."""
_BLOCK = 2048


def layout(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Lay the training pictures out on a plane by PCA or UMAP: ``xy`` float32 (N, 2), centred, in [-1, 1].

    PCA takes seconds at 60,000 pictures. UMAP compiles for half a minute to a minute first, then takes about 12 s per
    10,000 pictures on one core (McInnes, Healy, Melville 2018: neighbours 15, minimal distance 0.1, fixed seed).
    """
    data = load_data(store, job.inputs["dataset"], job.spec.of["data"], hooks)
    x, _ = _vectors(store, job, data, device)
    hooks.progress(0.1, "finding the directions of most variation")
    x = _narrow(x, WIDE, job.spec.of["seed"])
    if job.spec.of["layout"] == "pca":
        xy = np.pad(x[:, :2], ((0, 0), (0, max(0, 2 - x.shape[1]))))  # a table may have a single column
    else:
        hooks.progress(0.2, "laying out neighbourhoods with UMAP")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that a fixed seed keeps it on one core, which is what we want
            from umap import UMAP

            state = derive(job.spec.of["seed"], "map:umap") % 2**32
            xy = UMAP(n_neighbors=min(15, len(x) - 1), random_state=state).fit_transform(x)
    xy = np.asarray(xy, dtype=np.float64)
    xy -= (xy.max(axis=0) + xy.min(axis=0)) / 2
    xy /= max(1e-12, np.abs(xy).max())
    with artefact.write(job.part) as out:
        out.arrays("xy", xy.astype(np.float32))  # (N, 2)


def columns(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Measure what a map can be coloured by, and each picture's nearest neighbours.

    ``cluster`` int64 (N,): k-means groups numbered by size; ``outlier`` float32 (N,): isolation score, higher is more
    unusual; ``neighbours`` int32 (N, 8) and ``distance`` float32 (N, 8): nearest training pictures by pixels and their
    root-mean-square difference on a scale from 0 to 1 (of a table: in standard deviations). Through a network also
    ``margin`` and ``loss`` float32 (N,), means over the models of the first chunk. Cost: N^2 distances of 64 numbers.
    """
    from sklearn.cluster import KMeans
    from sklearn.ensemble import IsolationForest
    from sklearn.exceptions import ConvergenceWarning

    data = load_data(store, job.inputs["dataset"], job.spec.of["data"], hooks)
    seed = job.spec.of["seed"]
    seen, margins = _vectors(store, job, data, device)
    n = len(seen)
    hooks.progress(0.1, "grouping alike pictures")
    x = _narrow(seen, WIDE, seed)
    rows = np.sort(np.random.default_rng(derive(seed, "map:rows")).permutation(n)[:_FIT])
    means = KMeans(min(CLUSTERS, n), n_init=4, random_state=derive(seed, "map:clusters") % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal pictures make fewer groups, which is fine here
        label = means.fit(x[rows]).predict(x)  # (N,)
    found, inverse, size = np.unique(label, return_inverse=True, return_counts=True)
    rank = np.empty(len(found), np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(found))
    hooks.progress(0.3, "looking for unusual pictures")
    forest = IsolationForest(random_state=derive(seed, "map:outliers") % 2**32).fit(x)
    outlier = -forest.score_samples(x)  # (N,)
    pixels = Scene(data).vectors("pixels")  # (N, D)
    neighbours, distance = nearest(pixels, _narrow(pixels, WIDE, seed), min(NEIGHBOURS, n - 1), hooks)
    typical = float(np.median(distance[:, 0]))
    with artefact.write(job.part) as out:
        out.arrays("cluster", rank[inverse])
        out.arrays("outlier", outlier.astype(np.float32))
        out.arrays("neighbours", neighbours)
        out.arrays("distance", distance)
        if margins is not None:
            mean = margins.mean(axis=0, dtype=np.float64)  # (N,)
            loss = np.logaddexp(0.0, -margins.astype(np.float64)).mean(axis=0)  # (N,): -log p = log(1 + e^-margin)
            out.arrays("margin", mean.astype(np.float32))
            out.arrays("loss", loss.astype(np.float32))
        out.json("info", {"typical": typical, "near": NEAR * typical})


def nearest(exact: np.ndarray, rough: np.ndarray, k: int, hooks: Hooks) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` nearest rows of each row, int32 (N, k), and their distances, float32 (N, k).

    Candidates are the 2k nearest in ``rough`` (N, d); their order and distance, the root-mean-square difference, come
    from ``exact`` (N, D), so equal rows have distance 0 exactly.
    """
    n, wanted = len(exact), min(2 * k, len(exact) - 1)
    squares = (rough.astype(np.float32) ** 2).sum(axis=1)  # (N,)
    ids = np.empty((n, k), np.int32)
    distances = np.empty((n, k), np.float32)
    for start in range(0, n, _BLOCK):
        hooks.progress(0.4 + 0.6 * start / n, "comparing pictures")
        rows = np.arange(start, min(start + _BLOCK, n))
        apart = squares[None, :] - 2 * rough[rows] @ rough.T  # (b, N), up to a constant per row
        apart[np.arange(len(rows)), rows] = np.inf
        near = np.argpartition(apart, wanted - 1, axis=1)[:, :wanted]  # (b, 2k)
        gaps = np.empty(near.shape)  # (b, 2k)
        for column in range(wanted):  # one column at a time: (b, D) floats, not (b, 2k, D)
            difference = exact[near[:, column]] - exact[rows]  # (b, D)
            gaps[:, column] = np.sqrt((difference.astype(np.float64) ** 2).mean(axis=1))
        order = np.lexsort((near, gaps), axis=1)[:, :k]  # (b, k): by distance, then by number
        ids[rows] = np.take_along_axis(near, order, axis=1)
        distances[rows] = np.take_along_axis(gaps, order, axis=1)
    return ids, distances


def _vectors(store: Store, job: Job, data: ImageData, device: torch.device) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what the job compares, float32 (N, D), and the originals' margins (M, N) when it looks through them."""
    original: Mapping[str, Any] | None = job.spec.of.get("original")
    if original is None:
        return Scene(data).vectors("pixels"), None
    features, margins = through(store, data, Trained.from_json(original), job.inputs["original_part"], device)
    scene = Scene(data, features=features, margins=margins)
    scene.mean_margins()  # says in words when they are not finite
    return scene.vectors("features"), margins


def _narrow(x: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return x (N, D) in its principal components (N, at most ``most``), those of most variation first."""
    from sklearn.decomposition import PCA

    kept = min(most, *x.shape)
    solver = "randomized" if x.shape[1] > 4 * most else "full"
    return PCA(kept, svd_solver=solver, random_state=derive(seed, "map:pca") % 2**32).fit_transform(x)  # (N, d)
