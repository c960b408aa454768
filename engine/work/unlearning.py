"""Unlearning: jobs that run one method on a chunk of networks and end in the unlearned ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from engine.data.base import ImageData
from engine.ensemble import Ensemble
from engine.images import Images
from engine.jobs import Hooks, Job, followed
from engine.prerequisites import Prerequisite, Reading, prerequisites_of
from engine.seeds import derive
from engine.specs import Unlearned
from engine.store import Artefact, Store
from engine.stored import load_data, load_ensemble, removed
from engine.task import ForgetTask
from engine.training import MOMENTS
from engine.unlearners import make_unlearner
from engine.unlearners.base import Unlearner
from engine.work.publishing import publish
from engine.work.watching import Diverged, Watch


def unlearned(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Run one method on one chunk of originals and store weights, margins, frames and trajectories.

    At a later request of a sequence it goes on from its networks of the request before, and retains nothing that was
    removed before.
    """
    spec = job.about(Unlearned)
    data = load_data(store, job.inputs["dataset"], spec.original.data, hooks)
    method, original, task, seed = prepare(store, data, spec, job, device)
    for word in spec.reads:  # read now: the disk's time is not the method's
        task.read(word, original)
    forget, earlier = removed(store, job.inputs["forget"])  # (F,), (E,)
    points = Images.of(data, "points", device)
    ids = followed(forget=forget, train=len(data.y_train), points=data.points, earlier=earlier)
    splits = {k: points.take(torch.from_numpy(i).to(device)) for k, i in ids.items()}
    watch = Watch(hooks, device, splits=splits, moments=spec.moments or MOMENTS)
    try:
        result = watch.run(method.unlearn(original, task, seed=seed))
    except Diverged as error:
        with artefact.write(job.part) as out:
            out.json("meta", {**watch.meta(job, device), "diverged": str(error)})
        return
    extra = {
        "trajectory": np.stack([margins.mean(axis=0) for margins in watch.trajectory]).astype(
            np.float32
        ),  # (frames, n)
        # Half the precision is 0.004 logits at 8; KLOM's bins are wider by far.
        "trajectory_margins": np.stack(watch.trajectory, axis=1).clip(-6e4, 6e4).astype(np.float16),  # (M, frames, n)
        "trajectory_points": np.concatenate(list(ids.values())),  # (n,)
        "trajectory_seen": np.array([frame["seen"] for frame in watch.frames], dtype=np.int64),  # (frames,)
    }
    publish(artefact, job, result, watch, points, hooks, device, extra)


def prepare(
    store: Store, data: ImageData, spec: Unlearned, job: Job, device: torch.device
) -> tuple[Unlearner, Ensemble, ForgetTask, int]:
    """Return what an unlearned spec names: the method, the originals, what the method may see, and its seed."""
    method = make_unlearner(spec.method.to_json())
    strategy = job.inputs["strategy"]
    begun = spec.original if spec.after is None else spec.after
    original, _ = load_ensemble(store, data, begun, job.part, device, strategy)
    forget, earlier = removed(store, job.inputs["forget"])  # (F,), (E,)
    images = Images.of(data, "train", device).viewed(spec.original.training)
    retained = torch.ones(len(images), dtype=torch.bool, device=device)  # (N,)
    retained[torch.from_numpy(np.concatenate([forget, earlier])).to(device)] = False
    numbers = retained.nonzero()[:, 0]  # (R,)
    here = {"store": store, "data": data, "indices": forget, "device": device}

    def reader(prerequisite: Prerequisite) -> Callable[[Ensemble], Any]:
        def load(originals: Ensemble) -> Any:
            if originals.ids not in loaded:
                loaded[originals.ids] = prerequisite.load(
                    Reading.of(job, spec, prerequisite.reads, **here, original=originals)
                )
            return loaded[originals.ids]

        loaded: dict[tuple[int, ...], Any] = {}
        return load

    task = ForgetTask(
        net=original.net,
        training=spec.original.training,
        reads=method.card.reads,
        _forget=images.take(torch.from_numpy(forget).to(device)),
        _retain=images.take(numbers),
        _numbers=numbers,
        _total=len(images),
        _reads={one.reads: reader(one) for one in prerequisites_of(method)},
    )
    return method, original, task, derive(spec.seed, f"unlearn:{method.key}", spec.number - 1)
