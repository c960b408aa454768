"""A bound on the loss: how much worse than a retrain can networks be whose weights are this far from it?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.measurement import Measurement
from engine.models.base import Net

AGAINST = ("original", "unlearned", "second oracle")
"""Whose weights are compared with the oracle's, network i with network i; the last pair is the floor."""
AT_ONCE = 1000
"""Points whose activations are held at a time."""


@dataclass(frozen=True)
class LossBound(Analysis):
    """Loss at the oracle plus a slope times the distance of the weights, beside the loss that is measured.

    Logistic regression: the slope is 2 R, R the greatest length of a point with a 1 appended for the bias. The gradient
    of the cross-entropy is never longer, so that bound holds at any distance. Fully connected networks: the slope
    bounds the gradient at the oracle alone, layer by layer from the last, as in the paper's appendix C; there it holds
    for small distances. The appendix takes sigmoids, whose slope is at most 1/4, and inputs and activations of at most
    1; here are ReLUs, with slope 1, and the greatest input, activation and weight that occur.

    Source: Learning to Unlearn, theorems 4.5 and 4.6. Its epsilon is a squared distance of weights, not the mean over
    weights that its equation 2 minimises, which is smaller by the number of weights.
    """

    key = "bound"
    order = 15
    over = "chunks"
    doing = "bounding the loss"
    card = Card(
        name="Loss bound",
        summary="Bounds how much the networks can lose to a retrain by how far their weights are from it.",
        family="guarantee",
        formula="L(unlearned) <= L(oracle) + slope |theta - theta_oracle|",
        reads=("weights", "pictures"),
        cost="a forward pass of all points through four ensembles, with all layers of the oracles'",
        paper="Learning to Unlearn: Machine Unlearning via Learning the Unlearning Behaviors",
        year=2025,
        better="lower",
        departs="The paper states it for L2UL; the distance of any method's networks will do. Its network has "
        "sigmoids, ours ReLUs, and the proof's product of layers is written out.",
        fails="Hidden units have no order, so networks that compute the same can be far apart; then nothing is said.",
    )

    def misfit(self, subject: Subject) -> str | None:
        """Refuse networks that are not a chain of fully connected layers."""
        if _chain(subject.net) is None:
            return "The bound is for logistic regression and fully connected networks, trained without shards."
        return None

    def planned_cost(self, subject: Subject) -> float:
        """Return a forward pass of every point through the networks of each role, and one of all layers."""
        return 5.0 * (subject.train + subject.test) * subject.models

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:  # noqa: ARG002
        """Return what the bound is made of, each row a network's.

        ``loss`` float32 (M, roles, splits), mean cross-entropy in nats; ``distance`` (M, 3) from the oracle, as in
        ``facts["against"]``; ``slope`` (M,). ``facts``: roles, splits, ``chance`` (the loss of a guess, log C),
        ``everywhere`` (whether the bound holds at any distance).
        """
        chain = _chain(bench.net)
        if chain is None:
            raise ValueError("the networks are no chain of fully connected layers")
        splits = {name: points for name, points in bench.splits.items() if len(points)}
        loss = np.empty((len(bench), len(bench.roles), len(splits)), np.float32)
        for r, role in enumerate(bench.roles):
            progress(0.8 * r / len(bench.roles), f"losses of the {role} networks")
            for s, points in enumerate(splits.values()):
                loss[:, r, s] = _loss(bench, role, points)
        oracle = bench.ensembles("oracle").params
        distance = np.stack([_distance(bench.ensembles(role).params, oracle) for role in AGAINST], axis=1)  # (M, 3)
        progress(0.8, "the slope")
        slope = _slope(bench, chain)  # (M,)
        facts = {
            "roles": list(bench.roles),
            "splits": list(splits),
            "against": list(AGAINST),
            "chance": math.log(len(bench.classes)),
            "everywhere": len(chain) == 1,
        }
        return Measurement({"loss": loss, "distance": distance, "slope": slope}, facts)


def _chain(net: Net) -> tuple[str, ...] | None:
    """Return the names of the fully connected layers, each on the one before, None for other networks."""
    skeleton = net.evaluation_skeleton
    weights = {name.removesuffix(".weight"): v for name, v in skeleton.named_parameters() if v.ndim == 2}
    sizes = [math.prod(net.shape), *(len(v) for v in weights.values())]
    follows = sizes[:-1] == [v.shape[1] for v in weights.values()] and sizes[-1] == net.classes
    whole = {f"{name}.{part}" for name in weights for part in ("weight", "bias")}
    plain = whole == {name for name, _ in skeleton.named_parameters()} and not list(skeleton.named_buffers())
    return tuple(weights) if follows and plain else None


def _loss(bench: Bench, role: str, points: np.ndarray) -> np.ndarray:
    """Return the mean cross-entropy of each network at these points (M,)."""
    labels = torch.from_numpy(bench.labels[points])  # (n,)
    total = 0.0
    for at in range(0, len(points), AT_ONCE):
        log_p = bench.logits(role, points[at : at + AT_ONCE]).double().log_softmax(dim=-1).cpu()  # (M, n, C)
        y = labels[at : at + AT_ONCE].expand(log_p.shape[:2]).unsqueeze(2)  # (M, n, 1)
        total = total - log_p.gather(2, y).sum(dim=(1, 2)).numpy()
    return total / len(points)


def _distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> np.ndarray:
    squares = sum((one[k].double() - other[k].double()).flatten(1).square().sum(dim=1) for k in other)  # (M,)
    return torch.as_tensor(squares).sqrt().float().cpu().numpy()


def _slope(bench: Bench, chain: tuple[str, ...]) -> np.ndarray:
    """Return a bound on the length of the gradient at the oracles (M,)."""
    points = np.arange(len(bench.labels))
    x = bench.images.pictures(slice(None)).flatten(1)  # (P, D)
    if len(chain) == 1:
        longest = float((x.double().square().sum(dim=1) + 1).sqrt().max())
        return np.full(len(bench), 2 * longest, np.float32)
    params = bench.ensembles("oracle").params
    hidden = list(bench.net.layers)[:-1]
    largest = {name: torch.zeros(len(bench), dtype=torch.float64) for name in hidden}  # (M,) each
    for at in range(0, len(points), AT_ONCE):
        for name, values in bench.layers("oracle", points[at : at + AT_ONCE]).items():
            if name in largest:
                largest[name] = largest[name].maximum(values.abs().amax(dim=(1, 2)).double().cpu())
    inputs = [torch.full((len(bench),), float(x.abs().max()), dtype=torch.float64), *largest.values()]  # (M,) each
    weights = [params[f"{name}.weight"].double().cpu() for name in chain]  # (M, n_k, n_{k - 1}) each
    # Largest entry of the loss's slope at a layer's sums, from the last layer backwards.
    entry = torch.full((len(bench),), 2.0, dtype=torch.float64)  # (M,)
    squares = torch.zeros(len(bench), dtype=torch.float64)  # (M,)
    for k in range(len(chain) - 1, -1, -1):
        wide, deep = weights[k].shape[1:]
        squares += entry.square() * wide * (deep * inputs[k].square() + 1)
        entry = entry * weights[k].abs().amax(dim=(1, 2)) * wide
    return squares.sqrt().float().numpy()
