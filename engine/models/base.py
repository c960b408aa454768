"""What an architecture is: knobs, a card, and a network split in a body (features) and a head (logits)."""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.cards import Card
from engine.knobs import Configured
from engine.seeds import derive


class Network(nn.Module):
    """``head(body(x))``: the body ends in the penultimate features, the head turns them into logits.

    Input float32 (B, C, H, W), normalised; output (B, classes). Layers keep no state besides parameters and buffers,
    so the network runs under ``torch.func.vmap`` with both stacked.
    """

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.head(self.body(x))


@dataclass(frozen=True)
class Architecture(Configured, abc.ABC):
    """A family of networks. Subclasses live in ``engine/models`` and are discovered by scanning.

    ``last_convolution`` names the submodule whose output attention maps use, None where there is none. The penultimate
    features are always the output of ``body``.
    """

    card: ClassVar[Card]
    order: ClassVar[int] = 100
    last_convolution: ClassVar[str | None] = None
    smallest: ClassVar[int] = 1
    """Smallest picture side in pixels the network can take."""
    batch_norm: ClassVar[bool] = False
    """Whether an example's loss depends on its batch, so that a batch's gradient is not the sum of its examples'."""

    def layers(self) -> Mapping[str, str]:
        """Return the submodules whose outputs are worth comparing, by names for people, in order, the logits last."""
        return {"features": "body", "logits": "head"}

    @abc.abstractmethod
    def build(self, shape: tuple[int, int, int], classes: int) -> Network:
        """Return a freshly initialised network for pictures (C, H, W); draws from torch's global generator."""

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """Return why this network cannot take pictures of ``shape``, or None when it can; a row is (D, 1, 1)."""
        side = min(shape[1:])
        if shape[1:] == (1, 1) and (self.last_convolution or self.smallest > 1):
            return (
                f"{self.card.name} needs pictures, and this data set is a table with {shape[0]:,} values a row; "
                "choose logistic regression or an MLP"
            )
        if side < self.smallest:
            return f"{self.card.name} needs pictures of at least {self.smallest} pixels a side; these have {side}"
        return None


@dataclass(frozen=True)
class Net:
    """An architecture fixed to a picture shape and a number of classes: everything needed to rebuild a network."""

    architecture: Architecture
    shape: tuple[int, int, int]
    classes: int

    @functools.cached_property
    def training_skeleton(self) -> Network:
        """One network in training mode whose own weights are never used: stacked weights are put in at each call."""
        return self.initial(0).train()

    @functools.cached_property
    def evaluation_skeleton(self) -> Network:
        """The same in evaluation mode; two skeletons, so that no call has to flip a shared switch."""
        return self.initial(0).eval()

    @functools.cached_property
    def layers(self) -> Mapping[str, tuple[str, ...]]:
        """The layers that the architecture names; each is the outputs of these submodules side by side."""
        return {name: (path,) for name, path in self.architecture.layers().items()}

    def initial(self, seed: int) -> Network:
        """Return a network initialised from ``seed`` alone; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(derive(seed, "initialisation"))
            return self.architecture.build(self.shape, self.classes).float()

    @functools.cached_property
    def width(self) -> int:
        """Return the largest number of activations any part keeps per example, to bound memory in evaluation."""
        sizes = [int(torch.Size(self.shape).numel())]
        skeleton = self.initial(0).eval()
        handles = [
            module.register_forward_hook(lambda _m, _i, out: sizes.append(out.numel())) for module in skeleton.modules()
        ]
        with torch.no_grad():
            skeleton(torch.zeros(1, *self.shape))
        for handle in handles:
            handle.remove()
        return max(sizes)
