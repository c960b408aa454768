"""Influence: one second-order step from the trained weights towards those of the exact retrain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from torch import Tensor

from engine.cards import Card, Preset
from engine.curvature import (
    GAUSS_NEWTON_COST,
    HESSIAN_COST,
    BatchProduct,
    conjugate_gradients,
    flatten,
    gauss_newton_product,
    hessian_product,
    over,
    unflatten,
)
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import mean_gradient
from engine.knobs import Knob
from engine.objective import Objective
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class Influence(Unlearner):
    """Newton's step on the retain set's training loss, written with the gradient of what is forgotten.

    Training minimises CE(D) + w/2 |theta|^2, means over examples, w the recipe's weight decay; the retrain minimises
    L = CE(R) + w/2 |theta|^2. Newton's step on L from theta_0 is -(H + w I)^-1 (grad CE(R) + w theta_0), H the second
    derivative of CE(R) at theta_0; it lands on the retrain exactly where L is quadratic. Where theta_0 is a minimum
    of its own loss, grad CE(R) + w theta_0 = -|F|/|R| (grad CE(F) + w theta_0), which gives the influence form: it
    moves by the share of F alone, and keeps what the training left unfinished, as a retrain by the recipe would.

    Source: Certified Data Removal, section 3.1 (its sums are means here); LiSSA and conjugate gradients as in
    Understanding Black-box Predictions via Influence Functions (arXiv 1703.04730), section 3.
    """

    key = "influence"
    order = 30
    card = Card(
        name="Influence",
        summary="Computes, from slope and curvature of the loss, where training would have ended without the examples.",
        family="second order",
        formula="theta <- theta + (H_R + (w + damping) I)^-1 (|F| / |R|) (grad CE(F) + w theta), w the weight decay",
        reads=("forget", "retain"),
        cost="3 forward-equivalents x |F|, and 6 (Gauss-Newton) or 9 (Hessian) x |R| x passes",
        paper="Certified Data Removal from Machine Learning Models",
        year=2019,
        arxiv="1911.03030",
        departs="Any network, so no certificate and no noise for one; iterative solvers, damping, and by default the "
        "Gauss-Newton matrix for H; batch norm is frozen.",
        fails="One straight step: what holds close to the weights fails for whole classes, and a network's loss bends "
        "on the way.",
        claims=("linear models",),
    )
    published = Preset(
        settings={},
        source="Certified Data Removal from Machine Learning Models",
        gap="noise and certificate belong to convex losses and are left out",
    )
    tuned = MappingProxyType({"gradient": "forget|retain", "damping": "1e-4|1e-3|1e-2|1e-1"})

    gradient: Annotated[
        str,
        Knob(
            "gradient of",
            "forget: undo the pull of F, right at a minimum; retain: Newton's step on the loss of R from anywhere.",
            choices=("forget", "retain"),
        ),
    ] = "forget"
    damping: Annotated[
        float, Knob("damping", "Added to the curvature: larger means shorter steps.", low=0, high=100, scale="log")
    ] = 1e-3
    passes: Annotated[
        int,
        Knob("passes", "Passes of the solver over the retain set; conjugate gradients iterate once each.", low=1,
             high=1000),
    ] = 10  # fmt: skip
    solver: Annotated[
        str,
        Knob(
            "solver",
            "cg: conjugate gradients on the whole retain set; lissa: small steps on batches.",
            choices=("cg", "lissa"),
        ),
    ] = "cg"
    curvature: Annotated[
        str,
        Knob(
            "curvature",
            "gauss_newton is never negative; hessian is the exact second derivative, right where it is positive.",
            choices=("gauss_newton", "hessian"),
            advanced=True,
        ),
    ] = "gauss_newton"
    scale: Annotated[
        float,
        Knob(
            "scale",
            "LiSSA divides by it: above half the largest curvature of any batch, or it diverges.",
            low=0.1,
            high=1e5,
            scale="log",
            advanced=True,
        ),
    ] = 10.0
    batch_size: Annotated[int, Knob("batch size", "Examples per LiSSA step.", low=1, high=4096, advanced=True)] = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return the gradient's 3 forward-equivalents per example and the products' per retain example and pass."""
        first = forget if self.gradient == "forget" else retain
        return first * (FORWARD + BACKWARD) + self.passes * retain * self._product_cost

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield the step as far as the solver has it after each iteration; the gradient counts with the first."""
        retain = task.retain
        steps = self.passes * (1 if self.solver == "cg" else retain.steps(self.batch_size))
        stepper = Stepper(original, total=steps, lr=0.0)
        yield stepper.snapshot()
        right, read = self._right_side(original, task)
        start = flatten(original.params)  # (M, P)
        seen, cost = read, read * (FORWARD + BACKWARD)
        for size, step in self._solve(original, task, right, seed):
            place = unflatten(start + step, original.params)
            stepper.place(place, seen=seen + size, cost=cost + size * self._product_cost)
            seen, cost = 0, 0.0
            yield stepper.snapshot()

    @property
    def _product_cost(self) -> float:
        return HESSIAN_COST if self.curvature == "hessian" else GAUSS_NEWTON_COST

    def _right_side(self, original: Ensemble, task: ForgetTask) -> tuple[Tensor, int]:
        """Return the right-hand side (M, P) and how many examples its gradient reads."""
        images = task.forget if self.gradient == "forget" else task.retain
        factor = len(images) / len(task.retain) if self.gradient == "forget" else -1.0
        slope = flatten(mean_gradient(original, task.objective.loss, images))  # (M, P)
        return factor * (slope + task.training.weight_decay * flatten(original.params)), len(images)

    def _solve(self, original: Ensemble, task: ForgetTask, right: Tensor, seed: int) -> Iterator[tuple[int, Tensor]]:
        """Yield (retain examples read, step so far (M, P)) after each iteration."""
        retain, added = task.retain, task.training.weight_decay + self.damping
        product = self._product(task.objective)

        def whole(v: Tensor) -> Tensor:
            return flatten(over(product, original, unflatten(v, original.params), retain)) + added * v  # (M, P)

        if self.solver == "cg":
            for step in conjugate_gradients(whole, right, self.passes):
                yield len(retain), step
            return
        streams = Streams(seed, self.key, original.ids, original.device)
        step = right / self.scale
        for _ in range(self.passes):
            for x, y in retain.epoch(streams, self.batch_size):
                bent = flatten(product(original, unflatten(step, original.params), x, y))  # (M, P)
                step = step + (right - bent - added * step) / self.scale
                yield y.shape[1], step

    def _product(self, objective: Objective) -> BatchProduct:
        if self.curvature == "gauss_newton":
            return gauss_newton_product
        return lambda ensemble, vector, x, y: hessian_product(ensemble, objective.loss, vector, x, y)
