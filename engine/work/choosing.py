"""The data, and which of its points a recipe forgets: jobs that come before any network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.data.base import ImageData
from engine.data.csv_file import look
from engine.forget import make_selector
from engine.forget.base import Scene, identity
from engine.forget.sequence import next_set, together
from engine.jobs import Hooks, Job
from engine.prerequisites import Reading, prerequisites_of
from engine.seeds import derive
from engine.specs import ForgetSet, TableSpec
from engine.store import Artefact, Store
from engine.stored import load_data, removed, through


def data(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:  # noqa: ARG001
    """Decode the data set of a recipe and store its name, hash, classes, shape and sizes."""
    loaded = load_data(store, job.inputs["dataset"], None, hooks)
    with artefact.write(job.part) as out:
        out.json(
            "info",
            {
                "name": loaded.name,
                "hash": loaded.hash,
                "classes": list(loaded.classes),
                "shape": list(loaded.shape),
                "train": len(loaded.y_train),
                "test": len(loaded.y_test),
                "top": loaded.top,
                **_table(loaded),
            },
        )
        out.arrays("labels", np.concatenate([loaded.y_train, loaded.y_test]))


def table(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:  # noqa: ARG001
    """Look at the first rows of a CSV file, to see which column can be predicted."""
    hooks.progress(0.1, "looking at the table")
    with artefact.write(job.part) as out:
        out.json("look", look(job.about(TableSpec).path))


def _table(loaded: ImageData) -> dict[str, Any]:
    """Return what a table adds to its info: what its points are called, its columns, how it was read."""
    if not loaded.tabular:
        return {}
    columns = [[column.name, list(column.categories)] for column in loaded.columns]
    return {"noun": loaded.noun, "columns": columns, "notes": list(loaded.notes), "target": loaded.target}


def forget(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Choose the forget set: store ``indices`` int64 (F,), and ``earlier`` (E,) at a later request."""
    spec = job.about(ForgetSet)
    data = load_data(store, job.inputs["dataset"], spec.data, hooks)
    selector = make_selector(spec.selector.to_json())
    features = margins = None
    if spec.original is not None:
        features, margins = through(store, data, spec.original, job.inputs["original_part"], device)
    everything = np.arange(len(data.y_train))
    read = {
        one.reads: one.load(Reading.of(job, spec, one.reads, store=store, data=data, indices=everything, device=device))
        for one in prerequisites_of(selector)
    }
    arrays = {word: x.cpu().numpy() if isinstance(x, torch.Tensor) else x for word, x in read.items()}
    scene = Scene(data, features, margins, arrays)
    hooks.progress(0.5, "choosing the forget set")
    earlier = _earlier(store, spec)
    chosen = next_set(selector, scene, earlier, seed=derive(spec.seed, "forget", len(earlier)))
    info = {"hash": chosen.hash, "gone": chosen.hash, "name": chosen.name, "size": len(chosen)}
    with artefact.write(job.part) as out:
        out.arrays("indices", chosen.indices)
        if earlier:
            out.arrays("earlier", together(earlier))
            info["gone"] = identity(together([*earlier, chosen.indices]), data.hash)
        out.json("info", info)


def _earlier(store: Store, spec: ForgetSet) -> list[np.ndarray]:
    """Return the points, int64 (F,), of each request before the one of ``spec``, the first one first."""
    sets: list[np.ndarray] = []
    before = spec.after
    while before is not None:
        sets.insert(0, removed(store, before)[0])
        before = before.after
    return sets
