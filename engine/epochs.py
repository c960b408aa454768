"""Epochs of gradient steps: M models trained on from where they are, on subsets of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from engine.curvature import flatten
from engine.descent import Snapshot, Stepper, learning_rate
from engine.ensemble import Ensemble
from engine.images import Images
from engine.objective import Objective
from engine.stopping import Stopping
from engine.streams import Streams
from engine.training import Training


def descend(
    start: Ensemble,
    images: Images,
    training: Training,
    *,
    streams: Streams,
    positions: Tensor | None,
    keep: Callable[[Tensor], None] | None = None,
    rule: Stopping | None = None,
) -> Iterator[Snapshot]:
    """Train models on from ``start`` on subsets of one size and yield step 0 and every step.

    ``positions`` is None for all ``images``, (n,) for one subset or (M, n) for one each. The optimizer is fresh and
    the schedule runs once over the training's epochs. ``keep`` is that of :func:`engine.train.train`; with a ``rule``
    models stop early and one more step gives each its best weights back.
    """
    n = len(images) if positions is None else positions.shape[-1]
    total = training.epochs * -(-n // training.batch_size)
    stepper = Stepper(
        start,
        total=total if rule is None else total + 1,
        lr=training.lr,
        optimizer=training.optimizer,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        bf16=training.precision == "bf16",
        restriction=training.restriction,
        each=training.restricts_examples,
        clip=training.clip,
    )
    loss = Objective.of(training).loss
    images = images.viewed(training)
    yield stepper.snapshot()
    for _ in range(training.epochs):
        for order in streams.epoch(n, training.batch_size):  # (M, B)
            if positions is None:
                chosen = order
            elif positions.ndim == 1:
                chosen = positions[order]  # (M, B)
            else:
                chosen = positions.gather(1, order)  # (M, B)
            x, y = images.batch(chosen, streams)
            size = chosen.shape[1]
            lr = learning_rate(training, stepper.step_count, total)
            stepper.step(loss, x, y, seen=size, cost=size * training.passes, lr=lr)
            if keep is not None:
                keep(flatten(stepper.gradients))  # (M, P)
            yield stepper.snapshot() if rule is None else rule.counted(stepper.snapshot(), size)
        if rule is not None:
            going = rule.look(stepper.ensemble)
            if not going:
                break
            if len(going) < len(stepper.ensemble):
                stepper.narrow(going)
                streams, positions = streams.pick(going), positions[going]
    if rule is not None:
        yield rule.result(stepper.snapshot())
