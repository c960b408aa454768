"""Gradients of the loss, layer by layer and picture by picture: what still pulls at the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import ROLES, Bench
from engine.analyses.distance import parameters
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement
from engine.models.base import Network
from engine.seeds import derive

SPLITS = ("forget", "retain")


@dataclass(frozen=True)
class Slopes(Analysis):
    """Length of the loss's gradient for each layer, and for each picture, on forgotten and on retained points.

    A network at rest on its training set has small gradients there; a forgotten picture pulls again. The angle between
    the two mean gradients says whether learning the one would undo the other (UM of Dataset Condensation Driven
    Machine Unlearning).
    """

    key = "slopes"
    order = 13
    over = "chunks"
    doing = "taking gradients"
    card = Card(
        name="Gradients per layer",
        summary="Measures how strongly forgotten and kept pictures pull at each layer, and whether against each other.",
        family="representation",
        formula="|grad_l mean CE|, mean_x |grad CE(x)|, UM = 100 (1 - cos(grad CE(R), grad CE(F)))",
        reads=("weights", "pictures"),
        cost="three forward-equivalents of the sampled points for each network of four ensembles",
        paper="Efficient Machine Unlearning via Influence Approximation",
        year=2025,
        arxiv="2507.23257",
        better="oracle",
        departs="Norms are those at the end, in evaluation mode, where the paper follows them along the training.",
        fails="A small gradient says that a picture is settled, not why: a network that calls it by another name for "
        "good is settled as well.",
    )

    sample: Annotated[int, Knob("points per split", "Points drawn from each split at most.", low=2, high=2000)] = 100

    def planned_cost(self, subject: Subject) -> float:
        """Return three passes of each sampled point, twice: for the mean and for each by itself."""
        points = min(self.sample, subject.forget) + min(self.sample, subject.train)
        return 6.0 * len(ROLES) * subject.models * points

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return ``layers`` float32 (M, roles, splits, layers), ``examples`` (M, roles, splits), ``angle`` (M, roles).

        The first is the length of the mean gradient, the second the mean length of single pictures' gradients, the
        third the cosine of the two splits' mean gradients.
        """
        parts = parameters(bench.net)
        chosen = [self._drawn(bench.splits[split], derive(seed, f"slopes:{split}")) for split in SPLITS]
        device = bench.images.x.device
        batches = []
        for points in chosen:
            numbers = torch.from_numpy(points).to(device)
            batches.append((bench.images.pictures(numbers), bench.images.y[numbers]))
        shape = (len(bench), len(ROLES), len(SPLITS))
        layers, examples = np.empty((*shape, len(parts)), np.float32), np.empty(shape, np.float32)
        angle = np.empty(shape[:2], np.float32)
        for r, role in enumerate(ROLES):
            for m in range(len(bench)):
                progress((r + m / len(bench)) / len(ROLES), f"{role} {m + 1} of {len(bench)}")
                network = bench.network(role, m)
                means = []
                for s, (x, y) in enumerate(batches):
                    mean = _mean(network, x, y)
                    for number, names in enumerate(parts.values()):
                        layers[m, r, s, number] = float(torch.cat([mean[name].flatten() for name in names]).norm())
                    examples[m, r, s] = float(_each(network, x, y).mean())
                    means.append(torch.cat([slope.flatten() for slope in mean.values()]))
                angle[m, r] = float(torch.cosine_similarity(*means, dim=0))
        facts = {
            "roles": list(ROLES),
            "splits": list(SPLITS),
            "layers": list(parts),
            "points": [len(c) for c in chosen],
        }
        return Measurement({"layers": layers, "examples": examples, "angle": angle}, facts)

    def _drawn(self, points: np.ndarray, seed: int) -> np.ndarray:
        if len(points) <= self.sample:
            return np.sort(points)
        return np.sort(np.random.default_rng(seed).choice(points, self.sample, replace=False))


def _mean(network: Network, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return the gradient of the mean loss by parameter."""
    with torch.enable_grad():
        loss = F.cross_entropy(network(x), y)
        names, weights = zip(*network.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


def _each(network: Network, x: Tensor, y: Tensor) -> Tensor:
    """Return the length of every picture's own gradient, (n,)."""
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    buffers = dict(network.named_buffers())

    def loss(params: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(network, {**params, **buffers}, (one[None],))
        return F.cross_entropy(logits, label[None])

    lengths = []
    for start in range(0, len(x), 25):  # 25 copies of the weights at once
        slopes = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x[start : start + 25], y[start : start + 25])
        lengths.append(torch.cat([slope.flatten(1) for slope in slopes.values()], dim=1).norm(dim=1))
    return torch.cat(lengths)  # (n,)
