"""Training in shards and slices, and retraining only those of them that saw what is to be forgotten.

Source: Machine Unlearning (Bourtoule et al. 2021, arXiv 1912.03817), sections IV and V. Each model cuts the training
set into shards by a draw of its own and trains one network per shard: first on its slice 1, then on slices 1 and 2, and
so on. Which shard and slice an example is in depends on its number in the training set and on (seed, role, model),
never on what is forgotten, and every slice has a fresh optimizer, a whole schedule and its own stream of batches. So a
network is, bit for bit, what it would have been without the later slices and without the other shards.

Bit for bit holds on a CPU: always where networks are looped, and stacked where the arithmetic of one does not depend on
how many are stacked. That is so for linear layers, and for small convolutions once there are two, so a lone network has
a twin beside it; the library sums larger convolutions otherwise with other numbers of them. There, and on a GPU, it
holds up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.descent import Snapshot
from engine.ensemble import Ensemble, Strategy
from engine.epochs import descend
from engine.images import Images
from engine.knobs import BadSetting
from engine.models.base import Net
from engine.models.sharded import ShardedNet
from engine.record import TrainingRecord
from engine.streams import Streams
from engine.training import Training


def cut(n: int, training: Training, *, seed: int, role: str, ids: Sequence[int]) -> Tensor:
    """Return which piece each of n examples is in, shard * slices + slice, for each model: int64 (M, n) on the CPU.

    Shards differ by at most one example, and so do the slices of a shard.

    Raises:
        BadSetting: fewer examples than shards.
    """
    if n < training.shards:
        raise BadSetting(f"training: {n} pictures cannot be cut into {training.shards} shards; choose fewer shards")
    order = Streams(seed, f"{role}:shards", ids, torch.device("cpu")).permutation(n)  # (M, n)
    rank = order.argsort(dim=1)  # (M, n)
    return rank % training.shards * training.slices + rank // training.shards % training.slices


def train_sharded(
    net: Net,
    images: Images,
    training: Training,
    *,
    seed: int,
    role: str,
    ids: Sequence[int],
    strategy: Strategy,
    subset: Tensor | None = None,
    numbers: Tensor | None = None,
    total: int | None = None,
    checkpoint: Callable[[Ensemble], None] | None = None,
) -> Iterator[Snapshot]:
    """Train fresh models in shards and yield step 0 and every step, with all models in every snapshot.

    ``subset`` is that of :func:`engine.train.train`. ``numbers`` (n,), rising, are the numbers the ``images`` have
    among the ``total`` examples that are cut; without them the images are all there are. ``checkpoint`` is given a copy
    of the models after each slice but the last. A network whose shard has no example stays as it began.

    ``seen`` and ``cost`` are means over the models. Cost: :attr:`engine.training.Training.passes` for each example and
    visit, :attr:`engine.training.Training.visits` on average.

    Raises:
        BadSetting: fewer examples than shards.
        ValueError: a network that is not made of shards, nothing to train on, or a mask of another shape.
    """
    if not isinstance(net, ShardedNet) or net.shards != training.shards:
        raise ValueError(
            f"training in {training.shards} shards needs a network of as many: engine.models.sharded.net_for"
        )
    piece = cut(total or len(images), training, seed=seed, role=role, ids=ids)  # (M, total)
    if numbers is not None:
        piece = piece[:, numbers.cpu()]  # (M, n)
    piece = piece.masked_fill(~_mask(subset, len(ids), len(images)), -1)  # (M, n)
    if bool((piece < 0).all(dim=1).any()):
        raise ValueError("there is nothing to train on: a subset is empty")
    device, numbered = images.x.device, _numbers(ids, training)
    fresh = Ensemble.initial(net.one, seed=seed, role=role, ids=numbered, device=device, strategy=strategy)
    work = _Work(net, images, training, seed, role, tuple(ids), piece, fresh)
    yield from work.run([0] * len(fresh), lambda _: fresh, checkpoint)


def first_touched(piece: Tensor, removed: Tensor, training: Training) -> Tensor:
    """Return the first slice of every shard that holds one of the examples ``removed``: int64 (M, S).

    ``piece`` (M, n) is :func:`cut`'s, ``removed`` bool (n,). A shard without any has ``slices``, past the last.
    """
    first = torch.full((len(piece), training.shards), training.slices)  # (M, S)
    where = piece[:, removed]  # (M, F)
    return first.scatter_reduce(1, where // training.slices, where % training.slices, "amin")


def retrain_touched(
    original: Ensemble, images: Images, training: Training, *, numbers: Tensor, total: int, record: TrainingRecord
) -> Iterator[Snapshot]:
    """Retrain the shards that held anything but ``images``, each from its last slice that did not; yield every step.

    ``images`` are what stays of the ``total`` training examples, ``numbers`` (n,), rising, their numbers. The result is
    that of :func:`train_sharded` on them with the original's seed and role. On the way, a shard whose turn has not come
    is still the original's.
    """
    net, networks = _net(original), _split(original)
    piece = cut(total, training, seed=record.seed, role=record.role, ids=original.ids)  # (M, total)
    removed = torch.ones(total, dtype=torch.bool)
    removed[numbers.cpu()] = False
    first = first_touched(piece, removed, training).flatten().tolist()  # (M * S,)
    device, strategy = original.device, original.strategy

    def begin(slice_: int) -> Ensemble:
        if slice_:
            return _split(record.after(slice_ - 1).to(device))
        ids = _numbers(original.ids, training)
        return Ensemble.initial(net.one, seed=record.seed, role=record.role, ids=ids, device=device, strategy=strategy)

    piece = piece[:, numbers.cpu()]  # (M, n)
    work = _Work(net, images, training, record.seed, record.role, original.ids, piece, networks)
    yield from work.run(first, begin, None)


def expected_cost(*, forget: int, retain: int, training: Training) -> float:
    """Return what :func:`retrain_touched` costs on average over where the ``forget`` examples lie, per model.

    A shard's part up to slice r has k of the n examples and is left alone with q = C(n - k, F) / C(n, F), for pieces of
    equal size. Retrained is the retained part of it, on average k |R| / n, less k when it is left alone:
    passes x shards x sum over r of e_r (k |R| / n - q k).
    """
    n, visits = forget + retain, 0.0
    for r, epochs in enumerate(training.slice_epochs, 1):
        k = n * r / (training.slices * training.shards)
        alone = 0.0
        if k <= retain:
            alone = math.exp(
                sum(math.lgamma(a + 1) * s for a, s in ((n - k, 1), (retain - k, -1), (retain, 1), (n, -1)))
            )
        visits += epochs * (k * retain / n - alone * k)
    return training.passes * training.shards * visits


@dataclass
class _Work:
    """One training under way; ``now`` are the M * S networks, S per model in a row."""

    net: ShardedNet
    images: Images
    training: Training
    seed: int
    role: str
    ids: tuple[int, ...]
    piece: Tensor
    now: Ensemble

    def run(
        self, first: Sequence[int], begin: Callable[[int], Ensemble], checkpoint: Callable[[Ensemble], None] | None
    ) -> Iterator[Snapshot]:
        """Train network c from slice ``first[c]`` on, from the weights that ``begin`` of that slice has for it."""
        self.now = self.now.clone()
        plan = [self._groups(slice_, first) for slice_ in range(self.training.slices)]
        epochs, batch = self.training.slice_epochs, self.training.batch_size
        total = sum(epochs[r] * -(-size // batch) for r, groups in enumerate(plan) for size in groups)
        done = visits = 0
        losses = torch.zeros(len(self.now), device=self.now.device)  # (M * S,)
        begun = torch.zeros_like(losses)  # (M * S,)
        yield self._snapshot(0, total, 0, {})
        for slice_, groups in enumerate(plan):
            entering = [c for c, begins in enumerate(first) if begins == slice_]
            if entering:
                self._put(entering, _pick(begin(slice_), entering))
            for size, members in groups.items():
                for snapshot in self._train(slice_, size, members):
                    self._put(members, snapshot.ensemble)
                    losses[members], begun[members] = snapshot.losses["loss"][: len(members)], 1.0
                    seen = visits + snapshot.seen * len(members)
                    yield self._snapshot(done + snapshot.step, total, seen, {"loss": self._per_model(losses, begun)})
                done, visits = done + snapshot.total, visits + snapshot.seen * len(members)
            if checkpoint is not None and slice_ < self.training.slices - 1:
                checkpoint(_joined(self.net, self.now.clone(), self.ids))
        if not total:  # every shard at work is empty: fresh networks are the result
            yield self._snapshot(0, 0, 0, {})

    def _groups(self, slice_: int, first: Sequence[int]) -> dict[int, list[int]]:
        """Return which networks train on slices up to this one, by the number of examples they have there."""
        sizes = [int(self._learns(c, slice_).sum()) for c in range(len(self.now))]
        at_work = [c for c, size in enumerate(sizes) if size and first[c] <= slice_]
        return {size: [c for c in at_work if sizes[c] == size] for size in sorted({sizes[c] for c in at_work})}

    def _learns(self, network: int, slice_: int) -> Tensor:
        """Return which examples a network learns up to a slice: bool (n,)."""
        model, shard = divmod(network, self.training.shards)
        start = shard * self.training.slices
        return (self.piece[model] >= start) & (self.piece[model] <= start + slice_)

    def _train(self, slice_: int, size: int, members: list[int]) -> Iterator[Snapshot]:
        """Train networks with equally many examples on slices up to this one; yield every step, not step 0."""
        twins = members * 2 if len(members) == 1 and self.now.strategy == "stacked" else members
        rows = torch.stack([self._learns(c, slice_) for c in twins]).nonzero()[:, 1]
        positions = rows.view(len(twins), size).to(self.now.device)  # (g, size)
        start = _pick(self.now, twins)
        role = f"{self.role}:batches" + (f":{slice_}" if slice_ else "")
        streams = Streams(self.seed, role, start.ids, self.now.device)
        training = replace(self.training, epochs=self.training.slice_epochs[slice_])
        snapshots = descend(start, self.images, training, streams=streams, positions=positions)
        next(snapshots)
        yield from snapshots

    def _put(self, members: list[int], networks: Ensemble) -> None:
        """Put the first of ``networks`` in the place of these."""
        where = torch.tensor(members, device=self.now.device)
        for mine, theirs in ((self.now.params, networks.params), (self.now.buffers, networks.buffers)):
            for name, weight in mine.items():
                weight.index_copy_(0, where, theirs[name][: len(members)])

    def _per_model(self, losses: Tensor, begun: Tensor) -> Tensor:
        """Return the mean of each model's networks' last losses (M,); a model yet to begin has the others' mean."""
        models = len(self.ids)
        sums, counts = (losses * begun).view(models, -1).sum(dim=1), begun.view(models, -1).sum(dim=1)  # (M,)
        mean = sums / counts.clamp(min=1)  # (M,)
        return torch.where(counts > 0, mean, mean[counts > 0].mean())

    def _snapshot(self, step: int, total: int, visits: int, losses: dict[str, Tensor]) -> Snapshot:
        cost = self.training.passes * visits / len(self.ids)
        return Snapshot(_joined(self.net, self.now, self.ids), step, total, round(visits / len(self.ids)), cost, losses)


