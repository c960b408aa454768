"""Training M models at once, each on its own subset: originals, oracles, retrains, halves and shards alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.curvature import flatten
from engine.descent import Snapshot, Stepper, learning_rate
from engine.ensemble import Ensemble, Strategy
from engine.images import Images
from engine.losses import cross_entropy
from engine.models.base import Net
from engine.records import Training
from engine.stopping import Stopping
from engine.streams import Streams


def train(
    net: Net,
    images: Images,
    training: Training,
    *,
    seed: int,
    role: str,
    ids: Sequence[int],
    strategy: Strategy,
    subset: Tensor | None = None,
    checkpoint: Callable[[Ensemble], None] | None = None,
    keep: Callable[[Tensor], None] | None = None,
) -> Iterator[Snapshot]:
    """Train fresh models and yield after every step; the last snapshot holds the trained ensemble.

    ``subset`` is what each model sees: None for everything, int64 (n,) for one subset shared by all, or a boolean
    mask (M, N), one row per model (oracles, halves, shards). Models whose subsets differ in size are trained in groups
    of equal size, smallest first, so padding never touches a result; snapshots on the way hold the group at hand, the
    last one every model, and ``seen`` and ``cost`` are those of the model that has done most. Model i depends only on
    (net, images, training, its subset, seed, role, i). ``keep`` is given the gradients of each step's batch, float32
    (M, P) laid out by :func:`engine.curvature.flatten`; it changes nothing.

    With ``training.patience`` models stop early (:mod:`engine.stopping`). Learning rates still follow all the epochs.
    Snapshots on the way then hold the models that are still being trained; the last one, in which each has its best
    weights back, holds every model, and may come long before the announced ``total``. ``seen`` and ``cost`` are what
    was done, the mean over models.

    A training in shards is :func:`engine.sharding.train_sharded`; ``checkpoint`` is then given the networks as they are
    after each slice but the last.

    Cost: :attr:`engine.records.Training.passes` forward-equivalents per example and epoch.

    Raises:
        ValueError: an empty subset, a mask of another shape, or a mask together with ``keep``.
    """
    if training.sharded:
        from engine.sharding import train_sharded  # here, because it trains its networks with this module

        yield from train_sharded(
            net,
            images,
            training,
            seed=seed,
            role=role,
            ids=ids,
            strategy=strategy,
            subset=subset,
            checkpoint=checkpoint,
        )
        return
    if subset is None or subset.dtype != torch.bool:
        yield from _train_equal(net, images, training, seed, role, ids, strategy, subset, keep)
        return
    if keep is not None:
        raise ValueError("models with subsets of their own are trained in groups, whose gradients cannot be stored")
    if subset.shape != (len(ids), len(images)):
        raise ValueError(f"the mask must be {(len(ids), len(images))} (models, examples), not {tuple(subset.shape)}")
    sizes = subset.sum(dim=1)  # (M,)
    if bool((sizes == 0).any()):
        raise ValueError(f"model {ids[int(sizes.argmin())]} has an empty training subset")
    groups = {int(size): [m for m in range(len(ids)) if sizes[m] == size] for size in sizes.unique()}  # by rising size
    total = sum(
        training.epochs * -(-(size - training.held(size)) // training.batch_size) + (training.patience > 0)
        for size in groups
    )
    finished: dict[int, Ensemble] = {}
    losses: dict[int, Tensor] = {}
    done = seen = 0
    cost = 0.0
    for size, members in groups.items():
        positions = subset[members].nonzero()[:, 1].view(len(members), size)  # (m, n)
        for snapshot in _train_equal(net, images, training, seed, role, [ids[m] for m in members], strategy, positions):
            if snapshot.step or not done:  # one step 0, not one per group
                seen, cost = max(seen, snapshot.seen), max(cost, snapshot.cost)
                yield replace(snapshot, step=done + snapshot.step, total=total, seen=seen, cost=cost)
        done += snapshot.step
        finished.update({m: snapshot.ensemble[i : i + 1] for i, m in enumerate(members)})
        losses.update({m: snapshot.losses["loss"][i] for i, m in enumerate(members)})
    merged = Ensemble.join([finished[m] for m in range(len(ids))])
    loss = torch.stack([losses[m] for m in range(len(ids))])  # (M,)
    yield Snapshot(merged, done, done, seen, cost, {"loss": loss})


def _train_equal(
    net: Net,
    images: Images,
    training: Training,
    seed: int,
    role: str,
    ids: Sequence[int],
    strategy: Strategy,
    positions: Tensor | None,
    keep: Callable[[Tensor], None] | None = None,
) -> Iterator[Snapshot]:
    """Train models whose subsets have one size; ``positions`` is None, (n,) or (M, n)."""
    device = images.x.device
    start = Ensemble.initial(net, seed=seed, role=role, ids=ids, device=device, strategy=strategy)
    streams = Streams(seed, f"{role}:batches", ids, device)
    n = len(images) if positions is None else positions.shape[-1]
    if n == 0:
        raise ValueError("there is nothing to train on: the subset is empty")
    rule = None
    if training.patience:
        rule = Stopping(start, images, positions, training, seed=seed, role=role)
        positions = rule.trained
    yield from descend(start, images, training, streams=streams, positions=positions, keep=keep, rule=rule)


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

    ``positions`` is None for all ``images``, (n,) for one subset or (M, n) for one each. The optimizer is fresh and the
    schedule runs once over the training's epochs. ``keep`` is that of :func:`train`; with a ``rule`` models stop early
    and one more step gives each its best weights back.
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
    )
    loss = functools.partial(cross_entropy, label_smoothing=training.label_smoothing, deviation=training.deviation)
    yield stepper.snapshot()
    for _ in range(training.epochs):
        for order in streams.epoch(n, training.batch_size):  # (M, B)
            if positions is None:
                chosen = order
            elif positions.ndim == 1:
                chosen = positions[order]  # (M, B)
            else:
                chosen = positions.gather(1, order)  # (M, B)
            x, y = images.batch(chosen)
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


def uses(training: Training, n: int, of: Tensor, *, seed: int, role: str, ids: Sequence[int]) -> Tensor:
    """Return how much :func:`train` on all n examples used those numbered ``of`` (F,): float32 (M, F).

    The factor with which an example's gradient went into the final weights, summed over its visits: the step length
    divided by the batch size, and what momentum made of it at later steps. Weight decay and changes of the gradient are
    not in it; for Adam it is the bare step length. Batches are replayed from their streams, no network is touched.
    """
    steps = -(-n // training.batch_size)
    total = training.epochs * steps
    momentum = training.momentum if training.optimizer == "sgd" else 0.0
    reach = torch.zeros(total + 1, dtype=torch.float64)
    for step in range(total - 1, -1, -1):  # the gradient of step t moves the weights by lr_t + m lr_t+1 + m^2 ...
        reach[step] = learning_rate(training, step, total) + momentum * reach[step + 1]
    sizes = torch.full((steps,), float(training.batch_size), dtype=torch.float64)  # (steps,)
    sizes[-1] = n - (steps - 1) * training.batch_size
    streams = Streams(seed, f"{role}:batches", ids, torch.device("cpu"))
    used = torch.zeros(len(ids), len(of), dtype=torch.float64)  # (M, F)
    for epoch in range(training.epochs):
        order = streams.permutation(n)  # (M, n)
        step = order.argsort(dim=1)[:, of.cpu()] // training.batch_size  # (M, F)
        used += reach[epoch * steps + step] / sizes[step]
    return used.float().to(of.device)


@dataclass(frozen=True)
class TrainingPath:
    """A training step by step, as "keep the trajectory" leaves it (:func:`engine.train.path`).

    ``gradients`` float32 (T, M, P) are those of each step's batch, before weight decay and momentum, laid out as
    :func:`engine.curvature.flatten` does; usually on disk and read as they are touched. The weights follow from them
    by the training's own arithmetic. ``orders()`` yields for each epoch the examples in the order in which the models
    saw them, int64 (M, n): numbers below the retain set's size are positions in it, the others in the forget set.
    """

    gradients: np.ndarray
    orders: Callable[[], Iterator[Tensor]]


def path(
    training: Training, n: int, of: Tensor, gradients: np.ndarray, *, seed: int, role: str, ids: Sequence[int]
) -> TrainingPath:
    """Return the steps of :func:`train` on all n examples, for a request to forget those numbered ``of``.

    ``gradients`` (T, M, P) are those passed to its ``keep``. Batches are replayed from their streams.
    """
    forgotten = torch.zeros(n, dtype=torch.bool)
    forgotten[of.cpu()] = True
    place = torch.empty(n, dtype=torch.int64)  # (n,) example to its position in retain, then forget
    place[~forgotten] = torch.arange(n - len(of))
    place[of.cpu()] = torch.arange(n - len(of), n)

    def orders() -> Iterator[Tensor]:
        streams = Streams(seed, f"{role}:batches", ids, torch.device("cpu"))
        for _ in range(training.epochs):
            yield place[streams.permutation(n)].to(of.device)  # (M, n)

    return TrainingPath(gradients, orders)


def last(snapshots: Iterator[Snapshot]) -> Snapshot:
    """Run to the end and return the last snapshot, whose ensemble stays valid."""
    snapshot = None
    for snapshot in snapshots:  # noqa: B007 - only the last one is used
        pass
    if snapshot is None:
        raise ValueError("the method yielded nothing")
    return snapshot
