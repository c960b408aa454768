"""Gradient steps on M models at once. Losses are written for one model; this module is the edge where M appears.

``stacked`` spreads the loss over the models with ``torch.func.vmap`` and takes one gradient of the sum (models do not
share weights, so that gradient is each model's own); ``looped`` visits the models one after the other. Both update the
same stacked weights with the same element-wise optimiser, so they differ in speed and in rounding only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from engine.ensemble import Ensemble
from engine.models.base import Network
from engine.training import Training

FORWARD, BACKWARD = 1.0, 2.0
"""Cost of a pass in forward-equivalents: a backward pass takes about twice the arithmetic of a forward pass."""


class Student:
    """One model in training mode, as a loss sees it: call it for logits, read ``params`` for penalties.

    Batch norm statistics move with every call, in a copy that the stepper holds.
    """

    def __init__(
        self, skeleton: Network, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], bf16: bool
    ) -> None:
        self.params = dict(params)
        self.buffers = {k: v.clone() for k, v in buffers.items()}
        self._skeleton = skeleton
        self._bf16 = bf16

    def __call__(self, x: Tensor) -> Tensor:
        """Return float32 logits (B, C) of pictures x (B, c, h, w)."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._bf16):
            return functional_call(self._skeleton, {**self.params, **self.buffers}, (x,)).float()


Loss = Callable[..., Tensor]
"""``loss(student, *batch) -> scalar`` for one model; the batch tensors have lost their M axis."""


@dataclass(frozen=True)
class Snapshot:
    """An ensemble on its way: what a method yields after each step.

    ``step`` of ``total`` updates; ``seen`` examples visited and ``cost`` forward-equivalent example passes, both per
    model; ``losses`` maps a name to the last batch's loss per model (M,), empty at step 0. ``epochs`` (M,) is how many
    each model was trained for until it stopped, at the end of an early stopped training alone. The ensemble's tensors
    are only valid until the generator is advanced: clone to keep.
    """

    ensemble: Ensemble
    step: int
    total: int
    seen: int
    cost: float
    losses: Mapping[str, Tensor]
    epochs: Tensor | None = None


