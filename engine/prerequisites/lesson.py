"""The lesson: an unlearner that was learned for the originals, once, before any request."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.cards import Card
from engine.images import Images
from engine.jobs import Hooks, Job, part_models, part_name
from engine.leakage import drawn_at_least
from engine.lesson import Lesson, learn, shared
from engine.prerequisites.base import Prerequisite, Reading
from engine.scope import Scope
from engine.specs import WHOLE, Prepared, Trained
from engine.store import Artefact, Store
from engine.stored import load_data, net_of, on, removed, settle
from engine.teaching import Teaching


@dataclass(frozen=True)
class LearnedUnlearner(Teaching, Prerequisite):
    """It depends on no forget set, so one lesson serves every request; a convex model needs one for all originals.

    A ``fresh`` one is learned from what a request leaves, and serves that request alone.
    """

    key = "lesson"
    reads = "lesson"
    doing = "learning the unlearner"
    card = Card(
        name="Lesson",
        summary="An unlearner learned once, from many small trainings with and without a forget set.",
        cost="up to two trainings on a subset per pair, for each network, or for all together with a convex model",
        paper="Learning to Unlearn: Machine Unlearning via Learning the Unlearning Behaviors",
        year=2025,
    )

    def fragment(self, scope: Scope) -> Any:
        """Return the spec of its own job."""
        return self._spec(scope).plain

    def jobs(self, scope: Scope, chunk: tuple[int, int]) -> tuple[Job, ...]:
        """Learn for a chunk of originals, or for all where one lesson serves all."""
        recipe, serves_all = scope.recipe, shared(scope.recipe.model.key)
        cost = self.cost(
            train=scope.info["train"] - (scope.removed if self.fresh else 0),
            training=recipe.training,
            models=chunk[1] - chunk[0],
            serves_all=serves_all,
        )
        part = WHOLE if serves_all else part_name(chunk)
        inputs, needs = {"dataset": scope.inputs["dataset"]}, (scope.data.id,)
        if self.fresh:
            inputs["forget"] = scope.forget
            needs = (scope.choosing.id,) if scope.choosing is not None else needs
        return (Job(self._spec(scope), part, inputs, needs=needs, cost=cost, doing=self.doing),)

    def work(self, store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
        """Learn the unlearner of a chunk of originals, or of all, and store it with its time and what it leaks."""
        original = Trained.from_json(job.about(Prepared).of["original"])
        data = load_data(store, job.inputs["dataset"], original.data, hooks)
        images = everything = Images.of(data, "train", device)
        if self.fresh:
            left = np.setdiff1d(np.arange(len(everything)), np.concatenate(removed(store, job.inputs["forget"])))
            images = everything.take(torch.from_numpy(left).to(device))
        start = time.perf_counter()
        lesson = learn(
            net_of(original.model, original.training, data),
            images,
            original.training,
            self,
            seed=original.seed,
            ids=() if job.part == WHOLE else part_models(job.part),
            size=len(everything),
            progress=hooks.progress,
        )
        settle(device)
        share = 0.0 if self.fresh else self.drawn(lesson.size) / lesson.size
        leaked = drawn_at_least(2, lessons=self.lessons, share=share)
        with artefact.write(job.part) as out:
            out.tensors("lesson", {k: v.contiguous().cpu().numpy() for k, v in lesson.tensors().items()})
            seconds = time.perf_counter() - start
            out.json("meta", {**lesson.meta(), "seconds": seconds, "drawn_twice": leaked, **on(device)})

    def load(self, reading: Reading) -> Lesson:
        """Return the lesson of the chunk's originals.

        Raises:
            ValueError: it was not learned for one of them.
        """
        stored = Prepared.from_json(reading.fragment).artefact(reading.store).read(reading.parts[0])
        tensors = {k: torch.from_numpy(v).to(reading.device) for k, v in stored.tensors("lesson").items()}
        lesson = Lesson.read(tensors, stored.json("meta"))
        return lesson if reading.original is None else lesson.of(reading.original.ids)

    def _spec(self, scope: Scope) -> Prepared:
        without = {"without": scope.gone} if self.fresh else {}
        return self.prepared({"original": scope.trained("original").plain, **without})
