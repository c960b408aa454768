"""Memorisation scores: how well networks know each training picture by heart, from networks on halves or by a proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.cards import Card
from engine.halves import halves
from engine.jobs import Job, part_models
from engine.knobs import BadSetting
from engine.memorisation import Scores, doubt, memorisation
from engine.prerequisites.base import Prerequisite, Reading
from engine.scope import Scope
from engine.specs import Trained


@dataclass(frozen=True)
class MemorisationScores(Prerequisite):
    """A score per picture. Networks on random halves are trained for it, or the first originals are asked.

    With halves a right answer is counted with the probability a network gives it: that needs fewer networks than
    counting whole answers, and leaves hardly any ties.
    """

    key = "memorisation"
    reads = "memorisation scores"
    card = Card(
        name="Memorisation scores",
        summary="How much networks know each training picture by heart: right with it, wrong without it.",
        formula="P[right | learned] - P[right | not learned]",
        cost="halves: half a retrain for each network of the ensemble; confidence: none",
        paper="What Neural Networks Memorize and Why: Discovering the Long Tail via Influence Estimation",
        year=2020,
        arxiv="2008.03703",
        departs="Random halves instead of 70 % subsets, and probabilities instead of counted answers.",
    )

    by: Scores = "halves"

    def fragment(self, scope: Scope) -> Any:
        """Return the networks behind the scores, and their number, on which the scores depend."""
        if self.by == "halves":
            return {"networks": scope.trained("halves").plain, "models": scope.recipe.ensemble.models}
        return {"networks": scope.trained("original").plain, "models": scope.chunks[0][1]}

    def jobs(self, scope: Scope, chunk: tuple[int, int]) -> tuple[Job, ...]:
        """Train all networks on halves, whatever the chunk; for the proxy the first chunk of originals."""
        del chunk
        if self.by == "halves":
            return tuple(scope.training("halves", each) for each in scope.chunks)
        return (scope.training("original", scope.chunks[0]),)

    def load(self, reading: Reading) -> torch.Tensor:
        """Return the scores of the pictures read for: float32 (n,), the same for every model.

        Raises:
            BadSetting: a network diverged, or they are too few.
        """
        margins = self._margins(reading)  # (M, n), logits of the true label's probability
        if self.by == "halves":
            ids = [i for part in reading.parts for i in part_models(part)]
            seed = Trained.from_json(reading.fragment["networks"]).seed
            learned = halves(seed, ids, len(reading.data.y_train)).numpy()[:, reading.indices]  # (M, n)
            right = np.exp(-np.logaddexp(0.0, -margins.astype(np.float64)))  # (M, n)
            scores = memorisation(right=right, learned=learned)  # (n,)
        else:
            scores = doubt(margins)  # (n,)
        return torch.from_numpy(scores).to(reading.device)

    def _margins(self, reading: Reading) -> np.ndarray:
        artefact = Trained.from_json(reading.fragment["networks"]).artefact(reading.store)
        chunks = []
        for part in reading.parts:
            stored = artefact.read(part)
            if diverged := stored.json("meta").get("diverged"):
                raise BadSetting(f"memorisation cannot be told, for a network that should tell it {diverged}")
            chunks.append(stored.array("margins")[:, reading.indices])
        return np.concatenate(chunks)  # (M, n)
