"""Small convolutional networks: a two-layer CNN and LeNet-5."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from engine.cards import Card
from engine.knobs import Knob
from engine.models.base import Architecture, Network


class _Pool(nn.Module):
    """2x2 max pooling of (B, C, H, W), with the channels last in memory: on a CPU ten times faster than channels first.

    It stands before the ReLU, which gives the same numbers (the largest of four is positive or all are not) and leaves
    the ReLU a quarter of the work.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.movedim(-3, -1).contiguous().movedim(-1, -3)  # (B, C, H, W) over (B, H, W, C) in memory
        return F.max_pool2d(x, 2)  # (B, C, H // 2, W // 2)


@dataclass(frozen=True)
class CNN(Architecture):
    """Two 3x3 convolutions, each with ReLU and 2x2 max pooling, then a linear head."""

    key = "cnn"
    order = 2
    card = Card(
        name="Small CNN",
        summary="Two convolutions with pooling: the smallest network with attention maps to look at.",
        family="convolutional",
        cost="about 4 times the MLP's time per example on the digits",
    )
    last_convolution = "body.conv2"
    smallest = 4

    channels: Annotated[
        int, Knob("channels", "Channels of the first convolution; the second has twice as many.", low=1, high=512)
    ] = 16

    def layers(self) -> Mapping[str, str]:
        """Return each block of convolution, pooling and ReLU, and the logits."""
        return {"block 1": "body.relu1", "block 2": "body.relu2", "logits": "head"}

    def build(self, shape: tuple[int, int, int], classes: int) -> Network:
        c, h, w = shape
        body = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(c, self.channels, 3, padding=1),
                pool1=_Pool(),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(self.channels, 2 * self.channels, 3, padding=1),
                pool2=_Pool(),
                relu2=nn.ReLU(),
                flat=nn.Flatten(),
            )
        )
        return Network(body, nn.Linear(2 * self.channels * (h // 4) * (w // 4), classes))


@dataclass(frozen=True)
class LeNet5(Architecture):
    """LeNet-5 with max pooling and ReLU; pictures under 32 pixels are padded by 2, as usual for MNIST."""

    key = "lenet5"
    order = 3
    card = Card(
        name="LeNet-5",
        summary="The classic digit reader: two 5x5 convolutions and three linear layers.",
        family="convolutional",
        cost="61,706 parameters on 28x28 grey pictures",
        paper="Gradient-Based Learning Applied to Document Recognition",
        year=1998,
        departs="Max pooling and ReLU instead of trainable subsampling and tanh, as every modern use of it.",
    )
    last_convolution = "body.conv2"
    smallest = 12

    def layers(self) -> Mapping[str, str]:
        """Return both blocks of convolution, pooling and ReLU, and the three linear layers."""
        return {
            "block 1": "body.relu1",
            "block 2": "body.relu2",
            "linear 1": "body.relu3",
            "linear 2": "body.relu4",
            "logits": "head",
        }

    def build(self, shape: tuple[int, int, int], classes: int) -> Network:
        c, h, w = shape
        padding = 2 if min(h, w) < 32 else 0
        after = [((side + 2 * padding - 4) // 2 - 4) // 2 for side in (h, w)]
        body = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(c, 6, 5, padding=padding),
                pool1=_Pool(),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(6, 16, 5),
                pool2=_Pool(),
                relu2=nn.ReLU(),
                flat=nn.Flatten(),
                fc1=nn.Linear(16 * after[0] * after[1], 120),
                relu3=nn.ReLU(),
                fc2=nn.Linear(120, 84),
                relu4=nn.ReLU(),
            )
        )
        return Network(body, nn.Linear(84, classes))
