"""Reading results of jobs from the store: data sets, networks, forget sets."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from engine.data import make_dataset
from engine.data.base import DataError, ImageData
from engine.ensemble import Ensemble, Strategy
from engine.images import Images
from engine.jobs import Hooks, part_models
from engine.models import make_architecture
from engine.models.base import Net
from engine.models.sharded import net_for
from engine.records import Choice
from engine.specs import WHOLE, DataSpec, ForgetSet, Trained, Unlearned
from engine.store import Store
from engine.training import Training


def load_data(store: Store, choice: Mapping[str, Any], expected: str | None, hooks: Hooks) -> ImageData:
    """Return the data set of ``choice`` and check that its hash is the one the spec names.

    Raises:
        DataError: it cannot be read, or it is not the data that the recipe was planned with.
    """
    data = make_dataset(choice).load(store.data_cache, hooks.progress)
    if expected is not None and data.hash != expected:
        DataSpec(Choice.from_json(choice, "dataset")).artefact(store).discard(
            WHOLE
        )  # so that the next plan looks again
        raise DataError(f"{data.name}: the {data.noun}s changed since this run was planned; run the recipe again")
    return data


def net_of(model: Choice, training: Training, data: ImageData) -> Net:
    """Return the network of a model trained like this, for pictures like these."""
    architecture = make_architecture(model.to_json())
    return net_for(architecture, data.shape, len(data.classes), training)


def removed(store: Store, spec: ForgetSet) -> tuple[np.ndarray, np.ndarray]:
    """Return a stored forget set: its training pictures int64 (F,), and those removed at earlier requests, (E,).

    Raises:
        StoreError: it is not in the store.
    """
    part = spec.artefact(store).read(WHOLE)
    earlier = part.array("earlier") if spec.after is not None else np.empty(0, np.int64)
    return np.array(part.array("indices")), np.array(earlier)


def through(
    store: Store, data: ImageData, spec: Trained, part: str, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features and margins of the training pictures in stored originals.

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
    spec: Trained | Unlearned,
    part: str,
    device: torch.device,
    strategy: Strategy = "stacked",
) -> tuple[Ensemble, np.ndarray]:
    """Return a stored chunk of trained or unlearned models, and their margins (M, P)."""
    stored = spec.artefact(store).read(part)
    tensors = {k: torch.from_numpy(v) for k, v in stored.tensors("weights").items()}
    trained = spec.original if isinstance(spec, Unlearned) else spec
    net = net_of(trained.model, trained.training, data)
    ensemble = Ensemble.from_tensors(net, tensors, ids=part_models(part), strategy=strategy)
    return ensemble.to(device), stored.array("margins")


def on(device: torch.device) -> dict[str, str]:
    """Return where numbers were made: device, Python and package versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    packages = {p: importlib.metadata.version(p) for p in ("torch", "numpy")}
    return {"device": f"{device.type} ({name})", "python": platform.python_version(), **packages}


def settle(device: torch.device) -> None:
    """Wait until the device has done its work, so that a clock read afterwards counts it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
