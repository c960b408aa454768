"""The units of work: each reads the store, computes one part of one artefact, and writes it. Runs in worker processes.

A job's identity is its artefact's key and its part, so two runs that want the same part want the same job, and a job
that is finished never runs again. ``inputs`` holds what it takes to do the work but does not change the numbers.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.data import datasets
from engine.data.base import DataError, ImageData
from engine.descent import Snapshot
from engine.ensemble import Ensemble, Strategy, margins
from engine.forget import selectors
from engine.forget.base import Scene, forget_set
from engine.metrics.base import Evidence
from engine.metrics.evaluate import evaluate
from engine.models import architectures
from engine.models.base import Net
from engine.records import SPLITS, Measuring, Training, digest
from engine.seeds import derive
from engine.store import Artefact, Store
from engine.task import ForgetTask, Images
from engine.train import train
from engine.unlearners import unlearners

FRAMES = 12
"""Evaluations along an unlearning run, evenly spread, besides step 0; the last one is the result."""
CURVE_POINTS = 500
"""Most points per split behind a curve; the final margins are always measured on every point."""
PROBE_SECONDS = 0.5
"""How long each strategy is timed."""
CLEARLY = 1.25
"""How many times faster the loop must be to be chosen. Both strategies agree only to rounding, so a choice that flips
with the noise of a clock would make two runs of one recipe differ in their last digits."""
EXPLODED = 1e3
"""A model whose median margin is larger than this has diverged: KLOM clips at 100, trained models stay below."""

Kind = Literal["data", "probe", "forget", "trained", "unlearned", "evaluation"]


class Cancelled(Exception):
    """Somebody asked for this job to stop; nothing of it was kept."""


class Diverged(ArithmeticError):
    """Weights, losses or margins left the numbers; the text says when and what to change."""


class Hooks(Protocol):
    """What a job tells its surroundings."""

    def progress(self, share: float, message: str) -> None:
        """Report the share done (0 to 1); raises :class:`Cancelled` when the job should stop."""


@dataclass(frozen=True)
class Job:
    """One part of one artefact.

    ``needs`` are the ids of jobs that must be finished first; ``cost`` is expected forward-equivalent example passes
    over all models of the part, for progress and estimates; ``method`` is the recipe's name of the method it serves.
    """

    kind: Kind
    spec: Mapping[str, Any]
    part: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    cost: float = 0.0
    method: str = ""

    @functools.cached_property
    def id(self) -> str:
        """Return what tells this job from every other, across runs and processes."""
        return f"{self.kind}-{digest({'kind': self.kind, 'spec': self.spec})}-{self.part}"

    def done(self, store: Store) -> bool:
        """Return whether its part is already in the store."""
        return store.artefact(self.kind, self.spec).has(self.part)


def part_name(models: tuple[int, int]) -> str:
    """Return the part that holds the half-open range of model numbers."""
    return f"{models[0]:05d}-{models[1]:05d}"


def part_models(part: str) -> range:
    """Return the model numbers of a part."""
    start, stop = part.split("-")
    return range(int(start), int(stop))


def run_job(store: Store, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Do the work of ``job`` unless it is done, and publish its part.

    Raises:
        Cancelled: through ``hooks``.
        DataError, ForgetError, BadSetting, StoreError: in words for a visitor.
    """
    if job.done(store):
        return
    work = {
        "data": _data,
        "probe": _probe,
        "forget": _forget,
        "trained": _trained,
        "unlearned": _unlearned,
        "evaluation": _evaluation,
    }[job.kind]
    work(store, store.artefact(job.kind, job.spec), job, hooks, device)


def load_data(store: Store, choice: Mapping[str, Any], wanted: str | None, hooks: Hooks) -> ImageData:
    """Return the data set of ``choice`` and check that its hash is the one the spec names.

    Raises:
        DataError: it cannot be had, or it is not the data that the recipe was planned with.
    """
    settings = {k: v for k, v in choice.items() if k != "key"}
    data = datasets()[choice["key"]].from_settings(settings).load(store.data_cache, hooks.progress)
    if wanted is not None and data.hash != wanted:
        store.artefact("data", {"dataset": dict(choice)}).discard("whole")  # so that the next plan looks again
        raise DataError(f"{data.name}: the pictures changed since this run was planned; run the recipe again")
    return data


