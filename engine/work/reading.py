"""Reading: data sets, stored networks, and which pictures a recipe's forget set holds."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from engine.data import make_dataset
from engine.data.base import DataError, ImageData
from engine.data.csv_file import look
from engine.ensemble import Ensemble, Strategy
from engine.forget import make_selector
from engine.forget.base import Scene, identity
from engine.forget.sequence import next_set, together
from engine.jobs import Hooks, Job, part_models
from engine.models import make_architecture
from engine.models.base import Net
from engine.models.sharded import net_for
from engine.records import Training
from engine.seeds import derive
from engine.store import Artefact, Store
from engine.task import Images
from engine.work.memorising import by_halves


def load_data(store: Store, choice: Mapping[str, Any], wanted: str | None, hooks: Hooks) -> ImageData:
    """Return the data set of ``choice`` and check that its hash is the one the spec names.

    Raises:
        DataError: it cannot be had, or it is not the data that the recipe was planned with.
    """
    data = make_dataset(choice).load(store.data_cache, hooks.progress)
    if wanted is not None and data.hash != wanted:
        store.artefact("data", {"dataset": dict(choice)}).discard("whole")  # so that the next plan looks again
        raise DataError(f"{data.name}: the {data.noun}s changed since this run was planned; run the recipe again")
    return data


def data(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:  # noqa: ARG001
    """Decode the data set of a recipe and note its name, hash, classes, shape and sizes."""
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
    """Look at the first rows of a CSV file, so that somebody can say which column to predict."""
    hooks.progress(0.1, "looking at the table")
    with artefact.write(job.part) as out:
        out.json("look", look(job.spec["path"]))


def _table(loaded: ImageData) -> dict[str, Any]:
    """Return what else there is to say of a table: what its points are called, its columns, how it was read."""
    if not loaded.tabular:
        return {}
    columns = [[column.name, list(column.categories)] for column in loaded.columns]
    return {"noun": loaded.noun, "columns": columns, "notes": list(loaded.notes), "target": loaded.target}


def net_of(spec: Mapping[str, Any], data: ImageData) -> Net:
    """Return the network a spec names, for pictures like these."""
    architecture = make_architecture(spec["model"])
    return net_for(architecture, data.shape, len(data.classes), Training.from_settings(spec["training"]))


def forget(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Let the selector choose and keep its choice."""
    data = load_data(store, job.inputs["dataset"], job.spec["data"], hooks)
    selector = make_selector(job.spec["selector"])
    scene = Scene(data)
    if "original" in job.spec:
        features, margins = through(store, data, job.spec["original"], job.inputs["original_part"], device)
        scene = Scene(data, features=features, margins=margins)
    elif "halves" in job.spec:
        n = len(data.y_train)
        scene = Scene(data, memorisation=by_halves(store, job.spec["halves"], job.inputs["scored"], n, np.arange(n)))
    hooks.progress(0.5, "choosing the forget set")
    earlier = _earlier(store, job.spec)
    chosen = next_set(selector, scene, earlier, seed=derive(job.spec["seed"], "forget", len(earlier)))
    info = {"hash": chosen.hash, "name": chosen.name, "size": len(chosen)}
    with artefact.write(job.part) as out:
        out.arrays("indices", chosen.indices)
        if earlier:
            out.arrays("earlier", together(earlier))
            info["gone"] = identity(together([*earlier, chosen.indices]), data.hash)
        out.json("info", info)


def _earlier(store: Store, spec: Mapping[str, Any]) -> list[np.ndarray]:
    """Return the pictures, int64 (F,), of each request before the one of a forget set's spec, the first one first."""
    found: list[np.ndarray] = []
    while "after" in spec:
        spec = spec["after"]
        found.insert(0, np.array(store.artefact("forget", spec).read("whole").array("indices")))
    return found


def through(
    store: Store, data: ImageData, spec: Mapping[str, Any], part: str, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Return what stored originals see in the training pictures.

    float32 (N, D) penultimate features of the part's first model, and float32 (M, N) margins of all of its models.
    """
    originals, stored = load_ensemble(store, data, spec, part, device)
    images = Images.of(data, "train", device)
    first = originals[:1]
    features = torch.cat([first.features_shared(images.pictures(s))[0] for s in first.spans(len(images))])  # (N, D)
    return features.flatten(1).cpu().numpy(), np.array(stored[:, : len(images)])  # (N, D), (M, N)


def load_ensemble(
    store: Store,
    data: ImageData,
    spec: Mapping[str, Any],
    part: str,
    device: torch.device,
    strategy: Strategy = "stacked",
    *,
    kind: str = "trained",
) -> tuple[Ensemble, np.ndarray]:
    """Return a stored chunk of trained models, or of ``kind`` "unlearned" ones, and their margins (M, P)."""
    stored = store.artefact(kind, spec).read(part)
    tensors = {k: torch.from_numpy(v) for k, v in stored.tensors("weights").items()}
    net = net_of(spec["original"] if kind == "unlearned" else spec, data)
    ensemble = Ensemble.from_tensors(net, tensors, ids=part_models(part), strategy=strategy)
    return ensemble.to(device), stored.array("margins")


def on(device: torch.device) -> dict[str, str]:
    """Return where numbers were made: device, Python and package versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    packages = {p: importlib.metadata.version(p) for p in ("torch", "numpy")}
    return {"device": f"{device.type} ({name})", "python": platform.python_version(), **packages}
