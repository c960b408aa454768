"""Learning the unlearner: many small trainings with and without a forget set, and a regression from one to the other.

A lesson knows nothing of the requests that will come. It is made once for a recipe's originals and then answers each
request with one evaluation. Source: Learning to Unlearn (L2UL).

What is learned is the change of the weights: theta' = theta + |F| / |R| u(mu_F, mu_D, theta), with mu the kernel mean
embeddings of :mod:`engine.isolation` and u the regression. The factor is how the change grows with F to first order,
and it makes an empty request change nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from engine.curvature import flatten, unflatten
from engine.descent import Stepper, learning_rate
from engine.ensemble import Ensemble
from engine.isolation import IsolationKernel, likeness
from engine.losses import mean_weighted_cross_entropy
from engine.models.base import Net
from engine.records import Training
from engine.seeds import derive
from engine.streams import Streams
from engine.task import Images

STARTS = 32
"""Initialisations that a lesson shared by all originals is learned from; the last tenth of them is held out."""
HELD_OUT = 10
"""Every tenth lesson is not learned from: it chooses the regression's strictness and says how well it does."""
HIDDEN = (256, 64)
"""The paper's network."""
_EPOCHS, _BATCH, _LR = 60, 64, 1e-3
_PENALTIES = tuple(10 ** (k / 2) for k in range(-10, 3))
_TOLERANCE = 1.05
"""The strictest penalty whose held-out error is within this factor of the best is taken."""
_FLOATS = 2**21
"""Most numbers of a batch of pictures of all rows of a stack: larger stacks leave the processor's cache."""

_TENSORS = ("whole", "centre", "scale", "theta_centre", "theta_scale", "seen", "held_out")

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Teaching:
    """How a lesson is made: what :class:`engine.unlearners.l2ul.L2UL` lets one set."""

    lessons: int
    subset: float
    largest: float
    alike: float
    psi: int
    partitions: int
    labels: bool
    regressor: str

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Read a method's settings."""
        return cls(**settings)

    def drawn(self, n: int) -> int:
        """Return how many of ``n`` training pictures a subset holds."""
        return min(n, max(2, round(self.subset * n)))

    def trainings(self, *, train: int, serves_all: bool) -> int:
        """Return how many networks are trained for one unlearner, of ``train`` pictures."""
        starts = STARTS if serves_all else 1
        return self.lessons + (min(starts, self.lessons) if self.drawn(train) == train else self.lessons)

    def cost(self, *, train: int, training: Training, models: int, serves_all: bool) -> float:
        """Return what it takes to learn it: forward-equivalent example passes of all trainings for ``models``."""
        one = training.passes * training.epochs * self.drawn(train)
        return one * self.trainings(train=train, serves_all=serves_all) * (1 if serves_all else models)


