"""Multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn

from engine.cards import Card
from engine.knobs import Knob
from engine.models.base import Architecture, Network


@dataclass(frozen=True)
class MLP(Architecture):
    """Fully connected layers with ReLU; on the digits the default is 64-128-10."""

    key = "mlp"
    order = 1
    card = Card(
        name="MLP",
        summary="Fully connected layers with ReLU: small, fast, and the best case for training many models at once.",
        family="fully connected",
        cost="pixels x hidden + hidden x classes multiplications per example",
    )

    hidden: Annotated[int, Knob("hidden units", "Width of each hidden layer.", low=1, high=4096)] = 128
    depth: Annotated[int, Knob("hidden layers", "Number of hidden layers.", low=1, high=8)] = 1

    def layers(self) -> Mapping[str, str]:
        """Return each hidden layer after its ReLU, and the logits."""
        return {f"hidden {i + 1}": f"body.{2 * i + 2}" for i in range(self.depth)} | {"logits": "head"}

    def build(self, shape: tuple[int, int, int], classes: int) -> Network:
        layers: list[nn.Module] = [nn.Flatten()]
        width = torch.Size(shape).numel()
        for _ in range(self.depth):
            layers += [nn.Linear(width, self.hidden), nn.ReLU()]
            width = self.hidden
        return Network(nn.Sequential(*layers), nn.Linear(width, classes))
