"""What a map of the training pictures can be coloured by, and which pictures are nearly the same."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from engine.analyses._vectors import Through, narrow, vectors
from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.data.base import DataError
from engine.measurement import Measurement
from engine.seeds import derive

CLUSTERS = 10
NEIGHBOURS = 8
NEAR = 0.5
"""A pair counts as near-duplicate when it is closer than this share of the usual distance to the nearest neighbour."""
_FIT = 10_000
"""Examples that clusters are fitted on at most."""
_BLOCK = 2048


@dataclass(frozen=True)
class Columns(Analysis):
    """Groups, unusual pictures and nearest neighbours; through a network also its margins and losses.

    Nearest neighbours are always of pixels, because a near-duplicate is a matter of the pictures and not of a network.
    """

    key = "columns"
    order = 81
    about = "data"
    over = "first chunk"
    doing = "comparing the pictures"
    card = Card(
        name="Groups and neighbours",
        summary="Finds groups of training pictures, unusual ones, and the nearest neighbours of each.",
        family="exploration",
        reads=("pictures", "weights", "margins"),
        cost="N^2 distances of 64 numbers",
    )

    through: Through = "pixels"

    def needs(self) -> tuple[str, ...]:
        """Return the pictures; through networks also their weights and margins."""
        return ("pictures",) if self.through == "pixels" else self.card.reads

    def roles(self) -> tuple[str, ...]:
        """Return the originals, where one looks through them."""
        return () if self.through == "pixels" else ("original",)

    def planned_cost(self, subject: Subject) -> float:
        """Return a pass over the training pictures; the distances have no relation to the network's time."""
        return float(subject.train)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return what is known of each training picture.

        ``cluster`` int64 (N,): k-means groups numbered by size; ``outlier`` float32 (N,): isolation score, higher is
        more unusual; ``neighbours`` int32 (N, 8) and ``distance`` float32 (N, 8): nearest training pictures by pixels
        and their root-mean-square difference on a scale from 0 to 1 (of a table: in standard deviations). Through a
        network also ``margin`` and ``loss`` float32 (N,), means over the networks of the first chunk.
        """
        from sklearn.ensemble import IsolationForest

        seen = vectors(bench, self.through)
        measured = {} if self.through == "pixels" else _margins(bench)
        progress(0.1, "grouping alike pictures")
        x = narrow(seen, seed)
        cluster = _clusters(x, seed)
        progress(0.3, "looking for unusual pictures")
        forest = IsolationForest(random_state=derive(seed, "map:outliers") % 2**32).fit(x)
        outlier = -forest.score_samples(x)  # (N,)
        pixels = bench.data.vectors()  # (N, D)
        neighbours, distance = nearest(pixels, narrow(pixels, seed), min(NEIGHBOURS, len(x) - 1), progress)
        typical = float(np.median(distance[:, 0]))
        arrays = {
            "cluster": cluster,
            "outlier": outlier.astype(np.float32),
            "neighbours": neighbours,
            "distance": distance,
            "labels": bench.labels[: bench.train],
            **measured,
        }
        return Measurement(arrays, {"classes": list(bench.classes), "typical": typical, "near": NEAR * typical})


def nearest(exact: np.ndarray, rough: np.ndarray, k: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` nearest rows of each row, int32 (N, k), and their distances, float32 (N, k).

    Candidates are the 2k nearest in ``rough`` (N, d); their order and distance, the root-mean-square difference, come
    from ``exact`` (N, D), so equal rows have distance 0 exactly.
    """
    n, candidates = len(exact), min(2 * k, len(exact) - 1)
    squares = (rough.astype(np.float32) ** 2).sum(axis=1)  # (N,)
    ids = np.empty((n, k), np.int32)
    distances = np.empty((n, k), np.float32)
    for start in range(0, n, _BLOCK):
        progress(0.4 + 0.6 * start / n, "comparing pictures")
        rows = np.arange(start, min(start + _BLOCK, n))
        apart = squares[None, :] - 2 * rough[rows] @ rough.T  # (b, N), up to a constant per row
        apart[np.arange(len(rows)), rows] = np.inf
        near = np.argpartition(apart, candidates - 1, axis=1)[:, :candidates]  # (b, 2k)
        gaps = np.empty(near.shape)  # (b, 2k)
        for column in range(candidates):  # one column at a time: (b, D) floats, not (b, 2k, D)
            difference = exact[near[:, column]] - exact[rows]  # (b, D)
            gaps[:, column] = np.sqrt((difference.astype(np.float64) ** 2).mean(axis=1))
        order = np.lexsort((near, gaps), axis=1)[:, :k]  # (b, k): by distance, then by number
        ids[rows] = np.take_along_axis(near, order, axis=1)
        distances[rows] = np.take_along_axis(gaps, order, axis=1)
    return ids, distances


def _clusters(x: np.ndarray, seed: int) -> np.ndarray:
    """Return the group of each row of x (N, d), int64 (N,), the largest group 0."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rows = np.sort(np.random.default_rng(derive(seed, "map:rows")).permutation(len(x))[:_FIT])
    means = KMeans(min(CLUSTERS, len(x)), n_init=4, random_state=derive(seed, "map:clusters") % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal pictures make fewer groups, which is fine here
        label = means.fit(x[rows]).predict(x)  # (N,)
    groups, inverse, size = np.unique(label, return_inverse=True, return_counts=True)
    rank = np.empty(len(groups), np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(groups))
    return rank[inverse]


def _margins(bench: Bench) -> dict[str, np.ndarray]:
    """Return mean margin and mean loss of each training picture, float32 (N,).

    Raises:
        DataError: a margin is not finite.
    """
    margins = bench.margins("original")[:, : bench.train]  # (M, N)
    if not np.isfinite(margins).all():
        raise DataError("an original's margins are not finite, its training diverged; lower the learning rate")
    loss = np.logaddexp(0.0, -margins.astype(np.float64)).mean(axis=0)  # (N,): -log p = log(1 + e^-margin)
    return {"margin": margins.mean(axis=0, dtype=np.float64).astype(np.float32), "loss": loss.astype(np.float32)}
