"""Gradients of M models measured without a step: their mean over examples, and their mean square per example.

The weights are those of an :class:`engine.ensemble.Ensemble` in evaluation mode, so batch norm neither moves nor mixes
examples. Like every algorithm here, what is measured is written for one model and spread over M at the edge.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import grad, vmap

from engine.descent import BACKWARD, FORWARD, Loss, Student
from engine.ensemble import Ensemble
from engine.images import Images
from engine.losses import weighted_cross_entropy

FLOATS = 2**26
"""Most numbers of per-example gradients held at once: 256 MiB of float32."""
INPUT_COST = FORWARD + BACKWARD / 2
"""Forward-equivalents per example of one :func:`input_gradient`: going to the inputs alone is half a backward pass."""
_BATCH = 512

ExampleLoss = Callable[[Student, Tensor, Tensor], Tensor]
"""``loss(student, x, y) -> scalar``, a mean over the batch x (B, c, h, w), y (B,)."""


def mean_gradient(ensemble: Ensemble, loss: ExampleLoss, images: Images) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over all ``images`` for every model: name to (M, ...).

    Cost: 3 forward-equivalents per example.
    """
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        return _each(ensemble, lambda one: mean_gradient(one, loss, images))
    skeleton = ensemble.net.evaluation_skeleton
    params = {k: v.detach().clone().requires_grad_() for k, v in ensemble.params.items()}
    total = {k: torch.zeros_like(v) for k, v in ensemble.params.items()}

    def one(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(Student(skeleton, params, buffers, bf16=False), x, y)

    for span in _spans(len(images), _BATCH):
        x, y = images.pictures(span), images.y[span]
        with torch.enable_grad():
            losses = vmap(one, in_dims=(0, 0, None, None))(params, dict(ensemble.buffers), x, y)  # (M,)
            grads = torch.autograd.grad(losses.sum(), list(params.values()))
        for name, gradient in zip(params, grads, strict=True):
            total[name] += gradient * (len(y) / len(images))
    return total


def weighted_gradient(
    ensemble: Ensemble, images: Images, weights: Tensor, *, label_smoothing: float = 0.0, deviation: float = 0.0
) -> dict[str, Tensor]:
    """Return the gradient of the losses of ``images`` summed with ``weights`` (M, n): name to (M, ...).

    Each picture's loss is that of :func:`engine.losses.cross_entropy` for it alone.

    Cost: 3 forward-equivalents per example.
    """
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        options = {"label_smoothing": label_smoothing, "deviation": deviation}
        each = [slice(m, m + 1) for m in range(len(ensemble))]
        rows = [weighted_gradient(ensemble[m], images, weights[m], **options) for m in each]
        return {k: torch.cat([row[k] for row in rows]) for k in rows[0]}  # (M, ...)
    loss = functools.partial(weighted_cross_entropy, label_smoothing=label_smoothing, deviation=deviation)
    skeleton = ensemble.net.evaluation_skeleton
    params = {k: v.detach().clone().requires_grad_() for k, v in ensemble.params.items()}
    total = {k: torch.zeros_like(v) for k, v in ensemble.params.items()}

    def one(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return loss(Student(skeleton, params, buffers, bf16=False), x, y, weight)

    for span in _spans(len(images), _BATCH):
        x, y = images.pictures(span), images.y[span]
        with torch.enable_grad():
            sums = vmap(one, in_dims=(0, 0, None, None, 0))(params, dict(ensemble.buffers), x, y, weights[:, span])
            grads = torch.autograd.grad(sums.sum(), list(params.values()))
        for name, gradient in zip(params, grads, strict=True):
            total[name] += gradient
    return total


def batch_gradient(ensemble: Ensemble, loss: Loss, *batch: Tensor) -> dict[str, Tensor]:
    """Return the gradient of ``loss(student, *batch)`` for every model on its own batch: name to (M, ...).

    ``batch`` tensors are (M, ...). Cost: 3 forward-equivalents per example.
    """
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        rows = [
            batch_gradient(ensemble[m : m + 1], loss, *(part[m : m + 1] for part in batch))
            for m in range(len(ensemble))
        ]
        return {k: torch.cat([row[k] for row in rows]) for k in rows[0]}  # (M, ...)
    skeleton = ensemble.net.evaluation_skeleton
    params = {k: v.detach().requires_grad_() for k, v in ensemble.params.items()}

    def one(params: dict[str, Tensor], buffers: dict[str, Tensor], *batch: Tensor) -> Tensor:
        return loss(Student(skeleton, params, buffers, bf16=False), *batch)

    with torch.enable_grad():
        losses = vmap(one)(params, dict(ensemble.buffers), *batch)  # (M,)
        grads = torch.autograd.grad(losses.sum(), list(params.values()))
    return dict(zip(params, grads, strict=True))


def input_gradient(ensemble: Ensemble, loss: Loss, x: Tensor, *batch: Tensor) -> Tensor:
    """Return the gradient of ``loss(student, x, *batch)`` to each model's own inputs x (M, B, c, h, w), of their shape.

    ``batch`` tensors are (M, ...). Cost: :data:`INPUT_COST` per example.
    """
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        rows = [slice(m, m + 1) for m in range(len(ensemble))]
        return torch.cat([input_gradient(ensemble[m], loss, x[m], *(part[m] for part in batch)) for m in rows])
    skeleton = ensemble.net.evaluation_skeleton
    x = x.detach().requires_grad_()

    def one(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, *batch: Tensor) -> Tensor:
        return loss(Student(skeleton, params, buffers, bf16=False), x, *batch)

    with torch.enable_grad():
        losses = vmap(one)(dict(ensemble.params), dict(ensemble.buffers), x, *batch)  # (M,)
        (gradient,) = torch.autograd.grad(losses.sum(), [x])
    return gradient


def mean_square_gradient(ensemble: Ensemble, loss: ExampleLoss, images: Images) -> dict[str, Tensor]:
    """Return the mean over ``images`` of each example's squared gradient: the diagonal of the empirical Fisher matrix.

    name to (M, ...), not negative. Cost: 3 forward-equivalents per example, and memory for one gradient per model and
    example of a batch.
    """
    return _mean_over_examples(ensemble, loss, images, Tensor.square)


def mean_absolute_gradient(ensemble: Ensemble, loss: ExampleLoss, images: Images) -> dict[str, Tensor]:
    """Return the mean over ``images`` of the absolute value of each example's gradient: name to (M, ...).

    Not the absolute value of their mean, where examples that pull in opposite directions cancel. Cost and memory are
    those of :func:`mean_square_gradient`.
    """
    return _mean_over_examples(ensemble, loss, images, Tensor.abs)


def _mean_over_examples(
    ensemble: Ensemble, loss: ExampleLoss, images: Images, size: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Return the mean over ``images`` of ``size`` of each example's gradient: name to (M, ...)."""
    if ensemble.strategy == "looped" and len(ensemble) > 1:
        return _each(ensemble, lambda one: _mean_over_examples(one, loss, images, size))
    skeleton = ensemble.net.evaluation_skeleton
    total = {k: torch.zeros_like(v) for k, v in ensemble.params.items()}

    def one(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(Student(skeleton, params, buffers, bf16=False), x.unsqueeze(0), y.unsqueeze(0))

    each = vmap(vmap(grad(one), in_dims=(None, None, 0, 0)), in_dims=(0, 0, None, None))
    floats = sum(v.numel() for v in ensemble.params.values())
    for span in _spans(len(images), max(1, min(_BATCH, FLOATS // floats))):
        grads = each(
            dict(ensemble.params), dict(ensemble.buffers), images.pictures(span), images.y[span]
        )  # (M, B, ...)
        for name, gradient in grads.items():
            total[name] += size(gradient).sum(dim=1) / len(images)  # (M, ...)
    return total


def _each(ensemble: Ensemble, measure: Callable[[Ensemble], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    rows = [measure(ensemble[m : m + 1]) for m in range(len(ensemble))]
    return {k: torch.cat([row[k] for row in rows]) for k in rows[0]}  # (M, ...)


def _spans(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
