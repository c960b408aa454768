"""Measuring: from stored margins to the scores of a method."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.jobs import Hooks, Job
from engine.metrics.base import Evidence
from engine.metrics.evaluate import evaluate
from engine.records import EARLIER, Measuring
from engine.seeds import derive
from engine.store import Artefact, Store


def evaluation(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:  # noqa: ARG001
    """Measure one method with the models of the parts so far, and keep its scores and per-point numbers."""
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
            metas.append(_total([p.json("meta") for p in stored], [len(p.array("margins")) for p in stored]))
    train_size, points = job.inputs["train"], measured["oracle_margins"].shape[1]
    forget = np.asarray(job.inputs["forget"], dtype=np.int64)
    earlier = np.asarray(job.inputs.get("earlier", ()), dtype=np.int64)
    kept = np.setdiff1d(np.arange(train_size), np.union1d(forget, earlier))
    measuring = Measuring.from_settings(spec["measuring"])
    evidence = Evidence(
        **measured,
        points={
            "forget": forget,
            "retain": kept,
            "test": np.arange(train_size, points),
            **({EARLIER: earlier} if len(earlier) else {}),
        },
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
        out.json("scores", result.scores.to_json())
        out.arrays("klom", result.klom)  # (P,)
        out.arrays("floor", result.floor)  # (P,)
        out.arrays("klom_other", result.klom_other)  # (P,)
        out.arrays("floor_other", result.floor_other)  # (P,)


def _total(metas: list[dict[str, Any]], models: list[int]) -> dict[str, float]:
    """Add up seconds over chunks; cost is per model, the same in each chunk unless chance decides it: then its mean."""
    costs = [m["cost"] for m in metas]
    same = len(set(costs)) == 1
    return {
        "seconds": sum(m["seconds"] for m in metas),
        "cost": costs[0] if same else float(np.average(costs, weights=models)),
    }
