"""Analysing: the bench of stored networks that an analysis looks at, and its measurement written to the store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.analyses import make_analysis
from engine.analyses.bench import Bench
from engine.data.base import ImageData
from engine.ensemble import Ensemble
from engine.jobs import Hooks, Job, part_models
from engine.records import EARLIER
from engine.store import Artefact, Store
from engine.store.measurements import save
from engine.work.reading import load_data, load_ensemble
from engine.work.training import request


def analysis(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Measure one analysis on the networks its spec names, or on the data alone."""
    plugin = make_analysis(job.spec["analysis"])
    roles = job.inputs["roles"]  # each with its kind and its spec
    data = load_data(store, job.inputs["dataset"], job.inputs["data"], hooks)
    parts = tuple(job.inputs["parts"])

    def ensemble(role: str) -> Ensemble:
        kind, spec = roles[role]
        strategy = job.inputs.get("strategy", "stacked")
        return Ensemble.join([load_ensemble(store, data, spec, p, device, strategy, kind=kind)[0] for p in parts])

    def margins(role: str) -> np.ndarray:
        kind, spec = roles[role]
        return np.concatenate([store.artefact(kind, spec).read(part).array("margins") for part in parts])  # (M, P)

    bench = Bench(
        reads=plugin.needs(),
        roles=plugin.roles(),
        ids=tuple(i for part in parts for i in part_models(part)),
        splits=_splits(job.inputs, data) if "forget" in job.inputs else {},
        labels=np.concatenate([data.y_train, data.y_test]),
        classes=data.classes,
        train=len(data.y_train),
        point=job.spec.get("point"),
        _data=data,
        _device=device,
        _ensemble=functools.cache(ensemble),
        _margins=functools.cache(margins),
        _exhibit=_exhibit(store, job, data, device) if "method" in plugin.needs() else None,
    )
    measurement = plugin.measure(bench, seed=job.inputs["seed"], progress=hooks.progress)
    with artefact.write(job.part) as out:
        save(out, measurement)


def _splits(inputs: Mapping[str, Any], data: ImageData) -> dict[str, np.ndarray]:
    """Return the points of each split; at a later request of a sequence also those that earlier ones removed."""
    train = len(data.y_train)
    forget = np.asarray(inputs["forget"], dtype=np.int64)
    earlier = np.asarray(inputs.get("earlier", ()), dtype=np.int64)
    return {
        "forget": forget,
        "retain": np.setdiff1d(np.arange(train), np.union1d(forget, earlier)),
        "test": np.arange(train, data.points),
        **({EARLIER: earlier} if len(earlier) else {}),
    }


def _exhibit(store: Store, job: Job, data: ImageData, device: torch.device) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return what makes the pictures that a method makes on its way, as it made them for its result."""

    def exhibit(most: int) -> tuple[Tensor, Tensor]:
        chunk = replace(job, part=job.inputs["parts"][0])
        method, original, task, seed = request(store, data, job.spec["of"]["unlearned"], chunk, device)
        made = method.exhibit(original, task, seed=seed, most=most)
        return made.pictures, made.classes

    return exhibit
