"""Products of the loss's curvature with a vector for M models at once, and solving with them.

A curvature matrix has P x P entries per model and is never built: what is computed is its product with one vector per
model. The weights are those of an :class:`engine.ensemble.Ensemble` in evaluation mode, as in :mod:`engine.gradients`.
Vectors are dictionaries of (M, ...) like the weights, or (M, P) once :func:`flatten` has laid them out.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.func import jvp, vjp, vmap

from engine.descent import BACKWARD, FORWARD, Student
from engine.ensemble import Ensemble
from engine.gradients import ExampleLoss
from engine.images import Images

HESSIAN_COST = (FORWARD + BACKWARD) * (1 + BACKWARD)
"""Forward-equivalents per example of one Hessian product: a gradient, and a backward pass through all of that."""
GAUSS_NEWTON_COST = FORWARD + BACKWARD + FORWARD + BACKWARD
"""Forward-equivalents per example of one Gauss-Newton product: logits with their change along the vector, which has as
many products as a backward pass, then forward and back."""

Vector = Mapping[str, Tensor]
BatchProduct = Callable[[Ensemble, Vector, Tensor, Tensor], dict[str, Tensor]]
"""``product(ensemble, vector, x, y)``: curvature of the mean loss of a batch times ``vector``, name to (M, ...)."""


def hessian_product(ensemble: Ensemble, loss: ExampleLoss, vector: Vector, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return (second derivative of the mean loss) x ``vector`` for every model: name to (M, ...).

    The batch is shared, x (B, c, h, w) and y (B,), or each model's own, x (M, B, c, h, w) and y (M, B). It is the
    gradient of <gradient, vector>. The Hessian of a network is not positive definite in general.
    """
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        return _each(ensemble, vector, x, y, lambda *one: hessian_product(one[0], loss, *one[1:]))
    skeleton = ensemble.net.evaluation_skeleton
    own = 0 if y.ndim == 2 else None
    params = {k: v.detach().clone().requires_grad_() for k, v in ensemble.params.items()}

    def one(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(Student(skeleton, params, buffers, bf16=False), x, y)

    with torch.enable_grad():
        losses = vmap(one, in_dims=(0, 0, own, own))(params, dict(ensemble.buffers), x, y)  # (M,)
        grads = torch.autograd.grad(losses.sum(), list(params.values()), create_graph=True)
        along = sum((g * vector[k]).sum() for k, g in zip(params, grads, strict=True))
        return dict(zip(params, torch.autograd.grad(along, list(params.values())), strict=True))


def gauss_newton_product(ensemble: Ensemble, vector: Vector, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return (Gauss-Newton matrix of the mean cross-entropy) x ``vector`` for every model: name to (M, ...).

    The matrix is J^T (diag(p) - p p^T) J, averaged over the batch, with J the derivative of one example's logits and p
    their softmax: the Hessian without the curvature of the network itself, equal to it where logits are linear in the
    weights, and never negative. Labels and their smoothing do not enter; y only decides whether the batch is shared, as
    in :func:`hessian_product`.
    """
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        return _each(ensemble, vector, x, y, gauss_newton_product)
    _load_forward_mode()
    skeleton = ensemble.net.evaluation_skeleton
    own = 0 if y.ndim == 2 else None

    def one(
        params: dict[str, Tensor], buffers: dict[str, Tensor], vector: dict[str, Tensor], x: Tensor
    ) -> dict[str, Tensor]:
        def logits(params: dict[str, Tensor]) -> Tensor:
            return Student(skeleton, params, buffers, bf16=False)(x)

        z, change = jvp(logits, (params,), (vector,))  # (B, C) both
        p = z.t().contiguous().softmax(dim=0).t()  # (B, C)
        bent = p * (change - (p * change).sum(dim=1, keepdim=True))  # (B, C)
        return vjp(logits, params)[1](bent / len(z))[0]

    with torch.no_grad():
        return vmap(one, in_dims=(0, 0, 0, own))(dict(ensemble.params), dict(ensemble.buffers), dict(vector), x)


def over(product: BatchProduct, ensemble: Ensemble, vector: Vector, images: Images) -> dict[str, Tensor]:
    """Return ``product`` for the mean loss over all ``images``, computed in batches."""
    total = {k: torch.zeros_like(v) for k, v in ensemble.params.items()}
    for span in ensemble.spans(len(images)):
        y = images.y[span]
        for name, part in product(ensemble, vector, images.pictures(span), y).items():
            total[name] += part * (len(y) / len(images))
    return total


def flatten(vector: Vector) -> Tensor:
    """Lay a vector (M, ...) of every weight out as (M, P)."""
    return torch.cat([v.flatten(1) for v in vector.values()], dim=1)


def unflatten(flat: Tensor, like: Vector) -> dict[str, Tensor]:
    """Undo :func:`flatten`: cut (M, P) into the names and shapes of ``like``."""
    parts = flat.split([v[0].numel() for v in like.values()], dim=1)
    return {k: part.view_as(v) for (k, v), part in zip(like.items(), parts, strict=True)}


def conjugate_gradients(product: Callable[[Tensor], Tensor], right: Tensor, iterations: int) -> Iterator[Tensor]:
    """Solve A x = ``right`` (M, P), one system per model, and yield x (M, P) after each iteration.

    ``product`` maps (M, P) to A times it. Each model has step lengths of its own, so none depends on its neighbours. A
    model whose residual is down to rounding, or that meets a direction along which A is not positive, keeps its x from
    then on: past either point the recursion is meaningless.
    """
    x = torch.zeros_like(right)
    residual, direction = right.clone(), right.clone()
    left = residual.square().sum(dim=1)  # (M,)
    enough = left * 1e-12
    going = left > 0
    for _ in range(iterations):
        bent = product(direction)  # (M, P)
        curvature = (direction * bent).sum(dim=1)  # (M,)
        going = going & (curvature > 0) & (left > enough)
        length = torch.where(going, left / curvature, 0.0).unsqueeze(1)  # (M, 1)
        x = x + length * direction
        residual = residual - length * bent
        before, left = left, residual.square().sum(dim=1)
        direction = residual + torch.where(going, left / before, 0.0).unsqueeze(1) * direction
        yield x


class QuasiHessian:
    """What a few changes of the weights did to a gradient, made into one curvature matrix per model: L-BFGS.

    From B = c I, c = <s, y> / <s, s> of the newest pair, each pair (change of weights s, change of gradient y), oldest
    first, turns B into B - B s (B s)^T / <s, B s> + y y^T / <s, y>, which maps s to y and stays positive. B is never
    built: it is c I plus 2 x ``history`` outer products, so a product costs 4 x ``history`` multiplications a weight.
    Source: Nocedal and Wright, Numerical Optimization, section 7.2 (the unrolled form, which needs no linear solve).
    """

    def __init__(self, like: Tensor, history: int) -> None:
        """Begin with no pair, and so with zero curvature, for every model of ``like`` (M, P)."""
        models, size = like.shape
        self._changes = like.new_zeros(models, history, size)
        self._bent = like.new_zeros(models, history, size)
        self._scale = like.new_zeros(models, 1)
        self._rows = like.new_zeros(models, 2 * history, size)  # (M, 2h, P): what is added, then what is taken away
        self._signs = like.new_ones(2 * history)
        self._signs[history:] = -1.0

    def times(self, vector: Tensor) -> Tensor:
        """Return B x ``vector`` (M, P)."""
        along = torch.bmm(self._rows, vector.unsqueeze(2)).squeeze(2) * self._signs  # (M, 2h)
        return self._scale * vector + torch.bmm(along.unsqueeze(1), self._rows).squeeze(1)

    def remember(self, *, change: Tensor, bent: Tensor) -> None:
        """Take in a pair, a change of the weights (M, P) and what it did to the gradient, in place of the oldest.

        A model whose pair has no positive curvature, <change, bent> > 1e-6 of what it could be, keeps those it has.
        """
        curvature = (change * bent).sum(dim=1, keepdim=True)  # (M, 1)
        length = change.norm(dim=1, keepdim=True)  # (M, 1)
        good = curvature > 1e-6 * length * bent.norm(dim=1, keepdim=True)  # (M, 1)
        fits = good.unsqueeze(2)  # (M, 1, 1)
        self._changes = torch.where(fits, _pushed(self._changes, change), self._changes)  # (M, h, P)
        self._bent = torch.where(fits, _pushed(self._bent, bent), self._bent)  # (M, h, P)
        self._scale = torch.where(good, curvature / length.square(), self._scale)
        history = self._changes.shape[1]
        self._rows = torch.zeros_like(self._rows)
        for i in range(history):
            s, y = self._changes[:, i], self._bent[:, i]  # (M, P); zero where a model has fewer pairs
            product = self.times(s)
            self._rows[:, i] = _divided(y, (s * y).sum(dim=1, keepdim=True).sqrt())
            self._rows[:, history + i] = _divided(product, (s * product).sum(dim=1, keepdim=True).sqrt())


def _pushed(pairs: Tensor, newest: Tensor) -> Tensor:
    return torch.cat([pairs[:, 1:], newest.unsqueeze(1)], dim=1)  # (M, h, P)


def _divided(rows: Tensor, by: Tensor) -> Tensor:
    return torch.where(by > 0, rows / by, 0.0)  # (M, P)


@functools.cache
def _load_forward_mode() -> None:
    """Make torch load its forward-mode rules, once: it compiles them in a way that it deprecates itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))


def _each(ensemble: Ensemble, vector: Vector, x: Tensor, y: Tensor, product: BatchProduct) -> dict[str, Tensor]:
    rows = []
    for m in range(len(ensemble)):
        batch = (x[m : m + 1], y[m : m + 1]) if y.ndim == 2 else (x, y)
        rows.append(product(ensemble[m : m + 1], {k: v[m : m + 1] for k, v in vector.items()}, *batch))
    return {k: torch.cat([row[k] for row in rows]) for k in rows[0]}  # (M, ...)