@dataclass(frozen=True)
class Lesson:
    """A learned unlearner of one model for all (``ids`` None), or of one for each of the originals ``ids``.

    ``size`` is |D|, ``whole`` mu_D (W,). ``centre`` (2, W) and ``scale`` (2,) say how mu_F and mu_D are moved and
    stretched, ``theta_centre`` (G, P) and ``theta_scale`` (G,) the same of the weights; what never varied in the
    lessons has scale 0 and is left out. ``seen`` (n, V) are the embeddings of the lessons learned from, where a linear
    regression per original compares with them (n = 0 elsewhere); ``weights`` those of the regression, each (G, ...).
    ``held_out`` is the distance to the retrained weights on lessons that were not learned from, over that of doing
    nothing, per model (G,).
    """

    kernel: IsolationKernel
    size: int
    whole: Tensor
    centre: Tensor
    scale: Tensor
    theta_centre: Tensor
    theta_scale: Tensor
    seen: Tensor
    weights: Mapping[str, Tensor]
    held_out: Tensor
    ids: tuple[int, ...] | None = None

    def of(self, ids: Sequence[int]) -> Lesson:
        """Return what serves the originals with these numbers, in their order.

        Raises:
            ValueError: it was not learned for one of them.
        """
        if self.ids is None or tuple(ids) == self.ids:
            return self
        if missing := set(ids) - set(self.ids):
            raise ValueError(f"there is no lesson for the models {sorted(missing)}")
        rows = torch.tensor([self.ids.index(i) for i in ids], device=self.whole.device)
        return replace(
            self,
            theta_centre=self.theta_centre[rows],
            theta_scale=self.theta_scale[rows],
            weights={k: v[rows] for k, v in self.weights.items()},
            held_out=self.held_out[rows],
            ids=tuple(ids),
        )

    @torch.no_grad()
    def answer(self, params: Mapping[str, Tensor], forget: Images) -> dict[str, Tensor]:
        """Return the weights (M, ...) that ``params`` (M, ...) would have, had they never seen ``forget``.

        One evaluation of the regression. Cost: |F| t psi distances.

        Raises:
            ValueError: nothing would be left of the training set.
        """
        if len(forget) >= self.size:
            raise ValueError("the forget set is the whole training set; nothing is left to answer for")
        theta = flatten(params)  # (M, P)
        ones = self.kernel.ones(forget.pictures(slice(None)).flatten(1), forget.y)  # (F, t)
        means = torch.stack([self.kernel.mean(ones), self.whole])  # (2, W)
        embedded = _embedded(means, self.centre, self.scale)  # (V,)
        own = _own(theta, self.theta_centre, self.theta_scale)  # (M, P or 0)
        odds = len(forget) / (self.size - len(forget))
        return unflatten(theta + odds * self._rate(embedded, own), params)

    def _rate(self, embedded: Tensor, own: Tensor) -> Tensor:
        """Return the change per odds of being forgotten (M, P) from inputs (V,) and (M, P or 0)."""
        if "dual" not in self.weights:
            x = torch.cat([embedded.expand(len(own), -1), own], dim=1).unsqueeze(1)  # (M, 1, V + P)
            return (
                x @ self.weights["map"] + self.weights["bias"] if "map" in self.weights else network(self.weights, x)
            )[:, 0]
        alike = 1 + self.seen @ embedded + (self.weights["own"] @ own.unsqueeze(-1))[..., 0]  # (M, n)
        return (alike.unsqueeze(1) @ self.weights["dual"])[:, 0]  # (M, 1, n) (M or 1, n, P)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything but the plain numbers under one name each, for a file."""
        plain = {name: getattr(self, name) for name in _TENSORS}
        return {"centres": self.kernel.centres, **plain, **{f"weights/{k}": v for k, v in self.weights.items()}}

    def meta(self) -> dict[str, Any]:
        """Return the plain numbers; with :meth:`tensors` all there is."""
        return {
            "classes": self.kernel.classes,
            "size": self.size,
            "ids": None if self.ids is None else list(self.ids),
            "held_out": float(self.held_out.mean()),
        }

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Lesson:
        """Read what :meth:`tensors` and :meth:`meta` returned."""
        weights = {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}
        kernel = IsolationKernel(tensors["centres"], meta["classes"])
        ids = None if meta["ids"] is None else tuple(meta["ids"])
        return cls(kernel, meta["size"], weights=weights, ids=ids, **{name: tensors[name] for name in _TENSORS})


def shared(architecture: str) -> bool:
    """Return whether one lesson serves all originals.

    It does where the loss is convex: the weights then change alike whatever they started from. Hidden units have no
    order that two networks agree on, so each network needs a lesson from its own start.
    """
    return architecture == "logistic"


