"""Training: jobs that end in a chunk of trained networks and their margins."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.ensemble import Ensemble
from engine.halves import halves
from engine.images import Images
from engine.jobs import Hooks, Job, part_models
from engine.specs import Trained
from engine.store import Artefact, Store
from engine.store.errors import plain_words
from engine.stored import load_data, net_of, removed
from engine.train import train
from engine.work.publishing import publish
from engine.work.watching import Watch

_CPU = torch.device("cpu")


def trained(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Train one chunk of originals, oracles, second oracles or networks on halves; store weights and margins."""
    spec = job.about(Trained)
    data = load_data(store, job.inputs["dataset"], spec.data, hooks)
    subset = None
    if spec.subset == "half":
        subset = halves(spec.seed, part_models(job.part), len(data.y_train)).to(device)  # (M, N)
    elif spec.subset != "all":
        forget, earlier = removed(store, job.inputs["forget"])  # (F,), (E,)
        retain = np.setdiff1d(np.arange(len(data.y_train)), np.union1d(forget, earlier))
        subset = torch.from_numpy(retain).to(device)  # (n,)
    slices: list[Ensemble] = []
    training = spec.training
    file = _PathFile(artefact.temporary) if training.trajectory else None
    snapshots = train(
        net_of(spec.model, spec.training, data),
        Images.of(data, "train", device),
        training,
        seed=spec.seed,
        role=spec.role,
        ids=part_models(job.part),
        strategy=job.inputs["strategy"],
        subset=subset,
        # Only originals are asked to forget, so only their slices are stored.
        checkpoint=(lambda now: slices.append(now.to(_CPU))) if spec.role == "original" else None,
        keep=file,
    )
    watch = Watch(hooks, device, splits=None)
    with contextlib.nullcontext() if file is None else contextlib.closing(file):
        result = watch.run(snapshots)
        extra = None if file is None else {"gradients": file.array()}
        points = Images.of(data, "points", device)
        publish(artefact, job, result, watch, points, hooks, device, extra, slices=slices)


class _PathFile:
    """Writes the gradients (M, P) of one step after the other to a nameless file: they may not fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shape: tuple[int, ...] = ()
        self._steps = 0
        with plain_words("keep the trajectory", folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this object

    def __call__(self, gradients: Tensor) -> None:
        with plain_words("keep the trajectory", self._folder):
            self._file.write(gradients.cpu().numpy().tobytes())
        self._shape = tuple(gradients.shape)
        self._steps += 1

    def array(self) -> np.ndarray:
        """Return float32 (T, M, P), read from the file as it is touched."""
        with plain_words("keep the trajectory", self._folder):
            self._file.flush()
            return np.memmap(self._file, np.float32, "r", shape=(self._steps, *self._shape))

    def close(self) -> None:
        """Close the file; it has no name, so its space is freed."""
        self._file.close()