def _numbers(ids: Sequence[int], training: Training) -> tuple[int, ...]:
    """Return the numbers of the networks of these models, which decide their weights and batches."""
    return tuple(i * training.shards + s for i in ids for s in range(training.shards))


def _mask(subset: Tensor | None, models: int, n: int) -> Tensor:
    """Return a subset in any of its forms as bool (M, n)."""
    if subset is not None and subset.dtype == torch.bool:
        if subset.shape != (models, n):
            raise ValueError(f"the mask must be {(models, n)} (models, examples), not {tuple(subset.shape)}")
        return subset.cpu()
    mask = torch.full((models, n), subset is None)
    if subset is not None:
        mask[:, subset.cpu()] = True
    return mask


def _pick(networks: Ensemble, which: Sequence[int]) -> Ensemble:
    """Return copies of the networks at these places."""
    return replace(
        networks,
        params={k: v[list(which)] for k, v in networks.params.items()},
        buffers={k: v[list(which)] for k, v in networks.buffers.items()},
        ids=tuple(networks.ids[c] for c in which),
    )


def _joined(net: ShardedNet, networks: Ensemble, ids: Sequence[int]) -> Ensemble:
    """Return models (M) made of ``networks`` (M * S), sharing their memory."""
    return replace(
        networks, net=net, params=net.join(networks.params), buffers=net.join(networks.buffers), ids=tuple(ids)
    )


def _split(models: Ensemble) -> Ensemble:
    """Return the networks (M * S) that ``models`` are made of, in new memory."""
    net = _net(models)
    ids = tuple(i * net.shards + s for i in models.ids for s in range(net.shards))
    return replace(models, net=net.one, params=net.split(models.params), buffers=net.split(models.buffers), ids=ids)


def _net(models: Ensemble) -> ShardedNet:
    if not isinstance(models.net, ShardedNet):
        raise ValueError("these models were not trained in shards")
    return models.net
