"""Paired trainings: networks trained with and without a forget set from one start, for a lesson to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.curvature import flatten
from engine.descent import Stepper, learning_rate
from engine.ensemble import Ensemble
from engine.images import Images
from engine.isolation import likeness
from engine.models.base import Net
from engine.objective import Objective
from engine.seeds import derive
from engine.streams import Streams
from engine.teaching import STARTS, Teaching
from engine.training import Training

HELD_OUT = 10
"""Every tenth lesson is not learned from: it chooses the regression's strictness and measures its error."""
_FLOATS = 2**21
"""Most numbers of a batch of pictures of all rows of a stack: larger stacks leave the processor's cache."""


def draw_requests(teaching: Teaching, ones: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw subsets int64 (m, s) of training pictures, and which of them stay, bool (m, s).

    Sizes are even from 1 to ``largest`` of the subset. A share ``alike`` of the forget sets are the pictures most like
    one of them under the kernel, the rest are drawn evenly, as in the paper.
    """
    n = len(ones)
    size = teaching.drawn(n)
    most = max(1, min(size - 1, round(teaching.largest * size)))
    subsets, retained = [], []
    for number in range(teaching.lessons):
        generator = torch.Generator().manual_seed(derive(seed, "requests", number))
        subset = torch.randperm(n, generator=generator)[:size].sort().values  # (s,)
        one, kind = torch.rand(2, generator=generator).tolist()
        count = min(most, 1 + int(one * most))
        order = torch.rand(size, generator=generator)  # (s,) ties are broken by chance
        if kind < teaching.alike:
            centre = int(torch.randint(size, (1,), generator=generator))
            order = order - (ones.shape[1] + 1) * likeness(ones[subset], ones[subset[centre]])
        stays = torch.ones(size, dtype=torch.bool)
        stays[order.argsort()[:count]] = False
        subsets.append(subset)
        retained.append(stays)
    return torch.stack(subsets), torch.stack(retained)


def held_out_lessons(lessons: int, once: bool) -> Tensor:
    """Return which lessons are not learned from, bool (m,); of a shared lesson all those of the last starts."""
    number = torch.arange(lessons)
    if once and lessons >= 2 * STARTS:
        return number % STARTS >= STARTS - max(1, STARTS // HELD_OUT)
    return number % HELD_OUT == HELD_OUT - 1 if lessons >= HELD_OUT else number == lessons - 1


def train_pairs(
    net: Net,
    images: Images,
    training: Training,
    subsets: Tensor,
    retained: Tensor,
    seed: int,
    role: str,
    starts: Sequence[int],
    progress: Callable[[float], None],
) -> tuple[Tensor, Tensor]:
    """Train on each subset (m, s) with and without its forget set; return weights theta and theta', each (m, P)."""
    m, size = subsets.shape
    whole = size == len(images)
    start_of = torch.arange(m) % len(starts)  # (m,) where in ``starts`` a lesson begins
    # Of all pictures there is one subset, and so one training per start to compare with.
    firsts = torch.arange(min(m, len(starts))) if whole else torch.arange(m)
    rows = torch.cat([start_of[firsts], start_of])  # (r,)
    positions = torch.cat([subsets[firsts], subsets])  # (r, s)
    weights = torch.cat([torch.ones_like(retained[firsts]), retained]).float()  # (r, s)
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
    return theta[: len(firsts)][start_of if whole else firsts], theta[len(firsts) :]  # type: ignore[index]


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
    model_of = torch.tensor([different.index(i) for i in ids], device=images.x.device)  # (r,)
    device = images.x.device
    first = Ensemble.initial(net, seed=seed, role=role, ids=different, device=device, strategy="stacked")
    start = replace(
        first,
        params={k: v[model_of] for k, v in first.params.items()},
        buffers={k: v[model_of] for k, v in first.buffers.items()},
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
        clip=training.clip,
    )
    loss = Objective.of(training).weighted_loss
    for order in _epochs(Streams(seed, f"{role}:batches", different, device), n, training):
        row_order = order[model_of]  # (r, B)
        x, y = _batch(images, positions, row_order, alike=len(different) == 1 and n == len(images))
        lr = learning_rate(training, stepper.step_count, total)
        stepper.step(loss, x, y, weights.gather(1, row_order), seen=0, cost=0.0, lr=lr)
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