def learn(
    net: Net,
    images: Images,
    training: Training,
    teaching: Teaching,
    *,
    seed: int,
    ids: Sequence[int],
    progress: Progress = lambda _share, _message: None,
) -> Lesson:
    """Make the lesson for originals of ``seed`` with numbers ``ids``; model i's depends only on (spec, seed, i).

    Each lesson draws a subset of the training pictures and a forget set within it, and trains a network twice from one
    start and with the same batches: on the subset, and with the forgotten pictures left out of each batch. The starts
    are the originals' own, or for a shared lesson :data:`STARTS` others. All trainings of a model are one stacked
    ensemble, whatever the recipe's strategy.

    Raises:
        ValueError: there are fewer training pictures than cells.
    """
    once = shared(net.architecture.key)
    points = images.pictures(slice(None)).flatten(1)  # (N, d)
    kernel = IsolationKernel.of(
        points,
        psi=teaching.psi,
        partitions=teaching.partitions,
        seed=derive(seed, "lesson"),
        classes=net.classes if teaching.labels else 1,
    )
    ones = kernel.ones(points, images.y)  # (N, t)
    subsets, kept = _requests(teaching, ones.cpu(), derive(seed, "lesson"))  # (m, s), (m, s)
    subsets, kept = subsets.to(ones.device), kept.to(ones.device)
    gone = torch.stack([kernel.mean(ones[s[~k]]) for s, k in zip(subsets, kept, strict=True)])  # (m, W)
    around = torch.stack([kernel.mean(ones[s]) for s in subsets])  # (m, W)
    means = torch.stack([gone, around], dim=1)  # (m, 2, W)
    centre, scale = means.mean(dim=0), torch.stack([_scale(gone), _scale(around)])  # (2, W), (2,)
    embedded = _embedded(means, centre, scale)  # (m, V)
    share = (~kept).float().mean(dim=1)  # (m,)
    held = _held_out(teaching.lessons, once).to(ones.device)  # (m,)
    whole = kernel.mean(ones)  # (W,)
    groups: list[tuple[str, Sequence[int]]] = [("lesson", range(STARTS))] if once else [("original", [i]) for i in ids]
    found = []
    for number, (role, starts) in enumerate(groups):
        trained = _pairs(net, images, training, subsets, kept, seed, role, starts,
                         lambda part, n=number: progress((n + part) / len(groups), "training the lessons"))  # fmt: skip
        theta, after = trained  # (m, P), (m, P)
        theta_scale = _scale(theta)
        own = _own(theta, theta.mean(dim=0), theta_scale)  # (m, P or 0)
        stream = seed if once else derive(seed, "lesson-model", starts[0])
        fit = _ridge if teaching.regressor == "linear" else functools.partial(_network, seed=stream)
        progress((number + 1) / len(groups), "learning from the lessons")
        weights, error = fit(embedded, own, after - theta, share, held)
        if once and "dual" in weights:
            weights = _as_map(weights, embedded[~held])
        found.append((theta.mean(dim=0), theta_scale, weights, error))
    return Lesson(
        kernel,
        len(images),
        whole,
        centre,
        scale,
        torch.stack([f[0] for f in found]),
        torch.stack([f[1] for f in found]),
        embedded[~held] if "dual" in found[0][2] else embedded[:0],
        {k: torch.stack([f[2][k] for f in found]) for k in found[0][2]},
        torch.tensor([f[3] for f in found], device=whole.device),
        None if once else tuple(ids),
    )


