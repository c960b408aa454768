"""Learning the unlearner: many small trainings with and without a forget set, and a regression from one to the other.

A lesson does not depend on the requests that follow, unless it is learned from what one of them leaves. It is made once
for a recipe's originals and then answers each request with one evaluation. Source: Learning to Unlearn (L2UL).

What is learned is the change of the weights: theta' = theta + |F| / |R| u(mu_F, mu_D, theta), with mu the kernel mean
embeddings of :mod:`engine.isolation` and u the regression. The factor is how the change grows with F to first order,
and it makes an empty request change nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from engine.curvature import flatten, unflatten
from engine.images import Images
from engine.isolation import IsolationKernel
from engine.models.base import Net
from engine.pairs import draw_requests, held_out_lessons, train_pairs
from engine.regression import as_map, fit_linear, fit_network, network
from engine.seeds import derive
from engine.teaching import STARTS, Teaching
from engine.training import Training

_TENSORS = ("whole", "centre", "scale", "theta_centre", "theta_scale", "seen", "held_out")

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Lesson:
    """A learned unlearner of one model for all (``ids`` None), or of one for each of the originals ``ids``.

    ``size`` is |D|, ``whole`` mu_D (W,). ``centre`` (2, W) and ``scale`` (2,) are what mu_F and mu_D are centred and
    multiplied by, ``theta_centre`` (G, P) and ``theta_scale`` (G,) the same of the weights; what never varied in the
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
        """Return the lesson for the originals with these numbers, in their order.

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
        if "whole" in self.weights:
            return unflatten(self._rate(embedded, own), params)
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

    It does where the loss is convex: the weights then change alike from any start. Hidden units have no order common to
    two networks, so each network needs a lesson from its own start.
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
    size: int | None = None,
    progress: Progress = lambda _share, _message: None,
) -> Lesson:
    """Make the lesson for originals of ``seed`` with numbers ``ids``; model i's depends only on (spec, seed, i).

    Each lesson draws a subset of the training pictures and a forget set within it, and trains a network twice from one
    start and with the same batches: on the subset, and with the forgotten pictures left out of each batch. The starts
    are the originals' own, or for a shared lesson :data:`STARTS` others. All trainings of a model are one stacked
    ensemble, whatever the recipe's strategy. ``size`` is that of the data the originals learned, where ``images`` are
    what a request leaves of them.

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
    subsets, retained = draw_requests(teaching, ones.cpu(), derive(seed, "lesson"))  # (m, s), (m, s)
    subsets, retained = subsets.to(ones.device), retained.to(ones.device)
    forgotten = torch.stack([kernel.mean(ones[s[~k]]) for s, k in zip(subsets, retained, strict=True)])  # (m, W)
    around = torch.stack([kernel.mean(ones[s]) for s in subsets])  # (m, W)
    means = torch.stack([forgotten, around], dim=1)  # (m, 2, W)
    centre, scale = means.mean(dim=0), torch.stack([_scale(forgotten), _scale(around)])  # (2, W), (2,)
    embedded = _embedded(means, centre, scale)  # (m, V)
    share = (~retained).float().mean(dim=1)  # (m,)
    held_out = held_out_lessons(teaching.lessons, once).to(ones.device)  # (m,)
    whole = kernel.mean(ones)  # (W,)
    groups: list[tuple[str, Sequence[int]]] = [("lesson", range(STARTS))] if once else [("original", [i]) for i in ids]
    fits = []
    for number, (role, starts) in enumerate(groups):
        trained = train_pairs(net, images, training, subsets, retained, seed, role, starts,
                         lambda part, n=number: progress((n + part) / len(groups), "training the lessons"))  # fmt: skip
        theta, after = trained  # (m, P), (m, P)
        theta_scale = _scale(theta)
        own = _own(theta, theta.mean(dim=0), theta_scale)  # (m, P or 0)
        stream = seed if once else derive(seed, "lesson-model", starts[0])
        fit = fit_linear if teaching.regressor == "linear" else functools.partial(fit_network, seed=stream)
        progress((number + 1) / len(groups), "learning from the lessons")
        if teaching.target == "change":
            weights, error = fit(embedded, own, after - theta, share, held_out)
        else:  # the paper's form: no factor for the size of the request, every lesson weighs alike
            weights, error = fit(embedded, own, after, torch.full_like(share, 0.5), held_out)
            error *= float(after[held_out].norm() / (after - theta)[held_out].norm())
        if once and "dual" in weights:
            weights = as_map(weights, embedded[~held_out])
        if teaching.target == "weights":
            weights["whole"] = after.new_ones(1)
        fits.append((theta.mean(dim=0), theta_scale, weights, error))
    centres, scales, regressions, errors = zip(*fits, strict=True)
    return Lesson(
        kernel,
        len(images) if size is None else size,
        whole,
        centre,
        scale,
        torch.stack(centres),
        torch.stack(scales),
        embedded[~held_out] if "dual" in regressions[0] else embedded[:0],
        {k: torch.stack([weights[k] for weights in regressions]) for k in regressions[0]},
        torch.tensor(errors, device=whole.device),
        None if once else tuple(ids),
    )


def _scale(block: Tensor) -> Tensor:
    """Return the factor that gives rows (m, d) about their mean a mean squared length of 1; 0 if they are all alike."""
    length = (block - block.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    return torch.where(length > 1e-4, 1 / length, torch.zeros_like(length))


def _embedded(means: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Return embeddings (..., 2, W) about their centre (2, W) times their scale (2,), those with scale 0 left out."""
    varied = [(means[..., k, :] - centre[k]) * scale[k] for k in range(2) if float(scale[k]) > 0]
    return torch.cat(varied, dim=-1) if varied else means[..., 0, :0]  # (..., V)


def _own(theta: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Return weights (M, P) about ``centre`` times ``scale``, both per model or one for all; with scale 0 nothing."""
    if not bool((scale > 0).all()):
        return theta[:, :0]  # (M, 0)
    return (theta - centre) * scale.unsqueeze(-1)  # (M, P)
