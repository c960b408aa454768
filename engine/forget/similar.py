"""Forget sets of pictures that resemble each other, or nothing else: clusters, neighbours, outliers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np

from engine.cards import CLASSES, Card
from engine.forget.base import (
    Count,
    ForgetError,
    Left,
    Scene,
    Selector,
    Space,
    checked,
    checked_count,
    generator,
    whole,
    words,
)
from engine.knobs import Knob
from engine.seeds import derive

_FIT = 10_000
"""Most pictures that k-means looks at to place its centres; the others are then given to the nearest centre."""

_WIDE, _NARROW = 512, 64
"""Vectors longer than the first are reduced to this many principal components before k-means; colour pixels are."""

_BLOCK = 4096
"""Rows whose distance is computed at once, in double precision."""


@dataclass(frozen=True)
class Cluster(Selector):
    """One cluster of k-means; clusters are numbered by size, 0 the largest, so that a number means something."""

    key = "cluster"
    order = 2
    forms = ("cluster:4", "cluster:4,20", "cluster:4,20,pixels", "cluster:4,20,features,100")
    suits = CLASSES
    card = Card(
        name="Cluster",
        summary="A group of pictures that look alike to the network, found by k-means.",
        family="similar",
        formula="argmin over k centres of sum |x - centre|^2; cluster 0 is the largest",
        reads=("features",),
        cost="seconds; fitted on at most 10,000 pictures, long vectors reduced to 64 principal components",
    )

    number: Annotated[int, Knob("which cluster", "Its number by size, 0 is the largest.", low=0, high=999)] = 0
    clusters: Annotated[int, Knob("clusters", "How many groups to make.", low=2, high=1000)] = 10
    space: Space = "features"
    size: Annotated[
        int, Knob("size", "Only so many of its pictures, those nearest to its centre; 0: all.", low=0, high=1_000_000)
    ] = 0

    def __post_init__(self) -> None:
        """Check that the number is one of the clusters."""
        super().__post_init__()
        if self.number >= self.clusters:
            raise ForgetError(
                f"there is no cluster {self.number} of {self.clusters}; choose a number from 0 to {self.clusters - 1}"
            )

    def looks(self) -> tuple[str, ...]:
        return (self.space,)

    def title(self) -> str:
        some = f", {self.size} nearest its centre" if self.size else ""
        return f"cluster {self.number} of {self.clusters}{some}" + _by(self.space)

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:
        """Fit k-means from the seed and take this cluster; of equal sizes the earlier picture's goes first."""
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA
        from sklearn.exceptions import ConvergenceWarning

        x = scene.vectors(self.space)  # (N, D)
        if self.clusters > len(x):
            raise ForgetError(f"{len(x):,} training pictures cannot make {self.clusters} clusters; ask for fewer")
        rows = np.sort(generator(seed, self.key).permutation(len(x))[: max(_FIT, self.clusters)])
        state = derive(seed, "forget:cluster:centres") % 2**32
        if x.shape[1] > _WIDE:
            narrow = PCA(min(_NARROW, len(rows)), svd_solver="randomized", random_state=state)
            x = narrow.fit(x[rows]).transform(x)  # (N, 64)
        means = KMeans(self.clusters, n_init=4, random_state=state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # equal pictures: fewer clusters, refused below
            means.fit(x[rows].astype(np.float64))
        label = np.concatenate(
            [means.predict(x[i : i + _BLOCK].astype(np.float64)) for i in range(0, len(x), _BLOCK)]
        )  # (N,)
        clusters, first, size = np.unique(label, return_index=True, return_counts=True)  # (K,) each
        if self.number >= len(clusters):
            raise ForgetError(
                f"the pictures make only {len(clusters)} different clusters, there is no number {self.number}; "
                "ask for fewer clusters or a smaller number"
            )
        cluster = clusters[np.lexsort((first, -size))[self.number]]
        chosen = np.flatnonzero(label == cluster)  # (n,)
        if self.size:
            if self.size > len(chosen):
                raise ForgetError(
                    f"cluster {self.number} of {self.clusters} has {len(chosen):,} pictures; ask for at most so many, "
                    "for fewer clusters, or for a smaller number"
                )
            away = np.linalg.norm(x[chosen] - means.cluster_centers_[cluster], axis=1)  # (n,)
            chosen = chosen[np.lexsort((chosen, away))[: self.size]]
        return checked(chosen, scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "4", "4,20" (cluster 4 of 20), "4,20,pixels" or "4,20,features,100" (its 100 most central)."""
        form = " or ".join(cls.forms)
        number, *rest = words(text, form=form, most=4)
        settings: dict[str, object] = {"number": whole(number, form=form)}
        if rest:
            settings["clusters"] = whole(rest[0], form=form)
        if len(rest) > 1:
            settings["space"] = rest[1]
        if len(rest) > 2:
            settings["size"] = whole(rest[2], form=form)
        return cls.from_settings(settings)


@dataclass(frozen=True)
class Nearest(Selector):
    """The ``n`` training pictures nearest to one of them, itself included."""

    key = "nearest"
    order = 3
    forms = ("nearest:17,50", "nearest:17,50,pixels")
    names_pictures = True
    suits = CLASSES
    card = Card(
        name="Nearest to a picture",
        summary="One training picture and those most like it, by Euclidean distance.",
        family="similar",
        formula="the n smallest |x_i - x_point|",
        reads=("features",),
        cost="one pass over the features",
    )

    point: Annotated[int, Knob("point", "Number of the training picture.", low=0, high=10_000_000)] = 0
    n: Count = 50
    space: Space = "features"

    def looks(self) -> tuple[str, ...]:
        return (self.space,)

    def title(self) -> str:
        return f"{self.n} nearest to {self.point}" + _by(self.space)

    def among(self, left: Left) -> Self:
        """Count the picture among those that are left."""
        return replace(self, point=int(left.places(np.array([self.point]))[0]))

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:  # noqa: ARG002
        """Rank by distance; of equally near pictures the lower number goes first, the point before all."""
        checked(np.array([self.point]), scene.data)
        checked_count(self.n, scene.data)
        x = scene.vectors(self.space)  # (N, D)
        centre = x[self.point].astype(np.float64)  # (D,)
        distance = np.concatenate(
            [((x[i : i + _BLOCK] - centre) ** 2).sum(axis=1) for i in range(0, len(x), _BLOCK)]
        )  # (N,)
        distance[self.point] = -1.0
        return checked(np.argsort(distance, kind="stable")[: self.n], scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "17,50" (the point, how many) or "17,50,pixels"."""
        form = " or ".join(cls.forms)
        point, n, *space = words(text, form=form, least=2, most=3)
        settings: dict[str, object] = {"point": whole(point, form=form), "n": whole(n, form=form)}
        if space:
            settings["space"] = space[0]
        return cls.from_settings(settings)


@dataclass(frozen=True)
class Outliers(Selector):
    """The ``n`` training pictures that an isolation forest separates most easily from the others."""

    key = "outliers"
    order = 5
    forms = ("outliers:50", "outliers:50,pixels")
    card = Card(
        name="Outliers",
        summary="The most unusual pictures; networks tend to memorise them, so they are hard to forget.",
        family="similar",
        formula="the n highest isolation scores, 100 random trees",
        reads=("features",),
        cost="seconds",
        paper="Isolation Forest",
        year=2008,
    )

    n: Count = 50
    space: Space = "features"

    def looks(self) -> tuple[str, ...]:
        return (self.space,)

    def title(self) -> str:
        return f"{self.n} outliers" + _by(self.space)

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:
        """Grow the forest from the seed; of equal scores the lower number goes first."""
        from sklearn.ensemble import IsolationForest

        checked_count(self.n, scene.data)
        forest = IsolationForest(random_state=derive(seed, "forget:outliers") % 2**32)
        x = scene.vectors(self.space)  # (N, D)
        normal = forest.fit(x).score_samples(x)  # (N,), low = easily isolated
        return checked(np.argsort(normal, kind="stable")[: self.n], scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "50" or "50,pixels"."""
        form = " or ".join(cls.forms)
        n, *space = words(text, form=form, most=2)
        settings: dict[str, object] = {"n": whole(n, form=form)}
        if space:
            settings["space"] = space[0]
        return cls.from_settings(settings)


def _by(space: str) -> str:
    return " by pixels" if space == "pixels" else ""