def network(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return what the paper's network of two hidden layers says to inputs x (..., n, d): (..., n, P)."""
    hidden = (x @ weights["w1"] + weights["b1"]).relu()  # (..., n, 256)
    hidden = (hidden @ weights["w2"] + weights["b2"]).relu()  # (..., n, 64)
    return hidden @ weights["w3"] + weights["b3"]


def _requests(teaching: Teaching, ones: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw subsets int64 (m, s) of training pictures, and which of them stay, bool (m, s).

    Sizes are even from 1 to ``largest`` of the subset. A share ``alike`` of the forget sets are the pictures most like
    one of them under the kernel, the rest are drawn evenly, as in the paper.
    """
    n = len(ones)
    size = teaching.drawn(n)
    most = max(1, min(size - 1, round(teaching.largest * size)))
    subsets, kept = [], []
    for number in range(teaching.lessons):
        generator = torch.Generator().manual_seed(derive(seed, "requests", number))
        subset = torch.randperm(n, generator=generator)[:size].sort().values  # (s,)
        one, kind = torch.rand(2, generator=generator).tolist()
        count = min(most, 1 + int(one * most))
        order = torch.rand(size, generator=generator)  # (s,) ties are broken by chance
        if kind < teaching.alike:
            centre = int(torch.randint(size, (1,), generator=generator))
            order = order - (ones.shape[1] + 1) * likeness(ones[subset], ones[subset[centre]])
        keep = torch.ones(size, dtype=torch.bool)
        keep[order.argsort()[:count]] = False
        subsets.append(subset)
        kept.append(keep)
    return torch.stack(subsets), torch.stack(kept)


def _held_out(lessons: int, once: bool) -> Tensor:
    """Return which lessons are not learned from, bool (m,); of a shared lesson all those of the last starts."""
    number = torch.arange(lessons)
    if once and lessons >= 2 * STARTS:
        return number % STARTS >= STARTS - max(1, STARTS // HELD_OUT)
    return number % HELD_OUT == HELD_OUT - 1 if lessons >= HELD_OUT else number == lessons - 1


def _pairs(
    net: Net,
    images: Images,
    training: Training,
    subsets: Tensor,
    kept: Tensor,
    seed: int,
    role: str,
    starts: Sequence[int],
    progress: Callable[[float], None],
) -> tuple[Tensor, Tensor]:
    """Train on each subset (m, s) with and without its forget set; return weights theta and theta', each (m, P)."""
    m, size = subsets.shape
    whole = size == len(images)
    own = torch.arange(m) % len(starts)  # (m,) where in ``starts`` a lesson begins
    # Of all pictures there is one subset, and so one training per start to compare with.
    firsts = torch.arange(min(m, len(starts))) if whole else torch.arange(m)
    rows = torch.cat([own[firsts], own])  # (r,)
    positions = torch.cat([subsets[firsts], subsets])  # (r, s)
    weights = torch.cat([torch.ones_like(kept[firsts]), kept]).float()  # (r, s)
    order = rows.argsort(stable=True)
    step = max(1, _FLOATS // (training.batch_size * images.x[0].numel()))
    theta: Tensor | None = None
    for begin in range(0, len(order), step):
        part = order[begin : begin + step]
        ids = [starts[int(i)] for i in rows[part]]
        trained = _train(net, images, training, positions[part], weights[part], seed, role, ids)
        theta = trained.new_empty(len(order), trained.shape[1]) if theta is None else theta
        theta[part] = trained
        progress(min(1.0, (begin + step) / len(order)))
    return theta[: len(firsts)][own if whole else firsts], theta[len(firsts) :]  # type: ignore[index]


def _train(
    net: Net,
    images: Images,
    training: Training,
    positions: Tensor,
    weights: Tensor,
    seed: int,
    role: str,
    ids: Sequence[int],
) -> Tensor:
    """Train rows on their pictures ``positions`` (r, s) with ``weights`` (r, s) of 0 or 1; return weights (r, P).

    Row k starts as model ``ids[k]`` of ``role`` does in :func:`engine.train.train` and visits pictures in that order.
    """
    different = sorted(set(ids))
    own = torch.tensor([different.index(i) for i in ids], device=images.x.device)  # (r,)
    device = images.x.device
    first = Ensemble.initial(net, seed=seed, role=role, ids=different, device=device, strategy="stacked")
    start = replace(
        first,
        params={k: v[own] for k, v in first.params.items()},
        buffers={k: v[own] for k, v in first.buffers.items()},
        ids=tuple(ids),
    )
    n = positions.shape[1]
    total = training.epochs * -(-n // training.batch_size)
    stepper = Stepper(
        start,
        total=total,
        lr=training.lr,
        optimizer=training.optimizer,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        bf16=training.precision == "bf16",
        restriction=training.restriction,
    )
    loss = functools.partial(
        mean_weighted_cross_entropy, label_smoothing=training.label_smoothing, deviation=training.deviation
    )
    for order in _epochs(Streams(seed, f"{role}:batches", different, device), n, training):
        mine = order[own]  # (r, B)
        x, y = _batch(images, positions, mine, alike=len(different) == 1 and n == len(images))
        lr = learning_rate(training, stepper.step_count, total)
        stepper.step(loss, x, y, weights.gather(1, mine), seen=0, cost=0.0, lr=lr)
    return flatten(stepper.ensemble.params)


def _epochs(streams: Streams, n: int, training: Training) -> Iterator[Tensor]:
    for _ in range(training.epochs):
        yield from streams.epoch(n, training.batch_size)


def _batch(images: Images, positions: Tensor, order: Tensor, *, alike: bool) -> tuple[Tensor, Tensor]:
    """Return the pictures and labels of each row's batch; rows that all see the same share their memory."""
    if not alike:
        return images.batch(positions.gather(1, order))
    x, y = images.batch(order[:1])
    return x.expand(len(order), *x.shape[1:]), y.expand(len(order), -1)


def _scale(block: Tensor) -> Tensor:
    """Return the factor that gives rows (m, d) about their mean a mean squared length of 1; 0 if they are all alike."""
    length = (block - block.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    return torch.where(length > 1e-4, 1 / length, torch.zeros_like(length))


def _embedded(means: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Return embeddings (..., 2, W) about their centre (2, W) times their scale (2,), those with scale 0 left out."""
    kept = [(means[..., k, :] - centre[k]) * scale[k] for k in range(2) if float(scale[k]) > 0]
    return torch.cat(kept, dim=-1) if kept else means[..., 0, :0]  # (..., V)


def _own(theta: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Return weights (M, P) about ``centre`` times ``scale``, both per model or one for all; with scale 0 nothing."""
    if not bool((scale > 0).all()):
        return theta[:, :0]  # (M, 0)
    return (theta - centre) * scale.unsqueeze(-1)  # (M, P)


def _ridge(
    embedded: Tensor, own: Tensor, change: Tensor, share: Tensor, held: Tensor
) -> tuple[dict[str, Tensor], float]:
    """Fit the linear regression with a penalty chosen on the held-out lessons; return weights and held-out distance.

    Each lesson weighs 1 / |F|, so that large requests do not drown small ones: a change grows about as the root of |F|.
    """
    odds = share / (1 - share)  # (m,)
    root = share.rsqrt().double()  # (m,)
    alike = 1 + embedded @ embedded.t() + own @ own.t()  # (m, m)
    design = (alike * odds[:, None] * odds).double() * root[:, None] * root  # (m, m)
    target = change.double() * root[:, None]  # (m, P)
    fit = ~held
    values, vectors = torch.linalg.eigh(design[fit][:, fit])  # (n,), (n, n)
    rotated = vectors.t() @ target[fit]  # (n, P)
    across = design[held][:, fit] @ vectors  # (h, n)
    nothing = target[held].square().sum()
    mean = design.diagonal()[fit].mean()
    errors = []
    for penalty in _PENALTIES:
        left = across @ (rotated / (values + penalty * mean)[:, None]) - target[held]  # (h, P)
        errors.append(float(left.square().sum() / nothing))
    chosen = max(k for k, error in enumerate(errors) if error <= min(errors) * _TOLERANCE)
    dual = vectors @ (rotated / (values + _PENALTIES[chosen] * mean)[:, None])  # (n, P)
    dual = dual * (odds[fit].double() * root[fit])[:, None]
    return {"own": own[fit], "dual": dual.float()}, math.sqrt(errors[chosen])


def _as_map(weights: Mapping[str, Tensor], seen: Tensor) -> dict[str, Tensor]:
    """Return the linear regression as a matrix (V + P, P) and a bias (1, P) instead of by its lessons ``seen`` (n, V).

    Smaller and faster when it serves all originals; many originals are smaller when they share what was seen.
    """
    dual = weights["dual"].double()  # (n, P)
    inputs = torch.cat([seen, weights["own"]], dim=1).double()  # (n, V + P)
    return {"map": (inputs.t() @ dual).float(), "bias": dual.sum(dim=0, keepdim=True).float()}


@torch.enable_grad()
def _network(
    embedded: Tensor, own: Tensor, change: Tensor, share: Tensor, held: Tensor, *, seed: int
) -> tuple[dict[str, Tensor], float]:
    """Fit the paper's network with Adam, keeping the epoch that does best on the held-out lessons; weighted alike."""
    x = torch.cat([embedded, own], dim=1)  # (m, V + P)
    odds = share / (1 - share)  # (m,)
    weight = 1 / share  # (m,)
    unit = float((weight[:, None] * change.square()).mean().sqrt())
    typical = float((weight * odds.square()).mean().sqrt())
    streams = Streams(seed, "regressor", [0], x.device)
    sizes = (x.shape[1], *HIDDEN, change.shape[1])
    weights: dict[str, Tensor] = {}
    for layer in (1, 2, 3):
        spread = math.sqrt(2 / sizes[layer - 1]) if layer < 3 else 0.1 / math.sqrt(sizes[2])
        weights[f"w{layer}"] = (streams.normal(sizes[layer - 1], sizes[layer])[0] * spread).requires_grad_()
        weights[f"b{layer}"] = x.new_zeros(sizes[layer]).requires_grad_()
    optimizer = torch.optim.Adam(list(weights.values()), lr=_LR, foreach=True)
    fit, out = (~held).nonzero()[:, 0], held.nonzero()[:, 0]
    target = change * (typical / unit)  # (m, P)

    def error(rows: Tensor) -> Tensor:
        made = network(weights, x[rows]) * odds[rows, None]  # (b, P)
        return (weight[rows, None] * (made - target[rows]).square()).mean()

    best, nothing = math.inf, float((weight[out, None] * target[out].square()).mean())
    kept = {k: v.detach().clone() for k, v in weights.items()}
    for _ in range(_EPOCHS):
        for order in streams.epoch(len(fit), _BATCH):
            gradients = torch.autograd.grad(error(fit[order[0]]), list(weights.values()))
            for value, gradient in zip(weights.values(), gradients, strict=True):
                value.grad = gradient
            optimizer.step()
        with torch.no_grad():
            left = float(error(out))
        if left < best:
            best, kept = left, {k: v.detach().clone() for k, v in weights.items()}
    kept |= {"w3": kept["w3"] * (unit / typical), "b3": kept["b3"] * (unit / typical)}
    # Biases get a row of their own, so that stacked models broadcast over requests.
    kept = {k: v.unsqueeze(0) if k[0] == "b" else v for k, v in kept.items()}
    return kept, math.sqrt(best / nothing)
