"""Training and unlearning: jobs that end in a chunk of networks and their margins."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.base import ImageData
from engine.descent import Snapshot
from engine.ensemble import Ensemble, Strategy
from engine.halves import halves
from engine.jobs import Hooks, Job, followed, part_models, request_number
from engine.records import Training
from engine.seeds import derive
from engine.store import Artefact, Store
from engine.store.errors import plain_words
from engine.task import ForgetTask, Images, Sharded, TrainingPath, TrainingRecord
from engine.train import path, train, uses
from engine.unlearners import make_unlearner
from engine.unlearners.base import Unlearner
from engine.work.learning import load_lesson
from engine.work.memorising import memorised
from engine.work.reading import load_data, load_ensemble, net_of, on
from engine.work.watching import Diverged, Watch, check_margins, measure, settle

_CPU = torch.device("cpu")
PROBE_SECONDS = 0.5
"""How long each strategy is timed."""
CLEARLY = 1.25
"""How many times faster the loop must be to be chosen. Both strategies agree only to rounding, so a choice that flips
with the noise of a clock would make two runs of one recipe differ in their last digits."""


def probe(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Time a few training steps of a chunk, stacked and looped; note which is faster, how fast, and its memory."""
    data = load_data(store, job.inputs["dataset"], None, hooks)
    net = net_of(job.spec, data)
    training = Training.from_settings(job.spec["training"])
    images = Images.of(data, "train", device)
    count = job.spec["models"]
    seconds: dict[str, float] = {}
    peaks: dict[str, int] = {}
    for strategy in ("stacked", "looped"):
        # One model is enough for the loop: its time is proportional to the number of models by construction.
        models = count if strategy == "stacked" else 1
        _reset_peak(device)
        snapshots = train(
            net, images, training, seed=0, role="probe", ids=range(models), strategy=strategy, subset=None
        )
        next(snapshots)
        next(snapshots)
        hooks.progress(0.5, f"timing the {strategy} strategy")
        start, examples, steps = time.perf_counter(), 0, 0
        begun = next(snapshots)
        first, ensemble = begun.seen, begun.ensemble
        while time.perf_counter() - start < PROBE_SECONDS and steps < 200:
            snapshot = next(snapshots, None)
            if snapshot is None:
                break
            settle(device)
            examples, steps, ensemble = snapshot.seen - first, steps + 1, snapshot.ensemble
        seconds[strategy] = (time.perf_counter() - start) / max(1, examples * models)
        ensemble.logits_shared(images.pictures(next(ensemble.spans(len(images)))))  # measuring takes memory too
        peaks[strategy] = _peak(device)
    faster: Strategy = "looped" if seconds["looped"] * CLEARLY < seconds["stacked"] else "stacked"
    with artefact.write(job.part) as out:
        out.json(
            "probe",
            {
                "strategy": faster,
                "seconds_per_pass": seconds[faster] / training.passes,
                "seconds_per_example": seconds,
                "peak_bytes": peaks[faster],
                "parameters": sum(p.numel() for p in net.initial(0).parameters()),
                **on(device),
            },
        )


