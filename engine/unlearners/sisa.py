"""SISA: forget exactly, by retraining only the shards that saw what is to be forgotten, from the last clean slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from engine.cards import Card, Preset
from engine.descent import Snapshot
from engine.ensemble import Ensemble
from engine.models.base import Architecture
from engine.sharding import expected_cost, retrain_touched
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class SISA(Unlearner):
    """Retrain the shards that hold forgotten pictures, each from its last slice without one; the others stay.

    The work was done when the original was trained: each shard's network is stored after every slice. The forgotten
    pictures are never read, only which pictures remain. The result is the network that training on them with the
    same seed gives.
    """

    key = "sisa"
    order = 3
    remedy = MappingProxyType({"shards": 4})
    card = Card(
        name="SISA",
        summary="Retrains only the shards that saw the forgotten pictures: exact, but the original must have been "
        "trained in shards.",
        family="exact",
        formula="shard s: theta_s <- A(D_s minus F) from the last slice without F; the shards vote",
        reads=("retain", "training record"),
        cost="the touched shards' share of a retrain: little for a few pictures, all of one for many",
        paper="Machine Unlearning",
        year=2021,
        arxiv="1912.03817",
        departs="A shard's network begins each slice with a fresh optimizer and a whole schedule; epochs per slice are "
        "whole numbers; in a majority vote mean probabilities decide between equals. Forgetting is one request, where "
        "the paper counts a stream of them.",
        fails="As soon as every shard holds one of the forgotten pictures in its first slice, it costs a whole "
        "retrain; and networks that each learned a part are less accurate than one that learned everything.",
    )
    published = Preset(
        settings={},
        source="Machine Unlearning",
        gap="shards, slices and votes are settings of the training",
    )

    def misfit(self, training: Training, architecture: Architecture) -> str | None:  # noqa: ARG002
        """Refuse originals trained in one piece."""
        if not training.sharded:
            return "SISA needs originals trained in shards: set shards under Training to 2 or more."
        return None

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:
        """Return the mean cost over where the forgotten examples can lie: which shards they are in is a draw."""
        return expected_cost(forget=forget, retain=retain, training=training)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:  # noqa: ARG002
        """Yield the original, then every step of the retraining; networks and batches go on from the original's seed.

        Models differ in how many shards they must retrain; ``seen`` and ``cost`` are means over them.
        """
        record = task.read("training record", original)
        yield from retrain_touched(
            original, task.retain, task.training, numbers=task.numbers, total=task.size, record=record
        )