def _data(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:  # noqa: ARG001
    data = load_data(store, job.inputs["dataset"], None, hooks)
    with artefact.write(job.part) as out:
        out.json(
            "info",
            {
                "name": data.name,
                "hash": data.hash,
                "classes": list(data.classes),
                "shape": list(data.shape),
                "train": len(data.y_train),
                "test": len(data.y_test),
                "top": data.top,
            },
        )
        out.arrays("labels", np.concatenate([data.y_train, data.y_test]))


def _net(spec: Mapping[str, Any], data: ImageData) -> Net:
    model = dict(spec["model"])
    return Net(architectures()[model.pop("key")].from_settings(model), data.shape, len(data.classes))


def _probe(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Time a few training steps of a chunk, stacked and looped, and note which is faster and how fast it is."""
    data = load_data(store, job.inputs["dataset"], None, hooks)
    net = _net(job.spec, data)
    training = Training.from_settings(job.spec["training"])
    images = Images.of(data, "train", device)
    count = job.spec["models"]
    seconds: dict[str, float] = {}
    for strategy in ("stacked", "looped"):
        # One model is enough for the loop: its time is proportional to the number of models by construction.
        models = count if strategy == "stacked" else 1
        snapshots = train(
            net, images, training, seed=0, role="probe", ids=range(models), strategy=strategy, subset=None
        )
        next(snapshots)
        next(snapshots)
        hooks.progress(0.5, f"timing the {strategy} strategy")
        start, examples, steps = time.perf_counter(), 0, 0
        first = next(snapshots).seen
        while time.perf_counter() - start < PROBE_SECONDS and steps < 200:
            snapshot = next(snapshots, None)
            if snapshot is None:
                break
            _settle(device)
            examples, steps = snapshot.seen - first, steps + 1
        seconds[strategy] = (time.perf_counter() - start) / max(1, examples * models)
    faster: Strategy = "looped" if seconds["looped"] * CLEARLY < seconds["stacked"] else "stacked"
    with artefact.write(job.part) as out:
        out.json(
            "probe",
            {
                "strategy": faster,
                "seconds_per_pass": seconds[faster] / 3,
                "seconds_per_example": seconds,
                "parameters": sum(p.numel() for p in net.initial(0).parameters()),
                **_platform(device),
            },
        )


def _forget(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    data = load_data(store, job.inputs["dataset"], job.spec["data"], hooks)
    settings = dict(job.spec["selector"])
    selector = selectors()[settings.pop("key")].from_settings(settings)
    scene = Scene(data)
    if "original" in job.spec:
        originals, stored = _load_ensemble(store, data, job.spec["original"], job.inputs["original_part"], device)
        images = Images.of(data, "train", device)
        first = originals[:1]
        features = torch.cat([first.features_shared(images.pictures(s))[0] for s in first.spans(len(images))])  # (N, D)
        scene = Scene(data, features=features.flatten(1).cpu().numpy(), margins=np.array(stored[:, : len(images)]))
    hooks.progress(0.5, "choosing the forget set")
    chosen = forget_set(selector, scene, seed=derive(job.spec["seed"], "forget"))
    with artefact.write(job.part) as out:
        out.arrays("indices", chosen.indices)
        out.json("info", {"hash": chosen.hash, "name": chosen.name, "size": len(chosen)})


def _trained(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    data = load_data(store, job.inputs["dataset"], job.spec["data"], hooks)
    spec = job.spec
    subset = None
    if spec["subset"] != "all":
        forget = np.asarray(job.inputs["forget"], dtype=np.int64)
        kept = np.setdiff1d(np.arange(len(data.y_train)), forget)
        subset = torch.from_numpy(kept).to(device)  # (n,)
    snapshots = train(
        _net(spec, data),
        Images.of(data, "train", device),
        Training.from_settings(spec["training"]),
        seed=spec["seed"],
        role=spec["role"],
        ids=part_models(job.part),
        strategy=job.inputs["strategy"],
        subset=subset,
    )
    watch = _Watch(hooks, device, splits=None)
    _publish(artefact, job, watch.run(snapshots), watch, Images.of(data, "points", device), hooks, device)


def _unlearned(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    spec = job.spec
    data = load_data(store, job.inputs["dataset"], spec["original"]["data"], hooks)
    settings = dict(spec["method"])
    method = unlearners()[settings.pop("key")].from_settings(settings)
    original, _ = _load_ensemble(store, data, spec["original"], job.part, device, strategy=job.inputs["strategy"])
    oracle = None
    if "oracle" in spec:
        oracle = _load_ensemble(store, data, spec["oracle"], job.part, device, strategy=job.inputs["strategy"])[
            0
        ].logits
    images = Images.of(data, "train", device)
    forget = torch.as_tensor(np.asarray(job.inputs["forget"], dtype=np.int64), device=device)  # (F,)
    kept = torch.ones(len(images), dtype=torch.bool, device=device)  # (N,)
    kept[forget] = False
    task = ForgetTask(
        net=original.net,
        training=Training.from_settings(spec["original"]["training"]),
        reads=method.card.reads,
        _forget=images.take(forget),
        _retain=images.take(kept.nonzero()[:, 0]),
        _oracle=oracle,
    )
    points = Images.of(data, "points", device)
    watch = _Watch(hooks, device, splits=_curve_points(data, forget.cpu().numpy(), points))
    seed = derive(spec["seed"], f"unlearn:{method.key}")
    try:
        result = watch.run(method.unlearn(original, task, seed=seed))
    except Diverged as error:
        with artefact.write(job.part) as out:
            out.json("meta", {**watch.meta(job, device), "diverged": str(error)})
        return
    _publish(artefact, job, result, watch, points, hooks, device)


def _evaluation(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:  # noqa: ARG001
    spec, parts = job.spec, job.inputs["parts"]
    measured: dict[str, np.ndarray] = {}
    metas: list[dict[str, Any]] = []
    for name, trained in (
        ("unlearned", spec["unlearned"]),
        ("oracle", spec["oracle"]),
        ("floor", spec["floor"]),
        ("original", spec["unlearned"]["original"]),
    ):
        kind = "unlearned" if name == "unlearned" else "trained"
        stored = [store.artefact(kind, trained).read(part) for part in parts]
        for what in ("margins", "correct"):
            measured[f"{name}_{what}"] = np.concatenate([p.array(what) for p in stored])  # (M, P)
        if name in ("unlearned", "oracle"):
            metas.append(_total([p.json("meta") for p in stored]))
    train_size, points = job.inputs["train"], measured["oracle_margins"].shape[1]
    forget = np.asarray(job.inputs["forget"], dtype=np.int64)
    kept = np.setdiff1d(np.arange(train_size), forget)
    measuring = Measuring.from_settings(spec["measuring"])
    evidence = Evidence(
        **measured,
        points={"forget": forget, "retain": kept, "test": np.arange(train_size, points)},
        seconds=metas[0]["seconds"],
        cost=metas[0]["cost"],
        retrain_cost=metas[1]["cost"],
        convention=measuring.convention,
        bootstrap=measuring.bootstrap,
        seed=derive(0, "bootstrap"),
    )
    hooks.progress(0.2, "measuring KLOM")
    result = evaluate(evidence)
    with artefact.write(job.part) as out:
        out.json("rows", result.rows)
        out.arrays("klom", result.klom)  # (P,)
        out.arrays("floor", result.floor)  # (P,)
        out.arrays("klom_other", result.klom_other)  # (P,)


class _Watch:
    """Runs a method: counts its time, reports progress, measures frames along the way, stops it when it diverges."""

    def __init__(self, hooks: Hooks, device: torch.device, splits: Mapping[str, Images] | None) -> None:
        self._hooks = hooks
        self._device = device
        self._splits = splits
        self.seconds = 0.0
        self.frames: list[dict[str, Any]] = []
        self.snapshot: Snapshot | None = None

    def run(self, snapshots: Iterator[Snapshot]) -> Snapshot:
        """Drive the generator to its end; only time inside ``next`` counts as the method's."""
        told = 0.0
        while True:
            start = time.perf_counter()
            snapshot = next(snapshots, None)
            ended = snapshot is None or snapshot.step >= snapshot.total
            pause = ended or start - told > 0.2 or (self._splits is not None and self._due(snapshot))
            if pause:  # waiting after every step would leave a GPU idle between steps
                _settle(self._device)
            self.seconds += time.perf_counter() - start
            if snapshot is None:
                break
            self.snapshot = snapshot
            if self._splits is not None and (ended or self._due(snapshot)):
                self._frame(snapshot)
            if pause:
                told = start
                self._check(snapshot)
                share = snapshot.step / max(1, snapshot.total)
                self._hooks.progress(share, f"step {snapshot.step} of {snapshot.total}")
        if self.snapshot is None:
            raise RuntimeError("the method yielded nothing")
        return self.snapshot

    def meta(self, job: Job, device: torch.device) -> dict[str, Any]:
        """Return what is stored beside the numbers."""
        snapshot = self.snapshot
        return {
            "seconds": self.seconds,
            "seen": snapshot.seen if snapshot else 0,
            "cost": snapshot.cost if snapshot else 0.0,
            "steps": snapshot.step if snapshot else 0,
            "strategy": job.inputs.get("strategy", ""),
            "frames": self.frames,
            **_platform(device),
        }

    def _due(self, snapshot: Snapshot) -> bool:
        return snapshot.step * FRAMES // max(1, snapshot.total) >= len(self.frames)

    def _check(self, snapshot: Snapshot) -> None:
        bad = [name for name, loss in snapshot.losses.items() if not bool(torch.isfinite(loss).all())]
        if bad:
            raise Diverged(_advice(snapshot, f"the {bad[0]} stopped being a number"))

    def _frame(self, snapshot: Snapshot) -> None:
        self._check(snapshot)
        frame: dict[str, Any] = {
            "step": snapshot.step,
            "total": snapshot.total,
            "seen": snapshot.seen,
            "cost": snapshot.cost,
            "seconds": self.seconds,
            "losses": {name: float(loss.mean()) for name, loss in snapshot.losses.items()},
        }
        for split, images in (self._splits or {}).items():
            values, correct = _measure(snapshot.ensemble, images, self._hooks)
            _check_margins(values, snapshot)
            frame[split] = {
                "accuracy": float(correct.float().mean()),
                "margin": float(values.mean()),
                "margin_sd": float(values.mean(dim=1).std(correction=0)),
            }
        self.frames.append(frame)


def _publish(
    artefact: Artefact,
    job: Job,
    snapshot: Snapshot,
    watch: _Watch,
    points: Images,
    hooks: Hooks,
    device: torch.device,
) -> None:
    values, correct = _measure(snapshot.ensemble, points, hooks)
    meta = watch.meta(job, device)
    with artefact.write(job.part) as out:
        try:
            _check_margins(values, snapshot)
        except Diverged as error:
            out.json("meta", {**meta, "diverged": str(error)})
            return
        out.tensors("weights", {k: v.cpu().numpy() for k, v in snapshot.ensemble.tensors().items()})
        out.arrays("margins", values.cpu().numpy())  # (M, P)
        out.arrays("correct", correct.cpu().numpy())  # (M, P)
        out.json("meta", meta)


def _measure(ensemble: Ensemble, images: Images, hooks: Hooks) -> tuple[Tensor, Tensor]:
    """Return float32 margins (M, n) and whether the prediction is right (M, n)."""
    values, correct = [], []
    for span in ensemble.spans(len(images)):
        hooks.progress(1.0, f"measuring margins, {span.start:,} of {len(images):,} points")
        logits = ensemble.logits_shared(images.pictures(span)).float()  # (M, B, C)
        values.append(margins(logits, images.y[span]))
        correct.append(logits.argmax(-1) == images.y[span])
    return torch.cat(values, dim=1), torch.cat(correct, dim=1)  # (M, n)


def _check_margins(values: Tensor, snapshot: Snapshot) -> None:
    if not bool(torch.isfinite(values).all()):
        raise Diverged(_advice(snapshot, "margins stopped being numbers"))
    if float(values.abs().median(dim=1).values.max()) > EXPLODED:
        raise Diverged(_advice(snapshot, f"a model's margins grew beyond {EXPLODED:g}"))


def _advice(snapshot: Snapshot, what: str) -> str:
    return (
        f"diverged at step {snapshot.step} of {snapshot.total}: {what}. "
        "Lower the learning rate, or give it fewer epochs."
    )


def _curve_points(data: ImageData, forget: np.ndarray, points: Images) -> dict[str, Images]:
    kept = np.setdiff1d(np.arange(len(data.y_train)), forget)
    ids = dict(zip(SPLITS, (forget, kept, np.arange(len(data.y_train), data.points)), strict=True))
    rng = np.random.default_rng(0)
    few = {
        s: np.sort(rng.choice(i, CURVE_POINTS, replace=False)) if len(i) > CURVE_POINTS else i for s, i in ids.items()
    }
    return {split: points.take(torch.from_numpy(i).to(points.x.device)) for split, i in few.items()}


def _load_ensemble(
    store: Store,
    data: ImageData,
    spec: Mapping[str, Any],
    part: str,
    device: torch.device,
    strategy: Strategy = "stacked",
) -> tuple[Ensemble, np.ndarray]:
    """Return a stored chunk of trained models and their margins (M, P)."""
    stored = store.artefact("trained", spec).read(part)
    tensors = {k: torch.from_numpy(v) for k, v in stored.tensors("weights").items()}
    ensemble = Ensemble.from_tensors(_net(spec, data), tensors, ids=part_models(part), strategy=strategy)
    return ensemble.to(device), stored.array("margins")


def _total(metas: list[dict[str, Any]]) -> dict[str, float]:
    """Add up seconds over chunks; cost is per model and the same in each."""
    return {"seconds": sum(m["seconds"] for m in metas), "cost": metas[0]["cost"]}


def _settle(device: torch.device) -> None:
    """Wait for the device, so that a clock read after it means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _platform(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    packages = {p: importlib.metadata.version(p) for p in ("torch", "numpy")}
    return {"device": f"{device.type} ({name})", "python": platform.python_version(), **packages}
