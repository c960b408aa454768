"""Distance of weights, layer by layer: how far did the method move, and did it move towards the oracle?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.measurement import Measurement
from engine.models.base import Net

PAIRS = (
    ("unlearned", "original"),
    ("oracle", "original"),
    ("unlearned", "oracle"),
    ("second oracle", "oracle"),
)
"""Each role and what it is compared with; the last pair is the floor."""


@dataclass(frozen=True)
class Distance(Analysis):
    """Euclidean distance of the weights of each layer, network i of one ensemble to network i of the other.

    Networks start from weights of their own, and hidden units have no order: two oracles are far from each other, and
    the distance of a network to an oracle says little but beside that one.
    """

    key = "distance"
    order = 11
    over = "chunks"
    doing = "comparing weights"
    card = Card(
        name="Weights per layer",
        summary="Measures how far each layer's weights are from the original's and from an oracle's.",
        family="representation",
        formula="|theta_l - theta'_l|, the length of the difference of a layer's weights",
        reads=("weights",),
        cost="one look at the weights of four ensembles",
        paper="Fast Yet Effective Machine Unlearning",
        year=2021,
        arxiv="2111.08947",
        better="oracle",
        departs="The paper compares one network of each kind; here the mean over networks, beside the distance of two "
        "oracles, without which the numbers have no scale.",
        fails="Weights that differ only in the order of hidden units are far apart and compute the same.",
    )

    def planned_cost(self, subject: Subject) -> float:
        """Return about a pass of a handful of examples for each network: reading weights is all there is to do."""
        return 4.0 * subject.models

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:  # noqa: ARG002
        """Return ``distance`` float32 (M, pairs, layers) in units of weights, and what the axes are in the facts."""
        parts = parameters(bench.net)
        values = np.empty((len(bench), len(PAIRS), len(parts)), np.float32)
        for p, (role, against) in enumerate(PAIRS):
            progress(p / len(PAIRS), f"{role} and {against}")
            first, second = bench.ensembles(role).params, bench.ensembles(against).params
            for number, names in enumerate(parts.values()):
                squares = sum(_square(first[name], second[name]) for name in names)  # (M,)
                values[:, p, number] = np.sqrt(squares)
        return Measurement({"distance": values}, {"pairs": [list(pair) for pair in PAIRS], "layers": list(parts)})


def parameters(net: Net) -> Mapping[str, tuple[str, ...]]:
    """Return the names of the parameters of each layer that the architecture names, in the network's order.

    A layer has the parameters of all modules after the layer before, up to the one whose output it names.
    """
    order = {path: number for number, (path, _) in enumerate(net.evaluation_skeleton.named_modules())}
    ends = sorted((order[path] + _inner(order, path), name) for name, paths in net.layers.items() for path in paths)
    layers: dict[str, list[str]] = {name: [] for name in net.layers}
    for name, _ in net.evaluation_skeleton.named_parameters():
        at = order[name.rpartition(".")[0]]
        layer = next((layer for end, layer in ends if at <= end), ends[-1][1])
        layers[layer].append(name)
    return {layer: tuple(names) for layer, names in layers.items() if names}


def _inner(order: Mapping[str, int], path: str) -> int:
    """Return how many modules lie inside this one: they follow it in the network's order."""
    return sum(other.startswith(f"{path}.") for other in order)


def _square(first: Tensor, second: Tensor) -> np.ndarray:
    return (first.double() - second.double()).flatten(1).square().sum(dim=1).cpu().numpy()  # (M,)
