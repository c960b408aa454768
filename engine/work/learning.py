"""Learning an unlearner: the job that makes a lesson, and reading it back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from engine.images import Images
from engine.jobs import Hooks, Job, part_models
from engine.leakage import drawn_at_least
from engine.lesson import Lesson, Teaching, learn, shared
from engine.records import Training
from engine.store import Artefact, Store
from engine.work.reading import load_data, net_of, on
from engine.work.watching import settle


def lesson(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Learn the unlearner of a chunk of originals, or of all, and keep it with its time and what it leaks."""
    original, settings = job.spec["original"], dict(job.spec["learning"])
    del settings["key"]
    teaching = Teaching.of(settings)
    data = load_data(store, job.inputs["dataset"], original["data"], hooks)
    start = time.perf_counter()
    made = learn(
        net_of(original, data),
        Images.of(data, "train", device),
        Training.from_settings(original["training"]),
        teaching,
        seed=original["seed"],
        ids=() if job.part == "whole" else part_models(job.part),
        progress=hooks.progress,
    )
    settle(device)
    leaked = drawn_at_least(2, lessons=teaching.lessons, share=teaching.drawn(made.size) / made.size)
    with artefact.write(job.part) as out:
        out.tensors("lesson", {k: v.contiguous().cpu().numpy() for k, v in made.tensors().items()})
        seconds = time.perf_counter() - start
        out.json("meta", {**made.meta(), "seconds": seconds, "drawn_twice": leaked, **on(device)})


def load_lesson(store: Store, spec: Mapping[str, Any], part: str, device: torch.device) -> Lesson:
    """Return the stored unlearner of the originals of ``part``."""
    key = spec["original"]["model"]["key"]
    stored = store.artefact("lesson", spec).read("whole" if shared(key) else part)
    tensors = {k: torch.from_numpy(v).to(device) for k, v in stored.tensors("lesson").items()}
    return Lesson.read(tensors, stored.json("meta"))
