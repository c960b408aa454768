"""A store with finished, failed and unfinished runs, written in a second without training anything.

Margins are drawn at random around values that differ per point, as trained networks' do: originals are sure of the
forget set, oracles are not, methods lie in between. Everything else (digits, KLOM, store, queue) is real.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.digits import Digits
from engine.metrics.klom import floor, klom
from engine.queue import Queue
from engine.records import Choice
from engine.specs import Explored, Trained
from engine.store import Artefact, Store

METHODS = ("do_nothing", "gradient_descent", "scrub", "oracle_matching")
SHIFT = {"do_nothing": 1.0, "gradient_descent": 0.75, "scrub": -0.35, "oracle_matching": 0.08}
MODELS = 20
REQUESTS = tuple({"key": "class", "classes": name} for name in "358")
"""What a sequence asks for."""


def recipe(methods: tuple[str, ...] = METHODS, models: int = MODELS) -> dict[str, Any]:
    """Return a recipe as the queue holds it."""
    return {
        "format": 1,
        "dataset": {"key": "digits"},
        "model": {"key": "mlp", "hidden": 128, "depth": 1},
        "training": {},
        "forget": {"key": "random", "n": 50},
        "methods": [{"key": method} for method in methods],
        "ensemble": {"models": models, "chunk": 20},
        "measuring": {"convention": "paper"},
        "seed": 0,
    }


def fill(
    path: Path,
    *,
    models: int = MODELS,
    warnings: tuple[str, ...] = (),
    before: tuple[Mapping[str, Any], ...] = (),
    forget: Mapping[str, Any] | None = None,
) -> str:
    """Write a finished run into the store at ``path`` and return its id; with ``forget`` a class after others."""
    store, rng = Store.open(path), np.random.default_rng(0)
    queue = Queue(store.queue_path)
    data = Digits().load(store.data_cache, lambda _share, _said: None)
    train, total = len(data.y_train), data.points
    wanted, earlier = recipe(models=models), np.empty(0, np.int64)
    if forget is None:
        chosen, label = np.sort(rng.choice(train, 50, replace=False)), "Handwritten digits, random 50"
    else:
        wanted |= {"forget": dict(forget), **({"before": [dict(one) for one in before]} if before else {})}
        chosen = np.flatnonzero(data.y_train == int(forget["classes"]))
        earlier = np.flatnonzero(np.isin(data.y_train, [int(one["classes"]) for one in before]))
        label = f"Handwritten digits, class {forget['classes']}"
    forget = chosen
    sure = rng.gamma(6.0, 1.2, total) + 2  # (P,)
    truth = sure.copy()
    truth[forget] = sure[forget] - 4.0
    truth[train:] = sure[train:] - 1.0
    sure[train:] = truth[train:]

    def draw(centre: np.ndarray) -> np.ndarray:
        return (centre + rng.normal(0, 0.9, (models, total))).astype(np.float32)  # (M, P)

    run = queue.submit(wanted, session="toy", label=label)
    queue.set_status(run, "running")
    named = {"asked": [*before, wanted["forget"]]} if wanted["forget"]["key"] == "class" else {}
    trained = {
        role: {"role": role, "data": data.hash, "toy": models, **named} for role in ("original", "oracle", "floor")
    }
    margins = {"original": draw(sure), "oracle": draw(truth), "floor": draw(truth)}
    part = f"00000-{models:05d}"
    for role, spec in trained.items():
        put(store, "trained", spec, part, margins=margins[role], correct=margins[role] > 0)
    points = {
        "forget": forget,
        "retain": np.setdiff1d(np.arange(train), [*forget, *earlier]),
        "test": np.arange(train, total),
        **({"earlier": earlier} if len(earlier) else {}),
    }
    noise = floor(oracle=margins["oracle"], second=margins["floor"])
    noise_other = floor(oracle=margins["oracle"], second=margins["floor"], convention="easydub")
    states: dict[str, Any] = {}
    for method in METHODS:
        centre = (
            truth + SHIFT[method] * (sure - truth) + (0.25 * rng.normal(size=total) if method != "do_nothing" else 0)
        )
        unlearned = margins["original"] if method == "do_nothing" else draw(centre)
        spec = {"original": trained["original"], "forget": "toy", "method": {"key": method}, "seed": 0}
        followed = np.concatenate([forget, np.setdiff1d(np.arange(train), forget)[:100], np.arange(train, train + 100)])
        put(
            store,
            "unlearned",
            spec,
            part,
            margins=unlearned,
            correct=unlearned > 0,
            trajectory=np.linspace(sure, unlearned.mean(axis=0), 5)[:, followed].astype(np.float32),
            trajectory_points=followed,
            trajectory_seen=np.arange(5) * 200,
        )
        values = klom(oracle=margins["oracle"], unlearned=unlearned)
        other = klom(oracle=margins["oracle"], unlearned=unlearned, convention="easydub")
        whole = {"unlearned": spec, "oracle": trained["oracle"], "floor": trained["floor"], "models": models}
        put(store, "evaluation", whole, "whole", klom=values, floor=noise, klom_other=other, floor_other=noise_other)
        rows = [row(split, points[split], values, noise, models, SHIFT[method], list(warnings)) for split in points]
        queue.put_result(
            run,
            method,
            models,
            {
                "rows": rows,
                "spec": whole,
                "parts": [part],
                "final": True,
                "train": train,
                "forget": forget.tolist(),
                **({"earlier": earlier.tolist()} if len(earlier) else {}),
            },
        )
        states[method] = {"done": 2, "total": 2, "stopped": ""}
    queue.set_progress(run, {"share": 1.0, "planned": True, "seconds_left": 0, "elapsed": 31.0, "methods": states})
    queue.set_status(run, "done")
    return run


def row(
    split: str, ids: np.ndarray, values: np.ndarray, noise: np.ndarray, models: int, shift: float, warnings: list[str]
) -> dict[str, Any]:
    """Return the numbers of one split as an evaluation writes them."""
    p95 = float(np.quantile(values[ids], 0.95))
    return {
        "split": split,
        "models": models,
        "convention": "paper",
        "klom_mean": float(values[ids].mean()),
        "klom_median": float(np.median(values[ids])),
        "klom_p95": p95,
        "low": p95 * 0.93,
        "high": p95 * 1.06,
        **{f"mean_{end}": float(values[ids].mean()) * by for end, by in (("low", 0.9), ("high", 1.1))},
        **{f"median_{end}": float(np.median(values[ids])) * by for end, by in (("low", 0.9), ("high", 1.1))},
        "accuracy": 0.97,
        "accuracy_original": 1.0,
        "accuracy_oracle": 0.96,
        "seconds": 3.2,
        "compute": abs(shift) / 3,
        "floor_mean": float(noise[ids].mean()),
        "floor_median": float(np.median(noise[ids])),
        "floor_p95": float(np.quantile(noise[ids], 0.95)),
        "warnings": warnings,
    }


def put(store: Store, kind: str, spec: Mapping[str, Any], part: str, **arrays: np.ndarray) -> None:
    """Write the arrays of one part."""
    with store.artefact(kind, spec).write(part) as out:
        for name, array in arrays.items():
            out.arrays(name, array)


def explored(store: Store, data_hash: str, *, original: Trained | None = None, **analysis: str) -> Artefact:
    """Return the artefact of a map, or of the columns, of a data set; by pixels unless through an ``original``."""
    choice = {"through": "pixels" if original is None else "network", **analysis}
    named = {} if original is None else {"original": original, "part": "00000-00020"}
    return Explored(Choice.from_json(choice, "analysis"), data_hash, **named).artefact(store)


def unfinished(path: Path, *, share: float = 0.4) -> str:
    """Add a run that is under way, and a compute process that beats."""
    store = Store.open(path)
    queue = Queue(store.queue_path)
    run = queue.submit(recipe(models=60), session="toy", label="Handwritten digits, random 50")
    queue.set_status(run, "running")
    queue.beat(device="cpu", workers=2, state="busy")
    queue.set_progress(
        run,
        {
            "share": share,
            "planned": True,
            "seconds_left": 21.0,
            "elapsed": 12.0,
            "jobs_done": 4,
            "jobs": 20,
            "doing": ["training oracles, models 00020-00040: step 30 of 100"],
            "methods": {m: {"done": 1, "total": 4, "stopped": ""} for m in METHODS},
            "stopping": False,
        },
    )
    return run


def failed(path: Path) -> str:
    """Add a run that failed."""
    queue = Queue(Store.open(path).queue_path)
    run = queue.submit(recipe(), session="toy", label="Handwritten digits, class 3")
    queue.set_status(run, "running")
    queue.set_status(run, "failed", error="the network diverged <b>; lower the learning rate", trace="Traceback ...")
    return run
