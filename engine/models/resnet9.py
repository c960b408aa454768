"""ResNet-9, the network of the CIFAR-10 experiments in Unlearning via Simulated Oracle Matching (appendix D.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from engine.cards import Card
from engine.knobs import Knob
from engine.models.base import Architecture, Network


class _Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class _ScaledLinear(nn.Module):
    """A linear layer without bias whose output is multiplied by a constant, which keeps the first logits small."""

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes, bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.scale


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
            norm=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
        )
    )


@dataclass(frozen=True)
class ResNet9(Architecture):
    """Eight convolutions with batch norm, two of the pairs residual, global max pooling and a scaled linear head."""

    key = "resnet9"
    order = 4
    card = Card(
        name="ResNet-9",
        summary="The small residual network that the KLOM paper trains on CIFAR-10; wants a GPU.",
        family="convolutional",
        cost="about 2.3 million parameters and 310 million multiplications per 32x32 picture at width 64",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
    )
    last_convolution = "body.conv4.conv"
    smallest = 15  # below, the last convolution ends in one pixel, and batch norm refuses a batch of one picture
    batch_norm = True

    width: Annotated[int, Knob("width", "Channels of the first convolution; 64 in the paper.", low=4, high=256)] = 64

    def layers(self) -> Mapping[str, str]:
        """Return each block, the pooled features and the logits."""
        blocks = ("conv1", "conv2", "residual1", "conv3", "residual2", "conv4")
        return {name: f"body.{name}" for name in blocks} | {"pooled": "body.global_pool", "logits": "head"}

    def build(self, shape: tuple[int, int, int], classes: int) -> Network:
        w = self.width
        body = nn.Sequential(
            OrderedDict(
                conv1=_conv(shape[0], w),
                conv2=_conv(w, 2 * w, kernel=5, stride=2, padding=2),
                residual1=_Residual(nn.Sequential(_conv(2 * w, 2 * w), _conv(2 * w, 2 * w))),
                conv3=_conv(2 * w, 4 * w),
                pool=nn.MaxPool2d(2),
                residual2=_Residual(nn.Sequential(_conv(4 * w, 4 * w), _conv(4 * w, 4 * w))),
                conv4=_conv(4 * w, 2 * w, padding=0),
                global_pool=nn.AdaptiveMaxPool2d(1),
                flat=nn.Flatten(),
            )
        )
        return Network(body, _ScaledLinear(2 * w, classes, 0.2))
