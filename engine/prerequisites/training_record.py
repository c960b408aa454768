"""The training record: how the originals were trained, as far as the forget set was in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from engine.cards import Card
from engine.ensemble import Ensemble
from engine.prerequisites.base import Prerequisite, Reading
from engine.record import TrainingRecord
from engine.scope import Scope


@dataclass(frozen=True)
class Record(Prerequisite):
    """Where each original began, how much it used each forget example, and what its training stored on the way."""

    key = "training_record"
    reads = "training record"
    card = Card(
        name="Training record",
        summary="How the originals were trained: where they began, how much they used each picture, every step.",
        cost="no passes; disk where the training keeps its trajectory or its slices",
        paper="Unrolling SGD: Understanding Factors Influencing Machine Unlearning",
        year=2021,
        arxiv="2109.13398",
    )

    def fragment(self, scope: Scope) -> Any:
        """Return None: it depends on the originals' own spec alone."""
        del scope

    def load(self, reading: Reading) -> TrainingRecord:
        """Return the record of the chunk of originals; gradients and slices are read on first use."""
        spec, original = reading.spec.original, reading.original
        if spec is None or original is None:
            raise ValueError("a training record belongs to originals, and the reader has none")
        stored = spec.artefact(reading.store)

        def after(slice_: int) -> Ensemble:
            start, tensors = f"{slice_}/", stored.read(reading.part).tensors("slices")
            mine = {k.removeprefix(start): torch.from_numpy(v) for k, v in tensors.items() if k.startswith(start)}
            return Ensemble.from_tensors(original.net, mine, ids=original.ids, strategy=original.strategy)

        return TrainingRecord(
            original=original,
            training=spec.training,
            size=len(reading.data.y_train),
            forget=torch.as_tensor(reading.indices, device=reading.device),
            seed=spec.seed,
            role=spec.role,
            _gradients=lambda: stored.read(reading.part).array("gradients"),
            _after=after,
        )
