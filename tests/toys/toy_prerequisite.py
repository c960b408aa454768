"""Toy prerequisite: how many training pictures each class has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch

from engine.cards import Card
from engine.jobs import Hooks, Job
from engine.knobs import Knob
from engine.prerequisites.base import Prerequisite, Reading
from engine.scope import Scope
from engine.specs import Prepared
from engine.store import Artefact, Store
from engine.stored import load_data


@dataclass(frozen=True)
class ToyCounts(Prerequisite):
    """A count per class, once for a data set."""

    key = "toy_counts"
    reads = "toy counts"
    once = False
    doing = "counting toy labels"
    card = Card(name="Toy counts", summary="How many training pictures each class has.", cost="a look at the labels")

    plus: Annotated[int, Knob("plus", "What is added to each count.", low=0, high=100)] = 1

    def fragment(self, scope: Scope) -> Any:
        return self._spec(scope).plain

    def jobs(self, scope: Scope, chunk: tuple[int, int]) -> tuple[Job, ...]:
        inputs = {"dataset": scope.inputs["dataset"]}
        return (Job(self._spec(scope), inputs=inputs, needs=(scope.data.id,), cost=12345.0, doing=self.doing),)

    def work(self, store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
        data = load_data(store, job.inputs["dataset"], job.about(Prepared).of["data"], hooks)
        with artefact.write(job.part) as out:
            out.arrays("counts", np.bincount(data.y_train, minlength=len(data.classes)) + self.plus)

    def load(self, reading: Reading) -> np.ndarray:
        return Prepared.from_json(reading.fragment).artefact(reading.store).read(reading.parts[0]).array("counts")

    def _spec(self, scope: Scope) -> Prepared:
        return self.prepared({"data": scope.info["hash"]})
