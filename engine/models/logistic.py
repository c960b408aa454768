"""Multinomial logistic regression: the convex case, where exact answers exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from engine.cards import Card
from engine.models.base import Architecture, Network


@dataclass(frozen=True)
class Logistic(Architecture):
    """One linear layer from pixels to logits; its features are the pixels themselves."""

    key = "logistic"
    order = 0
    card = Card(
        name="Logistic regression",
        summary="One linear layer from pixels to classes; its loss is convex, so unlearning has exact answers.",
        family="linear",
        cost="pixels x classes multiplications per example",
    )

    def layers(self) -> Mapping[str, str]:
        """Return the logits alone: before them are the pixels, which no training changes."""
        return {"logits": "head"}

    def build(self, shape: tuple[int, int, int], classes: int) -> Network:
        return Network(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), classes))