class Stepper:
    """Holds M models and moves them; the ensemble it was given is never touched."""

    def __init__(
        self,
        ensemble: Ensemble,
        *,
        total: int,
        lr: float,
        optimizer: str = "sgd",
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        bf16: bool = False,
        movable: Mapping[str, Tensor] | None = None,
        restriction: float = 0.0,
        each: bool = False,
        rates: Mapping[str, float] | None = None,
        clip: float = 0.0,
    ) -> None:
        """Copy ``ensemble``; ``total`` is the number of steps announced in snapshots.

        ``restriction`` adds that many times the Euclidean length of the loss's gradient to each model's loss (the GR
        loss of arXiv 2507.23257): the gradient of the batch, as its code has it, or with ``each`` the mean over the
        lengths of the examples' gradients, as in its Eq. 7; losses reported are without it.
        ``clip`` is the longest gradient of a model that is taken as it is; a longer one is shortened to it, each
        model's by itself. 0: none is. The optimizer "signsgd" moves each weight by the rate in the direction of its
        gradient's sign (Bernstein et al. 2018, arXiv 1802.04434); weight decay is added to the sign.
        ``rates`` maps names to the share of the learning rate that their weights move by; 1 where it names none.
        ``movable`` maps names to bool (M, ...): weights where it is False keep their first value, bit for bit.
        """
        self.total = total
        self.step_count = 0
        self.seen = 0
        self.cost = 0.0
        self._start = ensemble
        self._bf16 = bf16
        self._params = {k: v.clone().requires_grad_() for k, v in ensemble.params.items()}
        self._buffers = {k: v.clone() for k, v in ensemble.buffers.items()}
        self._losses: dict[str, Tensor] = {}
        self._movable = movable
        self._restriction, self._each = restriction, each
        self._rates = {k: (rates or {}).get(k, 1.0) for k in self._params}
        weights = [
            {"params": [self._params[k] for k in self._params if self._rates[k] == rate], "lr": lr * rate}
            for rate in dict.fromkeys(self._rates.values())
        ]
        # Both optimisers are element-wise, so one optimiser over stacked weights is M independent ones.
        self._clip, self._sign = clip, optimizer == "signsgd"
        if optimizer in ("sgd", "signsgd"):
            self._optimizer: torch.optim.Optimizer = torch.optim.SGD(
                weights, lr=lr, momentum=momentum, weight_decay=weight_decay, foreach=True
            )
        elif optimizer == "adam":
            self._optimizer = torch.optim.Adam(weights, lr=lr, weight_decay=weight_decay, foreach=True)
        else:
            raise ValueError(f"unknown optimizer {optimizer!r}: sgd, adam or signsgd")

    @property
    def ensemble(self) -> Ensemble:
        """The models as they are now, sharing memory with the stepper."""
        params = {k: v.detach() for k, v in self._params.items()}
        return replace(self._start, params=params, buffers=dict(self._buffers))

    @property
    def gradients(self) -> dict[str, Tensor]:
        """The last step's gradients (M, ...) by name, before momentum and weight decay; only valid until the next."""
        return {k: v.grad for k, v in self._params.items() if v.grad is not None}

    def snapshot(self) -> Snapshot:
        """Return where the models are now."""
        return Snapshot(self.ensemble, self.step_count, self.total, self.seen, self.cost, dict(self._losses))

    def step(
        self, loss: Loss, *batch: Tensor, seen: int, cost: float, name: str = "loss", lr: float | None = None
    ) -> None:
        """Make one update of every model.

        ``batch`` tensors are (M, ...); ``seen`` examples and ``cost`` passes are added per model; ``name`` is the curve
        the loss belongs to; ``lr`` overrides the learning rate from now on.
        """
        if lr is not None:
            for group, rate in zip(self._optimizer.param_groups, dict.fromkeys(self._rates.values()), strict=True):
                group["lr"] = lr * rate
        losses = self._stacked(loss, batch) if self._start.strategy == "stacked" else self._looped(loss, batch)
        self._shorten()
        self._optimizer.step()
        if self._movable is not None:
            with torch.no_grad():
                for k, weight in self._params.items():
                    weight.copy_(torch.where(self._movable[k], weight, self._start.params[k]))
        self._losses[name] = losses
        self.step_count += 1
        self.seen += seen
        self.cost += cost

    @torch.no_grad()
    def _shorten(self) -> None:
        """Clip each model's gradient, or keep its signs alone."""
        grads = [weight.grad for weight in self._params.values() if weight.grad is not None]
        if self._clip:
            length = torch.cat([grad.flatten(1) for grad in grads], dim=1).norm(dim=1)  # (M, P) -> (M,)
            factor = (self._clip / (length + 1e-6)).clamp(max=1.0)  # as torch's own clip_grad_norm_
            for grad in grads:
                grad.mul_(factor.view(-1, *[1] * (grad.ndim - 1)))  # (M, ...)
        if self._sign:
            for grad in grads:
                grad.sign_()

    @torch.no_grad()
    def narrow(self, models: Sequence[int]) -> None:
        """Go on with the models at these positions alone, each with its own momentum; drop the others."""
        index = torch.tensor(list(models), dtype=torch.int64, device=self._start.device)
        self._start = self._start.pick(models)
        self._buffers = {k: v[index] for k, v in self._buffers.items()}
        self._movable = None if self._movable is None else {k: v[index] for k, v in self._movable.items()}
        self._losses = {k: v[index] for k, v in self._losses.items()}
        for k, before in self._params.items():
            after = self._params[k] = before.detach()[index].requires_grad_()
            state = self._optimizer.state.pop(before, {})
            self._optimizer.state[after] = {
                name: v[index] if isinstance(v, Tensor) and v.shape == before.shape else v for name, v in state.items()
            }
        for group, rate in zip(self._optimizer.param_groups, dict.fromkeys(self._rates.values()), strict=True):
            group["params"] = [v for k, v in self._params.items() if self._rates[k] == rate]

    @torch.no_grad()
    def place(self, params: Mapping[str, Tensor], *, seen: int, cost: float) -> None:
        """Put these weights (M, ...) in the models' place, as one update of a method that computes them outright."""
        for k, weight in self._params.items():
            weight.copy_(params[k])
        self.step_count += 1
        self.seen += seen
        self.cost += cost

    def _stacked(self, loss: Loss, batch: tuple[Tensor, ...]) -> Tensor:
        # Made out here: building the skeleton draws random numbers, which vmap forbids.
        skeleton = self._start.net.training_skeleton

        def one(
            params: dict[str, Tensor], buffers: dict[str, Tensor], *batch: Tensor
        ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
            student = Student(skeleton, params, buffers, self._bf16)
            lengths = self._lengths(loss, params, buffers, batch)
            return loss(student, *batch), student.buffers, lengths

        with torch.enable_grad():
            losses, buffers, lengths = vmap(one)(self._params, self._buffers, *batch)  # (M,), ..., (M,)
            grads = self._gradient(losses, lengths, list(self._params.values()))
        for weight, gradient in zip(self._params.values(), grads, strict=True):
            weight.grad = gradient
        self._buffers = {k: v.detach() for k, v in buffers.items()}
        return losses.detach()

    def _lengths(
        self, loss: Loss, params: dict[str, Tensor], buffers: dict[str, Tensor], batch: tuple[Tensor, ...]
    ) -> Tensor:
        """Return the mean length of the gradients of a batch's examples; 0 where nothing asks for it."""
        if not (self._restriction and self._each):
            return batch[0].new_zeros(())

        def length(*example: Tensor) -> Tensor:
            def own(weights: dict[str, Tensor]) -> Tensor:
                student = Student(self._start.net.training_skeleton, weights, buffers, self._bf16)
                return loss(student, *(part.unsqueeze(0) for part in example))

            return torch.cat([part.flatten() for part in grad(own)(params).values()]).norm()

        return vmap(length)(*batch).mean()

    def _gradient(self, losses: Tensor, lengths: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the gradient of losses (M,), each with its GR term: models share no weights, so each has its own."""
        if not self._restriction:
            return torch.autograd.grad(losses.sum(), weights)
        if self._each:
            return torch.autograd.grad((losses + self._restriction * lengths).sum(), weights)
        first = torch.autograd.grad(losses.sum(), weights, create_graph=True)
        length = torch.cat([part.reshape(len(losses), -1) for part in first], dim=1).norm(dim=1)  # (M, P) -> (M,)
        return torch.autograd.grad((losses + self._restriction * length).sum(), weights)

    def _looped(self, loss: Loss, batch: tuple[Tensor, ...]) -> Tensor:
        losses = []
        for weight in self._params.values():
            weight.grad = torch.empty_like(weight)
        for m in range(len(self._start)):
            # A leaf per model: differentiating through a slice of the stack would build an M-sized gradient M times.
            params = {k: v.detach()[m].requires_grad_() for k, v in self._params.items()}
            student = Student(
                self._start.net.training_skeleton, params, {k: v[m] for k, v in self._buffers.items()}, self._bf16
            )
            with torch.enable_grad():
                own = tuple(part[m] for part in batch)
                value = loss(student, *own)
                lengths = self._lengths(loss, params, student.buffers, own)
                grads = self._gradient(value.unsqueeze(0), lengths.unsqueeze(0), list(params.values()))
            for weight, gradient in zip(self._params.values(), grads, strict=True):
                weight.grad[m] = gradient  # type: ignore[index]
            for k, v in student.buffers.items():
                self._buffers[k][m] = v.detach()
            losses.append(value.detach())
        return torch.stack(losses)  # (M,)


def learning_rate(training: Training, step: int, total: int) -> float:
    """Return the learning rate of update ``step`` (from 0) of ``total``.

    constant: lr. cosine: lr * (1 + cos(pi * step / total)) / 2. one_cycle: linear from 0 to lr over the first
    ``warmup`` share of the steps, then the same cosine over the rest.
    """
    if training.schedule == "constant":
        return training.lr
    rise = training.warmup * total if training.schedule == "one_cycle" else 0.0
    if step < rise:
        return training.lr * (step + 1) / (rise + 1)
    return training.lr * (1 + math.cos(math.pi * (step - rise) / max(1.0, total - rise))) / 2
