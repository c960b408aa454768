"""Oracle outputs: answers of networks that never saw the forget set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.cards import Card
from engine.jobs import Job
from engine.prerequisites.base import Prerequisite, Reading
from engine.scope import Scope
from engine.specs import Trained
from engine.stored import load_ensemble
from engine.task import OracleLogits


@dataclass(frozen=True)
class OracleOutputs(Prerequisite):
    """Logits of the second oracles, which are independent of those that KLOM compares with.

    So a method that copies them is never scored against the networks it copied.
    """

    key = "oracle_outputs"
    reads = "oracle outputs"
    once = False
    card = Card(
        name="Oracle outputs",
        summary="What networks answer that never saw the forget set, for a method to aim at.",
        cost="none beside the noise floor, whose networks they are",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="They come from second oracles, so that a method is never scored against the networks it copied.",
    )

    def fragment(self, scope: Scope) -> Any:
        """Return the spec of the second oracles of the request."""
        return scope.trained("floor").plain

    def jobs(self, scope: Scope, chunk: tuple[int, int]) -> tuple[Job, ...]:
        """Train the second oracles of this chunk: the noise floor needs the same ones."""
        return (scope.training("floor", chunk),)

    def load(self, reading: Reading) -> OracleLogits:
        """Return the function from pictures (M, B, c, h, w) to logits (M, B, C) of the chunk's second oracles."""
        spec = Trained.from_json(reading.fragment)
        oracles, _ = load_ensemble(reading.store, reading.data, spec, reading.part, reading.device, reading.strategy)
        return oracles.logits
