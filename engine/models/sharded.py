"""Networks that each learned a shard of the training set and answer together, as one network with a body and a head.

Source: Machine Unlearning (Bourtoule et al. 2021, arXiv 1912.03817), section IV. The networks of all shards sit side by
side in one :class:`engine.models.base.Network`, so everything that measures, stores or changes a network works on them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.models.base import Architecture, Net, Network
from engine.seeds import derive
from engine.training import Training


class _Bodies(nn.ModuleList):
    """The shards' bodies on the same pictures: features (B, S * D), one shard's after the other's."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([body(x) for body in self], dim=-1)  # (B, S * D)


class _Heads(nn.ModuleList):
    """The shards' heads, each on its own features, and their vote."""

    def __init__(self, heads: list[nn.Module], vote: str) -> None:
        super().__init__(heads)
        self.vote = vote

    def forward(self, features: Tensor) -> Tensor:
        parts = features.chunk(len(self), dim=-1)  # S of (B, D)
        return voted(torch.stack([head(part) for head, part in zip(self, parts, strict=True)]), self.vote)


def voted(logits: Tensor, vote: str) -> Tensor:
    """Return the logits (B, C) of S networks with logits (S, B, C) together: logarithms of probabilities.

    ``mean``: log of the mean of their softmax. ``majority``: log of (votes + mean softmax) / (S + 1), each network
    voting for its largest logit. Mean probabilities weigh less than one vote, so the class with most votes wins, they
    decide between equals, and every margin is finite. Gradients pass through them alone: votes have none. One network
    answers as it is.
    """
    if len(logits) == 1:
        return logits[0]
    each = logits.movedim(-1, 0).contiguous().log_softmax(dim=0)  # (C, S, B): classes first, as in losses
    mean = each.logsumexp(dim=1) - math.log(len(logits))  # (C, B)
    if vote == "mean":
        return mean.t()
    first = each.argmax(dim=0, keepdim=True)  # (1, S, B)
    votes = torch.zeros_like(each).scatter(0, first, 1.0).sum(dim=1)  # (C, B)
    return (torch.logaddexp(votes.log(), mean) - math.log(len(logits) + 1)).t()


@dataclass(frozen=True)
class ShardedNet(Net):
    """A network of ``shards`` networks of one architecture, and how they vote."""

    shards: int = 1
    vote: str = "mean"

    @functools.cached_property
    def one(self) -> Net:
        """What each shard's network is."""
        return Net(self.architecture, self.shape, self.classes)

    @functools.cached_property
    def layers(self) -> Mapping[str, tuple[str, ...]]:
        """The layers of all shards side by side; of the logits, the vote."""
        each = self.architecture.layers().items()
        return {name: (path,) if path == "head" else self._in_shards(path) for name, path in each}

    def _in_shards(self, path: str) -> tuple[str, ...]:
        half, dot, rest = path.partition(".")
        return tuple(f"{half}.{s}{dot}{rest}" for s in range(self.shards))

    def initial(self, seed: int) -> Network:
        """Return fresh networks side by side; number s is initialised from (seed, s) alone."""
        each = [self.one.initial(derive(seed, "shard", s)) for s in range(self.shards)]
        return Network(_Bodies([network.body for network in each]), _Heads([n.head for n in each], self.vote))

    def join(self, stacked: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights of M * S networks, S per model in a row, (M * S, ...), under this network's names: (M, ...).

        Nothing is copied: the results are views of ``stacked``.
        """
        weights = {}
        for half in ("body", "head"):  # in the order of Network.named_parameters
            inside = {name.removeprefix(f"{half}."): v for name, v in stacked.items() if name.startswith(f"{half}.")}
            for s in range(self.shards):
                weights |= {f"{half}.{s}.{name}": v[s :: self.shards] for name, v in inside.items()}  # (M, ...)
        return weights

    def split(self, joined: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what :meth:`join` was given, in new memory."""
        shards: dict[str, list[Tensor]] = {}
        for name, weight in joined.items():
            part, _, rest = name.split(".", 2)
            shards.setdefault(f"{part}.{rest}", []).append(weight)  # shards come in their order
        return {name: torch.stack(each, dim=1).flatten(0, 1) for name, each in shards.items()}  # (M * S, ...)


def net_for(architecture: Architecture, shape: tuple[int, int, int], classes: int, training: Training) -> Net:
    """Return the network of a recipe: a plain one, or one of as many networks as the training has shards."""
    if training.sharded:
        return ShardedNet(architecture, shape, classes, training.shards, training.vote)
    return Net(architecture, shape, classes)
