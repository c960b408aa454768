"""A store with finished, failed and unfinished runs, written in a second without training anything.

Margins are drawn at random around values that differ per point, as trained networks' do: originals are sure of the
forget set, oracles are not, methods lie in between. Everything else (digits, KLOM, store, queue) is real.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measured import scores

from engine.data.digits import Digits
from engine.metrics import statistics
from engine.metrics.klom import floor, klom
from engine.queue import Queue
from engine.queue.uses import note_uses
from engine.records import Choice, digest
from engine.specs import Evaluation, Explored, ForgetSet, Spec, Trained, Unlearned
from engine.store import Artefact, Piece, Store
from engine.training import Measuring, Training

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
    named = [*before, wanted["forget"]] if wanted["forget"]["key"] == "class" else []
    gone = digest(["toy", models, named])
    trained = {
        role: Trained(data.hash, Choice("mlp"), Training(), f"without:{gone}", role, 0)
        for role in ("original", "oracle", "floor")
    }
    selector = Choice.from_json(wanted["forget"], "forget")
    chosen_spec = ForgetSet(data.hash, selector, 0, reads={"toy": gone})
    pieces = [put(store, chosen_spec, "whole", indices=forget, earlier=earlier)]
    margins = {"original": draw(sure), "oracle": draw(truth), "floor": draw(truth)}
    part = f"00000-{models:05d}"
    labels = np.concatenate([data.y_train, data.y_test])

    def answers(margins: np.ndarray) -> dict[str, np.ndarray]:
        """Return the answers that go with margins (M, P): the label, or else the class after it."""
        right = margins > 0
        return {
            "margins": margins,
            "correct": right,
            "predicted": np.where(right, labels, (labels + 1) % 10).astype(np.uint16),
        }

    for role, spec in trained.items():
        pieces.append(put(store, spec, part, **answers(margins[role])))
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
        spec = Unlearned(trained["original"], "toy", Choice(method), 0)
        followed = np.concatenate([forget, np.setdiff1d(np.arange(train), forget)[:100], np.arange(train, train + 100)])
        made = put(
            store,
            spec,
            part,
            **answers(unlearned),
            trajectory=np.linspace(sure, unlearned.mean(axis=0), 5)[:, followed].astype(np.float32),
            trajectory_margins=np.linspace(margins["original"], unlearned, 5, axis=1)[:, :, followed].astype(
                np.float16
            ),
            trajectory_points=followed,
            trajectory_seen=np.arange(5) * 200,
        )
        pieces.append(made)
        values = klom(oracle=margins["oracle"], unlearned=unlearned)
        other = klom(oracle=margins["oracle"], unlearned=unlearned, convention="easydub")
        whole = Evaluation(spec, trained["oracle"], trained["floor"], Measuring(), models)
        arrays = {"klom": values, "floor": noise, "klom_other": other, "floor_other": noise_other}
        pieces.append(put(store, whole, "whole", **arrays))
        rows = [row(split, points[split], values, noise, SHIFT[method]) for split in points]
        queue.put_result(
            run,
            method,
            models,
            {
                "scores": scores(*rows, models=models, warnings=warnings).to_json(),
                "spec": whole.plain,
                "parts": [part],
                "final": True,
                "train": train,
                "forget": chosen_spec.plain,
            },
        )
        states[method] = {"done": 2, "total": 2, "stopped": ""}
    queue.set_progress(run, {"share": 1.0, "planned": True, "seconds_left": 0, "elapsed": 31.0, "methods": states})
    note_uses(queue, run, pieces, complete=True)
    queue.set_status(run, "done")
    return run


def row(split: str, ids: np.ndarray, values: np.ndarray, noise: np.ndarray, shift: float) -> dict[str, Any]:
    """Return the numbers of one split as an evaluation measures them, by column."""
    numbers: dict[str, Any] = {"split": split, "seconds": 3.2, "compute": abs(shift) / 3}
    numbers |= {"accuracy": 0.97, "accuracy_original": 1.0, "accuracy_oracle": 0.96, "accuracy_gap": 1.0, "tow": 0.97}
    for key, statistic in statistics().items():
        value = statistic.of(values[ids])
        numbers |= {key: value, f"{key}_low": 0.93 * value, f"{key}_high": 1.06 * value}
        numbers[f"{key}_floor"] = statistic.of(noise[ids])
    return numbers


def removed(store: Store, payload: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Return the training pictures that a result's run forgets, and those that earlier requests removed."""
    part = store.artefact("forget", payload["forget"]).read("whole")
    return part.array("indices").tolist(), part.array("earlier").tolist() if "earlier.npy" in part.files else []


def put(store: Store, spec: Spec, part: str, **arrays: np.ndarray) -> Piece:
    """Write the arrays of one part and return it."""
    artefact = spec.artefact(store)
    with artefact.write(part) as out:
        for name, array in arrays.items():
            out.arrays(name, array)
    return Piece(spec.kind, artefact.key, part)


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
