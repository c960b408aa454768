"""Prune, then unlearn: thin the original out by synaptic flow, then go on training on the retain set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.knobs import Knob
from engine.models.base import Architecture, Net
from engine.ranks import smallest
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class SynFlow(Unlearner):
    """Keep the few weights that carry most synaptic flow, set the rest to zero for good, and train on R.

    The idea of pruning first is Jia et al.'s (2023, section 4); the criterion is SynFlow (Tanaka et al. 2020, arXiv
    2006.05467, Algorithm 1), with the settings of Dataset Condensation Driven Machine Unlearning (2024, Table II).
    """

    key = "synflow"
    order = 42
    remedy = MappingProxyType({"shards": 1})
    card = Card(
        name="Prune then unlearn",
        summary="Cuts most weights of the original without looking at any data, then trains the rest on what is kept.",
        family="sparsity",
        formula="keep the largest |theta d/dtheta sum f(1; |theta|)|, found in rounds; then min CE(R) on those",
        reads=("retain",),
        cost="3 forward-equivalents x (rounds + |R| x epochs)",
        paper="Model Sparsity Can Simplify Machine Unlearning",
        year=2023,
        arxiv="2304.04934",
        departs="Pruned by SynFlow and trained with Adam 1e-3 for 30 epochs, as Dataset Condensation Driven Machine "
        "Unlearning says, in batches of 64 instead of 256, with the recipe's weight decay and label smoothing. Exactly "
        "the share asked for goes; ties are cut by order.",
        fails="What the few weights left can hold sets the accuracy and the margins; those kept still carry part of "
        "the forget set, and nothing points at it.",
    )
    published = Preset(
        settings={"ratio": 0.95, "rounds": 100, "lr": 1e-3, "epochs": 30, "batch_size": 256},
        source="Dataset Condensation Driven Machine Unlearning, table II, as P+U",
        gap="no number is compared: networks and attack are other ones",
    )
    tuned = MappingProxyType({"ratio": "0.3|0.6|0.9", "epochs": "5|15"})

    ratio: Annotated[
        float, Knob("share pruned", "How many of the weights of linear and convolution layers go.", low=0, high=0.999)
    ] = 0.95
    rounds: Annotated[
        int, Knob("rounds", "Pruning rounds; the share kept falls by the same factor in each.", low=1, high=1000)
    ] = 100
    lr: Annotated[float, Knob("learning rate", "Step length of Adam.", low=1e-7, high=1, scale="log")] = 1e-3
    epochs: Annotated[int, Knob("epochs", "Passes over the retain set after pruning.", low=1, high=100)] = 30
    batch_size: Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)] = 64

    def misfit(self, training: Training, architecture: Architecture) -> str | None:  # noqa: ARG002
        """Refuse networks that vote: there is no flow through a vote."""
        if training.shards > 1:
            return "Prune then unlearn follows weights through one network: set shards under Training to 1."
        return None

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 3 forward-equivalents per round, each on one picture, and per retain example and epoch."""
        return 3.0 * (self.rounds + retain * self.epochs)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield the original, the pruned networks, and then after each update on a retain batch."""
        streams = Streams(seed, self.key, original.ids, original.device)
        total = 1 + self.epochs * task.retain.steps(self.batch_size)
        yield Stepper(original, total=total, lr=0.0).snapshot()
        mask = prune(original, self.ratio, self.rounds)
        pruned = replace(original, params={k: v * mask[k] for k, v in original.params.items()})
        decay = task.objective.weight_decay
        # The stepper holds what may not move at its start, so it starts from the pruned networks: there it is zero.
        stepper = Stepper(pruned, total=total, lr=self.lr, optimizer="adam", weight_decay=decay, movable=mask)
        stepper.place(pruned.params, seen=self.rounds, cost=self.rounds * (FORWARD + BACKWARD))
        yield stepper.snapshot()
        for _ in range(self.epochs):
            for x, y in task.retain.epoch(streams, self.batch_size):
                size = y.shape[1]
                stepper.step(task.objective.loss, x, y, seen=size, cost=size * (FORWARD + BACKWARD), name="retain loss")
                yield stepper.snapshot()


def prune(ensemble: Ensemble, ratio: float, rounds: int) -> dict[str, Tensor]:
    """Return which weights SynFlow keeps: bool (M, ...) for every parameter, True where it does not prune.

    After round k of n the share (1 - ratio)^(k / n) of the prunable weights is left, rounded to whole weights; the
    smallest scores of the whole network go, equal ones in the order of the weights. No data are read.

    Cost: 3 forward-equivalents per round.
    """
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        masks = [prune(ensemble[m : m + 1], ratio, rounds) for m in range(len(ensemble))]
        return {k: torch.cat([mask[k] for mask in masks]) for k in masks[0]}  # (M, ...)
    names = prunable(ensemble.net)
    unpruned = {k: torch.ones_like(v, dtype=torch.bool) for k, v in ensemble.params.items()}
    count = sum(unpruned[k][0].numel() for k in names)
    for number in range(1, rounds + 1):
        scores = synaptic_flow(replace(ensemble, params={k: v * unpruned[k] for k, v in ensemble.params.items()}))
        # Pruned weights come first, so that none comes back where others, cut off by now, score zero as well.
        flat = torch.cat([scores[n].masked_fill(~unpruned[n], -1.0).flatten(1) for n in names], dim=1)  # (M, prunable)
        remaining = round(count * (1 - ratio) ** (number / rounds))
        unpruned |= _split_like(~smallest(flat, count - remaining), names, unpruned)
    return unpruned


def synaptic_flow(ensemble: Ensemble) -> dict[str, Tensor]:
    """Return |theta d/dtheta of the sum of outputs| of the network with absolute weights on a picture of ones.

    float64 (M, ...) for every prunable weight, not negative. In a network without biases each layer's scores add up to
    the same, the sum of outputs. Batch norm is in evaluation mode, its statistics made absolute like the weights.

    Cost: 3 forward-equivalents.
    """
    skeleton = ensemble.net.evaluation_skeleton
    # A product of many layers' absolute weights leaves float32's range long before it leaves float64's.
    weights = {k: v.abs().double() for k, v in ensemble.params.items()}
    buffers = {k: v.abs().double() if v.is_floating_point() else v for k, v in ensemble.buffers.items()}
    ones = torch.ones(1, *ensemble.net.shape, dtype=torch.float64, device=ensemble.device)  # (1, c, h, w)
    movable = {k: weights[k].requires_grad_() for k in prunable(ensemble.net)}

    def outputs(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return functional_call(skeleton, {**weights, **buffers}, (ones,)).sum()

    with torch.enable_grad():
        total = vmap(outputs)(weights, buffers).sum()
        grads = torch.autograd.grad(total, list(movable.values()))
    return {k: (v.detach() * grad).abs() for (k, v), grad in zip(movable.items(), grads, strict=True)}


def prunable(net: Net) -> list[str]:
    """Return the names of the weights of linear and convolution layers: not biases, not batch norm."""
    layers = net.evaluation_skeleton.named_modules()
    return [f"{name}.weight" for name, layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)]


def _split_like(flat: Tensor, names: list[str], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the columns of ``flat`` (M, n) in the shapes of ``like``'s tensors (M, ...) of these names."""
    parts = flat.split([like[name][0].numel() for name in names], dim=1)
    return {name: part.view_as(like[name]) for name, part in zip(names, parts, strict=True)}
