"""Twin maps: the same pictures as four networks see them, and among whose features the forgotten ones lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from engine.analyses._vectors import Layout, narrow, plane
from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import ROLES, Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement
from engine.seeds import derive

NEAREST = 10
"""Neighbours that a forgotten point is compared with."""
MOST = 500
"""Forgotten points that are drawn at most."""
NETWORKS = 10
"""Networks of each role whose neighbours are counted at most; the maps show the first."""


@dataclass(frozen=True)
class Twins(Analysis):
    """Penultimate features of the first network of each role on a plane, each map turned to lie on the original's.

    A network's features may be turned and mirrored without changing what it computes, so each map is (Procrustes: the
    rotation, mirroring and scale of least squares over the retained points). The share of neighbours is taken in the
    features themselves, not on the plane.
    """

    key = "twins"
    order = 16
    over = "first chunk"
    doing = "laying out maps"
    card = Card(
        name="Twin maps",
        summary="Draws the same pictures as the networks see them before, now, and had they never seen the forget set.",
        family="representation",
        formula="share of the 10 drawn points nearest to a forgotten one, by features, that are of its class",
        reads=("weights",),
        cost="a forward pass of the drawn points; UMAP 12 s per 10,000 points and a minute the first time",
        paper="UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction",
        year=2018,
        arxiv="1802.03426",
        better="oracle",
        fails="A plane shows little of a hundred features: near each other on a map need not be near each other. "
        "Compare the shares.",
    )

    layout: Layout = "pca"
    points: Annotated[
        int, Knob("points kept", "Retained and test points drawn beside the forgotten ones.", low=20, high=5000)
    ] = 800

    def planned_cost(self, subject: Subject) -> float:
        """Return a pass of the drawn points through the networks of each role; UMAP's own time is not in it."""
        return float(len(ROLES) * min(NETWORKS, subject.models) * (min(MOST, subject.forget) + self.points))

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return ``xy`` float32 (roles, n, 2), ``points`` and ``split`` and ``labels`` (n,), and ``own`` (m, roles).

        ``split`` numbers the splits of the facts; ``own`` is, per network, the share of the neighbours of forgotten
        points that are of their class, whatever split they are of: of a class that is forgotten nothing is retained.
        """
        splits = ("forget", "retain", "test")
        sizes = (MOST, 2 * self.points // 3, self.points - 2 * self.points // 3)
        drawn = [_drawn(bench.splits[name], size, derive(seed, f"twins:{name}"))
                 for name, size in zip(splits, sizes, strict=True)]  # fmt: skip
        points = np.concatenate(drawn)  # (n,)
        split = np.repeat(np.arange(len(splits)), [len(part) for part in drawn])  # (n,)
        labels = bench.labels[points]
        networks = min(NETWORKS, len(bench))
        own = np.empty((networks, len(ROLES)), np.float32)
        xy = np.empty((len(ROLES), len(points), 2))
        for r, role in enumerate(ROLES):
            progress(r / len(ROLES), f"laying out what the {role} networks see")
            for m in range(networks):
                features = bench.only(m).features(role, None, points)[0].double().cpu().numpy()  # (n, D)
                own[m, r] = _own(features, labels, split == 0)
                if m == 0:
                    flat = plane(narrow(features, seed), self.layout, seed)
                    xy[r] = flat if r == 0 else turned(flat, xy[0], split == 1)
        facts = {"roles": list(ROLES), "splits": list(splits), "classes": list(bench.classes), "layout": self.layout}
        arrays = {"xy": xy.astype(np.float32), "points": points, "split": split, "labels": labels, "own": own}
        return Measurement(arrays, facts)


def turned(xy: np.ndarray, onto: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return xy (n, 2) turned, mirrored, scaled and moved so that the points ``by`` (n,) lie nearest to ``onto``'s.

    Source: the orthogonal Procrustes problem (Schoenemann 1966), with scale.
    """
    here, there = xy[by].mean(axis=0), onto[by].mean(axis=0)
    left, sizes, right = np.linalg.svd((xy[by] - here).T @ (onto[by] - there))
    scale = sizes.sum() / max(1e-12, np.square(xy[by] - here).sum())
    return scale * (xy - here) @ (left @ right) + there


def _drawn(points: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(points) <= most:
        return np.sort(points)
    return np.sort(np.random.default_rng(seed).choice(points, most, replace=False))


def _own(features: np.ndarray, labels: np.ndarray, of: np.ndarray) -> float:
    """Return the share of neighbours of points ``of`` (n,) by features (n, D) that have their label; NaN of none."""
    here = np.flatnonzero(of)
    if not len(here):
        return float("nan")
    squares = np.square(features).sum(axis=1)  # (n,)
    away = squares[here, None] + squares - 2 * features[here] @ features.T  # (f, n)
    away[np.arange(len(here)), here] = np.inf  # a point is no neighbour of itself
    nearest = np.argsort(away, axis=1, kind="stable")[:, : min(NEAREST, len(features) - 1)]  # (f, k)
    return float((labels[nearest] == labels[here, None]).mean())
