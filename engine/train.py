"""Training M models at once, each on its own subset: originals, oracles, retrains, halves and shards alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.descent import Snapshot
from engine.ensemble import Ensemble, Strategy
from engine.epochs import descend
from engine.images import Images
from engine.models.base import Net
from engine.sharding import train_sharded
from engine.stopping import Stopping
from engine.streams import Streams
from engine.training import Training


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

    Cost: :attr:`engine.training.Training.passes` forward-equivalents per example and epoch.

    Raises:
        ValueError: an empty subset, a mask of another shape, or a mask together with ``keep``.
    """
    if training.sharded:
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
    epochs: dict[int, Tensor] = {}
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
        if snapshot.epochs is not None:
            epochs.update({m: snapshot.epochs[i] for i, m in enumerate(members)})
    merged = Ensemble.join([finished[m] for m in range(len(ids))])
    loss = torch.stack([losses[m] for m in range(len(ids))])  # (M,)
    stopped = torch.stack([epochs[m] for m in range(len(ids))]) if epochs else None  # (M,)
    yield Snapshot(merged, done, done, seen, cost, {"loss": loss}, stopped)


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


def last(snapshots: Iterator[Snapshot]) -> Snapshot:
    """Run to the end and return the last snapshot, whose ensemble stays valid."""
    snapshot = None
    for snapshot in snapshots:  # noqa: B007 - only the last one is used
        pass
    if snapshot is None:
        raise ValueError("the method yielded nothing")
    return snapshot
