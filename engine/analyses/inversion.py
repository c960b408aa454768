"""What can be drawn from the weights: pictures that a network's own knowledge brings about, beside the true ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import uniform_filter
from torch import Tensor, nn

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import ROLES, Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement
from engine.models.base import Network
from engine.seeds import derive

ATTACKS = ("data-free", "inverter", "difference")
_LABELS = 64
"""Pictures of a class, or of a part of one, that the inverter looks at, at most."""


@dataclass(frozen=True)
class Inversion(Analysis):
    """Three attacks on weights, each on networks of every role.

    Data-free: from noise, the picture whose class the network is surest of, kept smooth (total variation) and small,
    and near the statistics that batch norm keeps where there is one. Inverter: a small generator turns the code of a
    class into a picture, learned against the frozen network and, with ``similarity``, against the class's own
    pictures; that term sees the training pictures, so it flatters, and 0 leaves it out. Difference: pictures whose
    gradient points along original less other weights, for one who holds both.
    """

    key = "inversion"
    order = 9
    over = "first chunk"
    doing = "drawing from weights"
    card = Card(
        name="Inversion",
        summary="Draws from the weights what a class looks like to a network, before, after, and had it never seen it.",
        family="inversion",
        formula="min_x CE(f(x), c) + a TV(x) + b |x|^2 (data-free); min_G CE(f(G(e_c)), c) + l |G(e_c) - x_c|^2",
        reads=("weights", "pictures"),
        cost="two passes of a handful of pictures per network and step",
        paper="Dataset Condensation Driven Machine Unlearning",
        year=2024,
        arxiv="2402.00195",
        better="oracle",
        departs="The paper prints no generator, weight or epochs: two layers of 64 units, weight 1 and 300 steps here. "
        "Codes are of classes, or of clusters of each, by pixels.",
        fails="A picture that looks like the class may come from the attack's own smoothness: compare with what is "
        "drawn from oracles, which never saw it.",
    )

    attack: Annotated[str, Knob("attack", "What the attacker does, and holds.", choices=ATTACKS)] = "data-free"
    classes: Annotated[int, Knob("classes", "Classes drawn: those forgotten first.", low=1, high=20)] = 4
    clusters: Annotated[
        int,
        Knob("clusters", "Parts of each class that are drawn by themselves: pictures that resemble each other.", low=1,
             high=8, advanced=True),
    ] = 1  # fmt: skip
    networks: Annotated[int, Knob("networks", "Networks of each kind that are attacked.", low=1, high=20)] = 4
    steps: Annotated[int, Knob("steps", "Steps of each attack.", low=1, high=5000)] = 300
    smooth: Annotated[
        float, Knob("smoothness", "Weight of total variation.", low=0, high=100, scale="log", advanced=True)
    ] = 0.05
    similarity: Annotated[
        float,
        Knob("similarity", "Inverter: weight of the term that sees training pictures.", low=0, high=100, advanced=True),
    ] = 1.0

    def planned_cost(self, subject: Subject) -> float:
        """Return three passes of each class's picture, per network of each role and step."""
        again = 3.0 if self.attack == ATTACKS[2] else 1.0
        drawn = self.classes * self.clusters
        return 3.0 * again * len(ROLES) * min(self.networks, subject.models) * drawn * self.steps

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return what was drawn, and how like the class it is, for each class or each cluster of one: C' in all.

        ``pictures`` float32 (roles, networks, C', c, h, w) from 0 to 1; ``means`` (C', c, h, w), of the class's
        training pictures, and ``nearest`` (roles, networks, C', c, h, w), the forgotten picture of the class that is
        nearest (of a class without one, its training picture). ``ssim`` and ``mse`` float32 (roles, networks, C', 2):
        to the mean, and to the nearest; SSIM is NaN of rows. ``sure`` float32 (roles, networks, C'): the probability
        that the attacked network gives to the class. Of the difference there is nothing for the original.
        """
        count = min(self.networks, len(bench))
        labels, forget = bench.labels[: bench.train], bench.splits["forget"]
        chosen = self._classes(labels, forget, len(bench.classes))
        images = bench.images
        device = images.x.device
        scale = (images.mean, images.std)
        own, chosen, names = self._parts(bench, [np.flatnonzero(labels == c) for c in chosen], chosen, seed)
        gone = [np.intersect1d(at, forget) for at in own]
        true = [_real(images.pictures(torch.from_numpy(at).to(device)), scale) for at in own]
        lost = [_real(images.pictures(torch.from_numpy(at).to(device)), scale) for at in gone]
        means = torch.stack([x.mean(dim=0) for x in true])  # (C', c, h, w)
        target = torch.tensor(chosen, device=device)
        shape = (len(ROLES), count, *means.shape)
        drawn, nearest = torch.full(shape, torch.nan), torch.full(shape, torch.nan)
        sure = np.full(shape[:3], np.nan, np.float32)
        for r, role in enumerate(ROLES):
            if self.attack == ATTACKS[2] and role == ROLES[0]:
                continue
            for m in range(count):
                progress((r * count + m) / (len(ROLES) * count), f"{role} {m + 1} of {count}")
                network = bench.network(role, m)
                draw = torch.Generator().manual_seed(derive(seed, f"inversion:{self.attack}", m))
                if self.attack == ATTACKS[0]:
                    x = _data_free(network, means.shape, target, self.steps, self.smooth, draw)
                elif self.attack == ATTACKS[1]:
                    x = _inverter(network, true, target, self.steps, self.similarity, scale, draw)
                else:
                    original = bench.network(ROLES[0], m)
                    x = _difference(original, network, means.shape, target, self.steps, self.smooth, draw)
                with torch.no_grad():
                    sure[r, m] = network(x).softmax(-1).gather(1, target[:, None])[:, 0].cpu().numpy()
                drawn[r, m] = _real(x, scale).cpu()
                for c, (those, all_of_them) in enumerate(zip(lost, true, strict=True)):
                    pool = those if len(those) else all_of_them
                    distance = (pool - drawn[r, m, c].to(device)).square().flatten(1).mean(dim=1)
                    nearest[r, m, c] = pool[distance.argmin()].cpu()
        pictures, close, average = drawn.numpy(), nearest.numpy(), means.cpu().numpy()
        ssim, mse = np.full((*shape[:3], 2), np.nan, np.float32), np.full((*shape[:3], 2), np.nan, np.float32)
        for place in np.ndindex(*shape[:3]):
            for which, other in enumerate((average[place[2]], close[place])):
                mse[(*place, which)] = np.mean((pictures[place] - other) ** 2)
                ssim[(*place, which)] = similarity(pictures[place], other)
        facts = {
            "roles": list(ROLES),
            "classes": names,
            "forgotten": [len(at) for at in gone],
            "attack": self.attack,
            "guessed": self._guessed(bench, count) if self.attack == ATTACKS[2] else [],
            "similarity": self.similarity if self.attack == ATTACKS[1] else 0.0,
        }
        blank = np.nan_to_num(pictures), np.nan_to_num(close)
        arrays = {"pictures": blank[0], "nearest": blank[1], "means": average, "ssim": ssim, "mse": mse, "sure": sure}
        return Measurement(arrays, facts)

    def _classes(self, labels: np.ndarray, forget: np.ndarray, classes: int) -> list[int]:
        """Return the classes to draw: those most of which is forgotten first, then the others."""
        gone = np.bincount(labels[forget], minlength=classes) / np.maximum(1, np.bincount(labels, minlength=classes))
        return [int(c) for c in np.argsort(-gone, kind="stable")[: self.classes]]

    def _parts(
        self, bench: Bench, own: list[np.ndarray], chosen: list[int], seed: int
    ) -> tuple[list[np.ndarray], list[int], list[str]]:
        """Return the pictures of what is drawn, the class of each, and its name: classes, or clusters of each."""
        if self.clusters == 1:
            return own, chosen, [bench.classes[c] for c in chosen]
        from sklearn.cluster import KMeans

        pixels = bench.images.pictures(slice(None)).flatten(1).cpu().numpy()  # (P, D)
        parts, classes, names = [], [], []
        for at, c in zip(own, chosen, strict=True):
            count = min(self.clusters, len(at))
            state = derive(seed, "inversion:clusters", c) % 2**32
            of = KMeans(count, n_init=4, random_state=state).fit_predict(pixels[at])
            largest = np.argsort(-np.bincount(of, minlength=count), kind="stable")
            for number, part in enumerate(largest, start=1):
                if (of == part).any():
                    parts.append(at[of == part])
                    classes.append(c)
                    names.append(f"{bench.classes[c]}, part {number}")
        return parts, classes, names

    @staticmethod
    def _guessed(bench: Bench, count: int) -> list[str]:
        """Return, for each network, the class that the change of the last layer's bias gives away."""
        names = []
        for m in range(count):
            before, after = (dict(bench.network(role, m).named_parameters()) for role in ("original", "unlearned"))
            bias = next(reversed([name for name, weight in before.items() if weight.ndim == 1]), None)
            if bias is not None:
                names.append(bench.classes[int((before[bias] - after[bias]).argmax())])
        return names


def _real(x: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
    """Return normalised pictures as values from 0 to 1."""
    mean, std = scale
    return (x * std + mean).clamp(0, 1)


def _variation(x: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels."""
    parts = [x.diff(dim=axis).abs().mean() for axis in (-2, -1) if x.shape[axis] > 1]
    return torch.stack(parts).sum() if parts else x.new_zeros(())


def _descended(x: Tensor, steps: int, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Return pictures x after ``steps`` of Adam on a loss."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=0.05)
        for _ in range(steps):
            optimizer.zero_grad()
            (x.grad,) = torch.autograd.grad(loss(x), [x])
            optimizer.step()
    return x.detach()


def _data_free(
    network: Network, shape: torch.Size, target: Tensor, steps: int, smooth: float, draw: torch.Generator
) -> Tensor:
    """Return pictures (C', c, h, w) that the network is sure of, from noise alone."""
    start = torch.randn(shape, generator=draw).to(target.device) * 0.1
    statistics: list[Tensor] = []

    def look(module: nn.BatchNorm2d, inputs: tuple[Tensor], _output: Tensor) -> None:
        x = inputs[0]
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        statistics.append((mean - module.running_mean).square().mean() + (var - module.running_var).square().mean())

    handles = [one.register_forward_hook(look) for one in network.modules() if isinstance(one, nn.BatchNorm2d)]

    def loss(x: Tensor) -> Tensor:
        statistics.clear()
        value = F.cross_entropy(network(x), target, reduction="sum")
        value = value + len(target) * (smooth * _variation(x) + 1e-3 * x.square().mean())
        return value + sum(statistics, start=x.new_zeros(()))

    try:
        return _descended(start, steps, loss)
    finally:
        for handle in handles:
            handle.remove()


def _inverter(
    network: Network,
    true: list[Tensor],
    target: Tensor,
    steps: int,
    weight: float,
    scale: tuple[Tensor, Tensor],
    draw: torch.Generator,
) -> Tensor:
    """Return what a generator makes of each class's code, learned against the frozen network (Algorithm 3)."""
    mean, std = scale
    shape, codes = true[0].shape[1:], torch.eye(len(target), device=target.device)
    sizes = [(64, len(target)), (64, 64), (shape.numel(), 64)]
    layers = [(torch.randn(size, generator=draw) / size[1] ** 0.5).to(target.device) for size in sizes]
    some = [x[:_LABELS] for x in true]

    def generate(weights: list[Tensor]) -> Tensor:
        hidden = F.relu(F.relu(codes @ weights[0].T) @ weights[1].T)
        return torch.sigmoid(hidden @ weights[2].T).view(len(codes), *shape)  # from 0 to 1

    with torch.enable_grad():
        weights = [layer.requires_grad_() for layer in layers]
        optimizer = torch.optim.Adam(weights, lr=0.01)
        for _ in range(steps):
            x = generate(weights)
            loss = F.cross_entropy(network((x - mean) / std), target)
            if weight:
                loss = (
                    loss + weight * torch.stack([(a - b).square().mean() for a, b in zip(x, some, strict=True)]).mean()
                )
            optimizer.zero_grad()
            for layer, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                layer.grad = slope
            optimizer.step()
        return ((generate(weights) - mean) / std).detach()


def _difference(
    original: Network,
    other: Network,
    shape: torch.Size,
    target: Tensor,
    steps: int,
    smooth: float,
    draw: torch.Generator,
) -> Tensor:
    """Return pictures whose loss has its gradient, at the original weights, along the change of weights."""
    before, after = list(original.parameters()), list(other.parameters())
    change = torch.cat([(b - a).detach().flatten() for a, b in zip(before, after, strict=True)])  # unlearned - original
    start = torch.randn(shape, generator=draw).to(target.device) * 0.1

    def loss(x: Tensor) -> Tensor:
        value = F.cross_entropy(original(x), target)
        slope = torch.cat([part.flatten() for part in torch.autograd.grad(value, before, create_graph=True)])
        return 1 - F.cosine_similarity(slope, change, dim=0) + smooth * _variation(x)

    return _descended(start, steps, loss)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the structural similarity (SSIM) of two pictures (c, h, w) from 0 to 1, the mean over channels.

    Windows of 7x7 pixels, or the largest odd size that fits; NaN of anything smaller than 3 pixels a side. Source: Wang
    et al. 2004, with the sample covariance.
    """
    side = min(first.shape[1:])
    if side < 3:
        return float("nan")
    window = min(7, side - (side % 2 == 0))
    c1, c2, n = 0.01**2, 0.03**2, window * window
    values = []
    for a, b in zip(first.astype(np.float64), second.astype(np.float64), strict=True):
        ma, mb = uniform_filter(a, window), uniform_filter(b, window)
        unbiased = n / (n - 1)
        va, vb = (
            (uniform_filter(a * a, window) - ma * ma) * unbiased,
            (uniform_filter(b * b, window) - mb * mb) * unbiased,
        )
        vab = (uniform_filter(a * b, window) - ma * mb) * unbiased
        map_ = ((2 * ma * mb + c1) * (2 * vab + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
        edge = window // 2
        values.append(map_[edge : map_.shape[0] - edge, edge : map_.shape[1] - edge].mean())
    return float(np.mean(values))
