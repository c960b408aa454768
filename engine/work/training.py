"""Training: jobs that end in a chunk of trained networks and their margins."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.base import ImageData
from engine.ensemble import Ensemble
from engine.halves import halves
from engine.images import Images
from engine.jobs import Hooks, Job, followed, part_models
from engine.specs import Trained, course_epochs
from engine.store import Artefact, Store
from engine.store.errors import plain_words
from engine.stored import load_data, net_of, removed
from engine.train import train
from engine.training import Training
from engine.work.publishing import publish
from engine.work.watching import Watch, measure

_CPU = torch.device("cpu")


def trained(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Train one chunk of originals, oracles, second oracles or networks on halves; store weights and margins."""
    spec = job.about(Trained)
    data = load_data(store, job.inputs["dataset"], spec.data, hooks)
    subset, course = None, None
    if spec.subset == "half":
        subset = halves(spec.seed, part_models(job.part), len(data.y_train)).to(device)  # (M, N)
    elif spec.subset != "all":
        forget, earlier = removed(store, job.inputs["forget"])  # (F,), (E,)
        retain = np.setdiff1d(np.arange(len(data.y_train)), np.union1d(forget, earlier))
        subset = torch.from_numpy(retain).to(device)  # (n,)
        if spec.keeps_course:
            course = _Course(data, forget, earlier, len(retain), spec.training, hooks, device)
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
    watch = Watch(hooks, device, splits=None, looks=None if course is None else course.looks())
    with contextlib.nullcontext() if file is None else contextlib.closing(file):
        result = watch.run(snapshots)
        extra = {} if file is None else {"gradients": file.array()}
        extra |= {} if course is None else course.arrays()
        points = Images.of(data, "points", device)
        publish(artefact, job, result, watch, points, hooks, device, extra, slices=slices)


class _Course:
    """Margins of networks at the ends of their epochs: what a retrain is worth that is stopped there."""

    def __init__(
        self,
        data: ImageData,
        forget: np.ndarray,
        earlier: np.ndarray,
        retain: int,
        training: Training,
        hooks: Hooks,
        device: torch.device,
    ) -> None:
        followed_points = followed(forget=forget, train=len(data.y_train), points=data.points, earlier=earlier)
        self._points = np.concatenate(list(followed_points.values()))  # (n,)
        self._images = Images.of(data, "points", device).take(torch.from_numpy(self._points).to(device))
        self._epochs, self._total = course_epochs(training.epochs), training.epochs
        self._steps = -(-retain // training.batch_size)
        self._hooks = hooks
        self._margins: list[np.ndarray] = []

    def looks(self) -> dict[int, Callable[[Ensemble], None]]:
        """Return what is to be done after which steps."""
        return {epoch * self._steps: self._look for epoch in self._epochs}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``course`` float32 (M, E, n), the points (n,) and the shares of a retrain (E,), for the store."""
        return {
            "course": np.stack(self._margins, axis=1),  # (M, E, n)
            "course_points": self._points,
            "course_share": np.array(self._epochs) / self._total,  # (E,)
        }

    def _look(self, models: Ensemble) -> None:
        values, _ = measure(models, self._images, self._hooks)
        self._margins.append(values.cpu().numpy())  # (M, n)


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
