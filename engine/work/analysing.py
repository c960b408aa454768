"""Analysing: the bench of stored networks that an analysis looks at, and its measurement written to the store."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.analyses import make_analysis
from engine.analyses.bench import Bench
from engine.data.base import ImageData
from engine.ensemble import Ensemble
from engine.images import Images
from engine.jobs import Hooks, Job, part_models
from engine.prerequisites import Reading, prerequisites_of
from engine.records import EARLIER
from engine.seeds import derive
from engine.specs import Analysed, Explored
from engine.store import Artefact, Store
from engine.store.measurements import save
from engine.stored import load_data, load_ensemble, removed
from engine.task import ForgetTask
from engine.train import last
from engine.unlearners.base import Unlearner
from engine.work.unlearning import prepare
from engine.work.watching import measure


def analysis(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Measure one analysis on the networks its spec names, or on the data alone."""
    spec = job.spec
    if not isinstance(spec, Analysed | Explored):
        raise TypeError(f"a job of the kind {job.kind} measures nothing")
    plugin = make_analysis(spec.analysis.to_json())
    of_networks = isinstance(spec, Analysed)
    data = load_data(store, job.inputs["dataset"], spec.original.data if of_networks else spec.data, hooks)
    parts = tuple(job.inputs["parts"])

    @functools.cache
    def ensemble(role: str) -> Ensemble:
        stored, strategy = spec.ensembles[role], job.inputs["strategy"]
        return Ensemble.join([load_ensemble(store, data, stored, part, device, strategy)[0] for part in parts])

    @functools.cache
    def margins(role: str) -> np.ndarray:
        stored = spec.ensembles[role].artefact(store)
        return np.concatenate([stored.read(part).array("margins") for part in parts])  # (M, P)

    bench = Bench(
        reads=plugin.needs(),
        roles=plugin.roles(),
        ids=tuple(i for part in parts for i in part_models(part)),
        splits=_splits(store, job, data) if of_networks else {},
        labels=np.concatenate([data.y_train, data.y_test]),
        classes=data.classes,
        train=len(data.y_train),
        point=spec.point if of_networks else None,
        _data=data,
        _device=device,
        _ensemble=ensemble,
        _margins=margins,
        _exhibit=_exhibit(store, job, data, device) if "method" in plugin.needs() else None,
        _again=_again(store, job, data, device) if "method" in plugin.needs() else None,
        _prerequisite=_prerequisite(store, job, data, device, ensemble) if of_networks else None,
    )
    measurement = plugin.measure(bench, seed=spec.original.seed if of_networks else 0, progress=hooks.progress)
    with artefact.write(job.part) as out:
        save(out, measurement)


def _splits(store: Store, job: Job, data: ImageData) -> dict[str, np.ndarray]:
    """Return the points of each split; at a later request of a sequence also those that earlier ones removed."""
    train = len(data.y_train)
    forget, earlier = removed(store, job.inputs["forget"])  # (F,), (E,)
    return {
        "forget": forget,
        "retain": np.setdiff1d(np.arange(train), np.union1d(forget, earlier)),
        "test": np.arange(train, data.points),
        **({EARLIER: earlier} if len(earlier) else {}),
    }


def _exhibit(store: Store, job: Job, data: ImageData, device: torch.device) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return what makes the pictures that a method makes on its way, as it made them for its result."""

    def exhibit(most: int) -> tuple[Tensor, Tensor]:
        method, original, task, seed = _prepared(store, job, data, device)
        made = method.exhibit(original, task, seed=seed, most=most)
        return made.pictures, made.classes

    return exhibit


def _again(
    store: Store, job: Job, data: ImageData, device: torch.device
) -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
    """Return what runs the job's method again, with other seeds, on the originals of its first chunk."""

    def again(networks: int, run: int) -> tuple[np.ndarray, np.ndarray]:
        method, original, task, seed = _prepared(store, job, data, device)
        seed = derive(seed, "again", run) if run else seed
        result = last(method.unlearn(original[:networks], task, seed=seed)).ensemble
        points = Images.of(data, "points", device)
        values, predicted = measure(result, points)
        correct = predicted == points.y
        return values.cpu().numpy(), correct.cpu().numpy()

    return again


def _prepared(
    store: Store, job: Job, data: ImageData, device: torch.device
) -> tuple[Unlearner, Ensemble, ForgetTask, int]:
    """Return what the unlearning that the job looks at was given, for its first chunk of networks."""
    chunk = replace(job, part=job.inputs["parts"][0], inputs={**job.inputs, "reads": job.inputs["method reads"]})
    return prepare(store, data, job.about(Analysed).unlearned, chunk, device)


def _prerequisite(
    store: Store, job: Job, data: ImageData, device: torch.device, ensemble: Callable[[str], Ensemble]
) -> Callable[[str], Any]:
    """Return what reads a prerequisite by its word, for the chunk of networks that the job looks at."""
    spec = job.about(Analysed)

    def read(word: str) -> Any:
        analysis = make_analysis(spec.analysis.to_json())
        prerequisite = next(one for one in prerequisites_of(analysis) if one.reads == word)
        return prerequisite.load(
            Reading(
                store=store,
                data=data,
                spec=spec.unlearned,
                fragment=spec.reads.get(word),
                part=job.inputs["parts"][0],
                parts=job.inputs["reads"][word],
                indices=removed(store, job.inputs["forget"])[0],
                device=device,
                strategy=job.inputs["strategy"],
                original=ensemble("original"),
            )
        )

    return read