def _reset_peak(device: torch.device) -> None:
    """Begin to measure peak memory afresh; where the system has no way to, peaks count from the process's start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    """Return the most bytes held at once: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    import resource  # not on Windows, which has no answer here

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def trained(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Train one chunk of originals, oracles, second oracles or networks on halves and keep weights and margins."""
    data = load_data(store, job.inputs["dataset"], job.spec["data"], hooks)
    spec = job.spec
    subset = None
    if spec["subset"] == "half":
        subset = halves(spec["seed"], part_models(job.part), len(data.y_train)).to(device)  # (M, N)
    elif spec["subset"] != "all":
        forget = np.asarray(job.inputs["forget"], dtype=np.int64)
        kept = np.setdiff1d(np.arange(len(data.y_train)), forget)
        subset = torch.from_numpy(kept).to(device)  # (n,)
    slices: list[Ensemble] = []
    training = Training.from_settings(spec["training"])
    file = _PathFile(artefact.temporary) if training.trajectory else None
    snapshots = train(
        net_of(spec, data),
        Images.of(data, "train", device),
        training,
        seed=spec["seed"],
        role=spec["role"],
        ids=part_models(job.part),
        strategy=job.inputs["strategy"],
        subset=subset,
        # Only originals are asked to forget, so only theirs are kept.
        checkpoint=(lambda now: slices.append(now.to(_CPU))) if spec["role"] == "original" else None,
        keep=file,
    )
    watch = Watch(hooks, device, splits=None)
    with contextlib.nullcontext() if file is None else contextlib.closing(file):
        result = watch.run(snapshots)
        extra = None if file is None else {"gradients": file.array()}
        points = Images.of(data, "points", device)
        _publish(artefact, job, result, watch, points, hooks, device, extra, slices=slices)


class _PathFile:
    """Takes the gradients (M, P) of one step after the other into a nameless file: they may not fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shape: tuple[int, ...] = ()
        self._steps = 0
        with plain_words("keep the trajectory", folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this does

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
        """Let the file go: it has no name, so that is its end."""
        self._file.close()


def unlearned(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Run one method on one chunk of originals and keep weights, margins, frames and trajectories.

    At a later request of a sequence it runs on what it left at the request before, and retains nothing that is gone.
    """
    data = load_data(store, job.inputs["dataset"], job.spec["original"]["data"], hooks)
    method, original, task, seed = request(store, data, job.spec, job, device)
    forget = np.asarray(job.inputs["forget"], dtype=np.int64)
    points = Images.of(data, "points", device)
    earlier = np.asarray(job.inputs.get("earlier", ()), dtype=np.int64)  # (E,)
    ids = followed(forget=forget, train=len(data.y_train), points=data.points, earlier=earlier)
    watch = Watch(hooks, device, splits={k: points.take(torch.from_numpy(i).to(device)) for k, i in ids.items()})
    try:
        result = watch.run(method.unlearn(original, task, seed=seed))
    except Diverged as error:
        with artefact.write(job.part) as out:
            out.json("meta", {**watch.meta(job, device), "diverged": str(error)})
        return
    extra = {
        "trajectory": np.stack(watch.trajectory).astype(np.float32),  # (frames, n)
        "trajectory_points": np.concatenate(list(ids.values())),  # (n,)
        "trajectory_seen": np.array([frame["seen"] for frame in watch.frames], dtype=np.int64),  # (frames,)
    }
    _publish(artefact, job, result, watch, points, hooks, device, extra)


def request(
    store: Store, data: ImageData, spec: Mapping[str, Any], job: Job, device: torch.device
) -> tuple[Unlearner, Ensemble, ForgetTask, int]:
    """Return what an unlearned spec asks for: the method, the originals, what the method may see, and its seed."""
    method = make_unlearner(spec["method"])
    strategy = job.inputs["strategy"]
    begun, kind = (spec["after"], "unlearned") if "after" in spec else (spec["original"], "trained")
    original, _ = load_ensemble(store, data, begun, job.part, device, strategy, kind=kind)
    oracle = None
    if "oracle" in spec:
        oracle = load_ensemble(store, data, spec["oracle"], job.part, device, strategy)[0].logits
    images = Images.of(data, "train", device)
    forget = torch.as_tensor(np.asarray(job.inputs["forget"], dtype=np.int64), device=device)  # (F,)
    kept = torch.ones(len(images), dtype=torch.bool, device=device)  # (N,)
    kept[forget] = False
    earlier = np.asarray(job.inputs.get("earlier", ()), dtype=np.int64)  # (E,)
    kept[torch.from_numpy(earlier).to(device)] = False
    task = ForgetTask(
        net=original.net,
        training=Training.from_settings(spec["original"]["training"]),
        reads=method.card.reads,
        _forget=images.take(forget),
        _retain=images.take(kept.nonzero()[:, 0]),
        _oracle=oracle,
        _record=lambda originals: _record(store, spec["original"], job.part, originals, len(images), forget),
        _numbers=kept.nonzero()[:, 0],
        _total=len(images),
        _sharded=lambda originals: _sharded(store, spec["original"], job.part, originals),
        _memorisation=memorised(store, spec, job.inputs, len(images), device),
        _lesson=load_lesson(store, spec["lesson"], job.part, device) if "lesson" in spec else None,
    )
    return method, original, task, derive(spec["seed"], f"unlearn:{method.key}", request_number(spec) - 1)


def _record(
    store: Store, spec: Mapping[str, Any], part: str, original: Ensemble, n: int, forget: Tensor
) -> TrainingRecord:
    """Return how the originals of ``spec`` were trained.

    All of it follows from the spec but the gradients, if those were kept: they are looked for when they are asked for.
    """
    about = {"seed": spec["seed"], "role": spec["role"], "ids": original.ids}
    initial = Ensemble.initial(original.net, **about, device=original.device, strategy=original.strategy)
    training = Training.from_settings(spec["training"])

    def kept() -> TrainingPath:
        gradients = store.artefact("trained", spec).read(part).array("gradients")
        return path(training, n, forget, gradients, **about)

    return TrainingRecord(initial, uses(training, n, forget, **about), kept if training.trajectory else None)


def _sharded(store: Store, spec: Mapping[str, Any], part: str, original: Ensemble) -> Sharded:
    """Return what the training of originals in shards left; their slices are read from the store when asked for."""

    def after(slice_: int) -> Ensemble:
        found = store.artefact("trained", spec).read(part).tensors("slices")
        start = f"{slice_}/"
        tensors = {k.removeprefix(start): torch.from_numpy(v) for k, v in found.items() if k.startswith(start)}
        return Ensemble.from_tensors(original.net, tensors, ids=original.ids, strategy=original.strategy)

    return Sharded(spec["seed"], spec["role"], after)


def _publish(
    artefact: Artefact,
    job: Job,
    snapshot: Snapshot,
    watch: Watch,
    points: Images,
    hooks: Hooks,
    device: torch.device,
    extra: Mapping[str, np.ndarray] | None = None,
    slices: Sequence[Ensemble] = (),
) -> None:
    values, correct = measure(snapshot.ensemble, points, hooks)
    meta = watch.meta(job, device)
    with artefact.write(job.part) as out:
        try:
            check_margins(values, snapshot)
        except Diverged as error:
            out.json("meta", {**meta, "diverged": str(error)})
            return
        out.tensors("weights", {k: v.cpu().numpy() for k, v in snapshot.ensemble.tensors().items()})
        if slices:
            named = {f"{i}/{k}": v for i, models in enumerate(slices) for k, v in models.tensors().items()}
            out.tensors("slices", {k: v.numpy() for k, v in named.items()})
        out.arrays("margins", values.cpu().numpy())  # (M, P)
        out.arrays("correct", correct.cpu().numpy())  # (M, P)
        for name, array in (extra or {}).items():
            out.arrays(name, array)
        out.json("meta", meta)
