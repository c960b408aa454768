"""A map of the training pictures, on which one picks what to forget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.analyses._vectors import Layout, Through, narrow, plane, vectors
from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.measurement import Measurement


@dataclass(frozen=True)
class Map(Analysis):
    """The training pictures on a plane by PCA or UMAP, by their pixels or through the first original.

    PCA takes seconds at 60,000 pictures. UMAP compiles for half a minute to a minute first, then takes about 12 s per
    10,000 pictures on one core (neighbours 15, minimal distance 0.1, fixed seed).
    """

    key = "map"
    order = 80
    about = "data"
    over = "first chunk"
    doing = "laying out the map"
    card = Card(
        name="Map",
        summary="Lays the training pictures out on a plane, those that resemble each other close together.",
        family="exploration",
        reads=("pictures", "weights"),
        cost="seconds by PCA; by UMAP 12 s per 10,000 pictures and a minute the first time",
        paper="UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction",
        year=2018,
        arxiv="1802.03426",
    )

    layout: Layout = "pca"
    through: Through = "pixels"

    def needs(self) -> tuple[str, ...]:
        """Return the pictures, or the weights of the network that looks at them."""
        return ("pictures",) if self.through == "pixels" else ("weights",)

    def roles(self) -> tuple[str, ...]:
        """Return the originals, where one looks through them."""
        return () if self.through == "pixels" else ("original",)

    def planned_cost(self, subject: Subject) -> float:
        """Return a pass over the training pictures; UMAP's own time has no relation to the network's."""
        return float(subject.train)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return ``xy`` float32 (N, 2), centred, in [-1, 1], and ``labels`` (N,)."""
        x = vectors(bench, self.through)
        progress(0.1, "finding the directions of most variation")
        x = narrow(x, seed)
        if self.layout == "umap":
            progress(0.2, "laying out neighbourhoods with UMAP")
        xy = plane(x, self.layout, seed)
        facts = {"classes": list(bench.classes), "layout": self.layout}
        return Measurement({"xy": xy.astype(np.float32), "labels": bench.labels[: bench.train]}, facts)
