"""Where the networks look: attribution maps of the same pictures by every role's networks, and what they are worth."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import ROLES, Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement
from engine.models.base import Net, Network

KINDS = ("automatic", "gradcam", "guided gradcam", "integrated gradients", "input x gradient", "occlusion")
TARGETS = ("true class", "predicted class")
STEPS = 10
"""Shares of a picture's pixels, a tenth each, after whose removal the deletion curve is measured."""
_PATH = 16
"""Points on the way from black to the picture that integrated gradients average over."""


@dataclass(frozen=True)
class Attention(Analysis):
    """Attribution maps of Captum for some forgotten pictures and kept ones of the same classes, one per network.

    GradCAM looks at the architecture's last convolution: the layer's channels, weighted by the mean gradient of the
    class's logit, where that is positive. Networks without a convolution are asked by integrated gradients. Each map
    is brought to sum 1, so that networks that differ in scale can be averaged and compared: it says how a network
    shares its attention out. The deletion curve is the check that a map means something: the class's probability has
    to fall faster when the most attended pixels go first than when pixels go at random.
    """

    key = "attention"
    order = 8
    over = "chunks"
    doing = "looking at attention"
    card = Card(
        name="Attention",
        summary="Maps which pixels each network's answer rests on, before, after, and had it never seen the picture.",
        family="attention",
        formula="L = relu(sum_k w_k A_k), w_k the mean of d logit_c / d A_k over places (GradCAM)",
        reads=("weights", "pictures"),
        cost="a forward and a backward pass of each picture per network, and 20 forward passes for the check",
        paper="Fast Yet Effective Machine Unlearning",
        year=2021,
        arxiv="2111.08947",
        better="oracle",
        departs="The papers show the map of one network; here the mean over networks with its spread, beside two sets "
        "of oracles.",
        fails="A map of 4x4 or fewer places is coarse, and a network that is sure for another reason looks alike.",
    )

    kind: Annotated[
        str,
        Knob(
            "kind",
            "automatic is GradCAM where there is a convolution, integrated gradients elsewhere.",
            choices=KINDS,
        ),
    ] = "automatic"
    target: Annotated[str, Knob("class asked about", "Whose logit is explained.", choices=TARGETS)] = "true class"
    pictures: Annotated[
        int, Knob("pictures", "Half of them forgotten, half kept ones of the same classes.", low=2, high=64)
    ] = 12
    also: Annotated[str, Knob("further pictures", "Their numbers, separated by spaces.", advanced=True)] = ""

    def misfit(self, subject: Subject) -> str | None:
        """Refuse GradCAM without a convolution, or with several networks in one."""
        if "gradcam" in self.kind and not _convolution(subject.net):
            return "GradCAM needs a convolution, which these networks have none of: choose integrated gradients"
        return None

    def planned_cost(self, subject: Subject) -> float:
        """Return three passes for the map, more for kinds that repeat them, and twenty for the check."""
        size = self.pictures + len(self.also.split())
        side = min(subject.net.shape[1:])
        passes = {"integrated gradients": 3 * _PATH, "occlusion": (side / max(1, side // 4)) ** 2}.get(self.kind, 6)
        return len(ROLES) * subject.models * size * (passes + 2 * STEPS + 1.0)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return the maps and what they are worth.

        ``maps`` float32 (M, roles, n, h, w), each of sum 1 or all 0; ``mass`` float32 (M, roles, n), how much of a map
        lies on the thing, NaN where no mask is known; ``deletion`` float32 (M, roles, 2, STEPS + 1), the mean
        probability of the class asked about while pixels go, the most attended first or at random.
        """
        points = self._points(bench)
        x = bench.images.pictures(torch.from_numpy(points).to(bench.images.x.device))  # (n, c, h, w)
        labels = torch.from_numpy(bench.labels[points]).to(x.device)  # (n,)
        net = bench.ensembles(ROLES[0]).net
        kind = self.kind if self.kind != "automatic" else "gradcam" if _convolution(net) else "integrated gradients"
        masks = None if bench.data.masks is None else bench.data.masks[points]  # (n, h, w)
        rng = np.random.default_rng(seed)
        chance = torch.from_numpy(np.stack([rng.permutation(x[0, 0].numel()) for _ in points])).to(x.device)
        maps: list[list[Tensor]] = [[] for _ in ROLES]
        deletion = np.empty((len(bench), len(ROLES), 2, STEPS + 1), np.float32)
        for r, role in enumerate(ROLES):
            for m in range(len(bench)):
                progress((r + m / len(bench)) / len(ROLES), f"{role} {m + 1} of {len(bench)}")
                network = bench.network(role, m)
                with torch.no_grad():
                    target = labels if self.target == TARGETS[0] else network(x).argmax(-1)  # (n,)
                shared = _shared_out(attribution(network, net, kind, x, target))  # (n, h', w')
                maps[r].append(shared)
                order = _large(shared, x.shape[-2:]).flatten(1).argsort(dim=1, descending=True)  # (n, h w)
                for way, places in enumerate((order, chance)):
                    deletion[m, r, way] = _deleted(network, x, target, places)
        values = torch.stack([torch.stack(each) for each in maps], dim=1)  # (M, roles, n, h', w')
        mass = np.full(values.shape[:3], np.nan, np.float32)
        if masks is not None:
            inside = torch.from_numpy(masks).to(values.device)
            whole = _shared_out(_large(values.flatten(0, 2), x.shape[-2:])).view(*values.shape[:3], *x.shape[-2:])
            mass[:] = (whole * inside).sum(dim=(-2, -1)).cpu().numpy()
        return Measurement(
            {"maps": values.cpu().numpy().astype(np.float32), "mass": mass, "deletion": deletion},
            {
                "roles": list(ROLES),
                "points": points.tolist(),
                "splits": [self._split(bench, int(point)) for point in points],
                "labels": [bench.classes[int(label)] for label in bench.labels[points]],
                "kind": kind,
                "layer": _layer(net) if "gradcam" in kind else "",
                "target": self.target,
                "masked": masks is not None,
            },
        )

    def _points(self, bench: Bench) -> np.ndarray:
        """Return forgotten points spread over the forget set, as many kept ones of their classes, and further ones."""
        forget, labels = np.sort(bench.splits["forget"]), bench.labels
        half = max(1, self.pictures // 2)
        some = forget[np.linspace(0, len(forget) - 1, min(half, len(forget))).astype(int)]
        others = np.concatenate([bench.splits["retain"], bench.splits["test"]])
        beside: list[int] = []
        for point in some:
            alike = [int(p) for p in others[labels[others] == labels[point]] if int(p) not in beside]
            beside += alike[:1]
        further = [int(text) for text in self.also.split() if _number(text) and int(text) < len(labels)]
        return np.array(list(dict.fromkeys([*map(int, some), *beside, *further])), np.int64)

    @staticmethod
    def _split(bench: Bench, point: int) -> str:
        return next(name for name, points in bench.splits.items() if point in points)


def attribution(network: Network, net: Net, kind: str, x: Tensor, target: Tensor) -> Tensor:
    """Return Captum's map of each picture x (n, c, h, w) for the classes ``target`` (n,): (n, h', w'), not negative.

    Maps of pixels are the sum over channels of their size.
    """
    from captum import attr

    layer = network.get_submodule(_layer(net)) if "gradcam" in kind else None
    flat: Callable[[Tensor], Tensor] = lambda values: values.abs().sum(dim=1)  # noqa: E731 - of pixels, over channels
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")  # of copies that nothing else uses
        if kind == "gradcam":
            return attr.LayerGradCam(network, layer).attribute(x, target, relu_attributions=True).detach()[:, 0]
        if kind == "guided gradcam":
            return flat(attr.GuidedGradCam(network, layer).attribute(x.clone().requires_grad_(), target).detach())
        if kind == "integrated gradients":
            return flat(attr.IntegratedGradients(network).attribute(x, target=target, n_steps=_PATH).detach())
        if kind == "input x gradient":
            return flat(attr.InputXGradient(network).attribute(x.clone().requires_grad_(), target=target).detach())
        side = max(1, min(x.shape[-2:]) // 4)
        window, step = (x.shape[1], side, side), (x.shape[1], max(1, side // 2), max(1, side // 2))
        return flat(attr.Occlusion(network).attribute(x, window, strides=step, target=target).detach())


def _number(text: str) -> bool:
    """Return whether a text is a whole number in plain digits, which "²" for one is not."""
    return text.isascii() and text.isdigit()


def _convolution(net: Net) -> bool:
    """Return whether there is one last convolution to look at; networks in shards have several."""
    return net.architecture.last_convolution is not None and len(next(iter(net.layers.values()))) == 1


def _layer(net: Net) -> str:
    return str(net.architecture.last_convolution)


def _shared_out(maps: Tensor) -> Tensor:
    """Return maps (n, h, w) brought to sum 1; one that is 0 everywhere stays so."""
    total = maps.sum(dim=(-2, -1), keepdim=True)
    return torch.where(total > 0, maps / total.clamp(min=1e-30), 0.0)


def _large(maps: Tensor, size: torch.Size) -> Tensor:
    """Return maps (n, h', w') at the size of the pictures."""
    return F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False)[:, 0]


@torch.no_grad()
def _deleted(network: Network, x: Tensor, target: Tensor, order: Tensor) -> np.ndarray:
    """Return the mean probability of ``target`` while pixels are taken away in ``order`` (n, h w): (STEPS + 1,)."""
    values, pixels = np.empty(STEPS + 1, np.float32), order.shape[1]
    for step in range(STEPS + 1):
        gone = torch.zeros(order.shape, dtype=torch.bool, device=x.device)
        gone.scatter_(1, order[:, : round(pixels * step / STEPS)], True)
        seen = torch.where(gone.view(len(x), 1, *x.shape[-2:]), 0.0, x)  # 0 is the mean of the training pictures
        values[step] = float(network(seen).softmax(-1).gather(1, target[:, None]).mean())
    return values
