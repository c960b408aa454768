"""Linear CKA: do unlearned networks represent the pictures as networks that never saw the forget set do?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement
from engine.seeds import derive

PAIRS = (
    ("unlearned", "original"),
    ("oracle", "original"),
    ("second oracle", "original"),
    ("unlearned", "oracle"),
    ("second oracle", "oracle"),
)
"""Each role and what it is compared with; the last pair is the floor."""


ROUNDING = 1e-9
"""Share of a layer's largest output below which differences between points are rounding."""


@dataclass(frozen=True)
class CKA(Analysis):
    """Similarity of centred features, layer by layer, network i of one ensemble with network i of the other.

    A fresh network is not at 0: two networks that learned the same task represent it alike, and on few points in many
    dimensions CKA is near 1 whatever is compared. So it is read against the oracle's own.
    """

    key = "cka"
    order = 10
    over = "chunks"
    doing = "comparing representations"
    card = Card(
        name="Linear CKA",
        summary="Compares what two networks see in the same points, layer by layer: 1 is the same up to a rotation.",
        family="representation",
        formula="CKA(X, Y) = |Y'X|_F^2 / (|X'X|_F |Y'Y|_F), features centred over points",
        reads=("weights",),
        cost="4 forward passes of the sampled points per network, and their inner products",
        paper="Similarity of Neural Network Representations Revisited",
        year=2019,
        arxiv="1905.00414",
        better="oracle",
        departs="The estimate is the paper's, which is too high when a layer has more units than there are points: "
        "compare it with the oracle's, measured on the same points, and not with 1.",
        fails="A layer that answers the same for every point has no CKA.",
    )

    sample: Annotated[int, Knob("points per split", "Points drawn from each split at most.", low=2, high=5000)] = 500

    def misfit(self, subject: Subject) -> str | None:
        """Refuse a single point, whose centred features are nothing."""
        if min(subject.forget, subject.test, subject.train - subject.forget) < 2:
            return "CKA compares how points lie to one another, so each split needs at least two"
        return None

    def planned_cost(self, subject: Subject) -> float:
        """Return four forward passes of the sampled points."""
        splits = (subject.forget, subject.train - subject.forget, subject.test)
        return 4.0 * subject.models * sum(min(self.sample, n) for n in splits)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return ``cka`` float32 (M, pairs, layers, splits), and what the axes are in the facts."""
        points = {split: self._draw(split, ids, seed) for split, ids in bench.splits.items() if len(ids) > 1}
        layers = list(bench.net.layers)
        values = np.empty((len(bench), len(PAIRS), len(layers), len(points)), np.float32)
        for m in range(len(bench)):
            one = bench.only(m)  # features of all networks of a wide layer would not fit into memory
            for s, (split, ids) in enumerate(points.items()):
                progress((m + s / len(points)) / len(bench), f"network {m + 1} of {len(bench)}, {split}")
                grams = {role: _grams(one.layers(role, ids)) for role in self.roles()}
                for p, (role, against) in enumerate(PAIRS):
                    for number, layer in enumerate(layers):
                        values[m, p, number, s] = alignment(grams[role][layer], grams[against][layer])
        facts = {
            "pairs": [list(pair) for pair in PAIRS],
            "layers": layers,
            "splits": list(points),
            "points": {split: len(ids) for split, ids in points.items()},
        }
        return Measurement({"cka": values}, facts)

    def _draw(self, split: str, points: np.ndarray, seed: int) -> np.ndarray:
        """Return the points of a split that are compared, the same ones for every network, sorted."""
        rng = np.random.default_rng(derive(seed, "cka", split))
        return np.sort(rng.choice(points, min(self.sample, len(points)), replace=False))


def cka(x: Tensor, y: Tensor) -> float:
    """Return the linear CKA of features x (n, D) and y (n, E) of the same points; NaN where one of them is constant."""
    return alignment(gram(x), gram(y))


def gram(x: Tensor) -> Tensor:
    """Return inner products (n, n) of features x (n, D) centred over points."""
    centred = x.double() - x.double().mean(dim=0)
    if centred.abs().max() <= ROUNDING * x.abs().max():
        centred = torch.zeros_like(centred)
    return centred @ centred.t()


def alignment(first: Tensor, second: Tensor) -> float:
    """Return the cosine of two matrices of centred inner products (n, n): |Y'X|_F^2 = <XX', YY'>."""
    lengths = first.norm() * second.norm()
    return float((first * second).sum() / lengths) if lengths > 0 else float("nan")


def _grams(layers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return each layer's centred inner products from its outputs (1, n, D)."""
    return {name: gram(x[0]) for name, x in layers.items()}
