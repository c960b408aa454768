"""Regressions from embedded requests and weights to changes of the weights: linear with a penalty, or a network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from engine.streams import Streams

HIDDEN = (256, 64)
"""The paper's network."""
_EPOCHS, _BATCH, _LR = 60, 64, 1e-3
_PENALTIES = tuple(10 ** (k / 2) for k in range(-10, 3))
_TOLERANCE = 1.05
"""The strictest penalty whose held-out error is within this factor of the best is taken."""


def network(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Return the outputs (..., n, P) of the paper's network of two hidden layers for inputs x (..., n, d)."""
    hidden = (x @ weights["w1"] + weights["b1"]).relu()  # (..., n, 256)
    hidden = (hidden @ weights["w2"] + weights["b2"]).relu()  # (..., n, 64)
    return hidden @ weights["w3"] + weights["b3"]


def fit_linear(
    embedded: Tensor, own: Tensor, change: Tensor, share: Tensor, held_out: Tensor
) -> tuple[dict[str, Tensor], float]:
    """Fit the linear regression with a penalty chosen on the held-out lessons; return weights and held-out distance.

    Each lesson weighs 1 / |F|, so that large requests do not drown small ones: a change grows about as the root of |F|.
    """
    odds = share / (1 - share)  # (m,)
    root = share.rsqrt().double()  # (m,)
    alike = 1 + embedded @ embedded.t() + own @ own.t()  # (m, m)
    design = (alike * odds[:, None] * odds).double() * root[:, None] * root  # (m, m)
    target = change.double() * root[:, None]  # (m, P)
    fit = ~held_out
    values, vectors = torch.linalg.eigh(design[fit][:, fit])  # (n,), (n, n)
    rotated = vectors.t() @ target[fit]  # (n, P)
    across = design[held_out][:, fit] @ vectors  # (h, n)
    nothing = target[held_out].square().sum()
    mean = design.diagonal()[fit].mean()
    errors = []
    for penalty in _PENALTIES:
        residual = across @ (rotated / (values + penalty * mean)[:, None]) - target[held_out]  # (h, P)
        errors.append(float(residual.square().sum() / nothing))
    chosen = max(k for k, error in enumerate(errors) if error <= min(errors) * _TOLERANCE)
    dual = vectors @ (rotated / (values + _PENALTIES[chosen] * mean)[:, None])  # (n, P)
    dual = dual * (odds[fit].double() * root[fit])[:, None]
    return {"own": own[fit], "dual": dual.float()}, math.sqrt(errors[chosen])


def as_map(weights: Mapping[str, Tensor], seen: Tensor) -> dict[str, Tensor]:
    """Return the linear regression as a matrix (V + P, P) and a bias (1, P) instead of by its lessons ``seen`` (n, V).

    Smaller and faster when it serves all originals; many originals are smaller when they share what was seen.
    """
    dual = weights["dual"].double()  # (n, P)
    inputs = torch.cat([seen, weights["own"]], dim=1).double()  # (n, V + P)
    return {"map": (inputs.t() @ dual).float(), "bias": dual.sum(dim=0, keepdim=True).float()}


@torch.enable_grad()
def fit_network(
    embedded: Tensor, own: Tensor, change: Tensor, share: Tensor, held_out: Tensor, *, seed: int
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
    fit, out = (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]
    target = change * (typical / unit)  # (m, P)

    def error(rows: Tensor) -> Tensor:
        predicted = network(weights, x[rows]) * odds[rows, None]  # (b, P)
        return (weight[rows, None] * (predicted - target[rows]).square()).mean()

    best, nothing = math.inf, float((weight[out, None] * target[out].square()).mean())
    best_weights = {k: v.detach().clone() for k, v in weights.items()}
    for _ in range(_EPOCHS):
        for order in streams.epoch(len(fit), _BATCH):
            gradients = torch.autograd.grad(error(fit[order[0]]), list(weights.values()))
            for value, gradient in zip(weights.values(), gradients, strict=True):
                value.grad = gradient
            optimizer.step()
        with torch.no_grad():
            distance = float(error(out))
        if distance < best:
            best, best_weights = distance, {k: v.detach().clone() for k, v in weights.items()}
    best_weights |= {"w3": best_weights["w3"] * (unit / typical), "b3": best_weights["b3"] * (unit / typical)}
    # Biases get a row of their own, so that stacked models broadcast over requests.
    best_weights = {k: v.unsqueeze(0) if k[0] == "b" else v for k, v in best_weights.items()}
    return best_weights, math.sqrt(best / nothing)
