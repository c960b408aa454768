"""Measuring: from stored margins to the scores of a method."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine import specs
from engine.jobs import Hooks, Job
from engine.metrics.base import Evidence
from engine.metrics.evaluate import evaluate
from engine.records import EARLIER
from engine.seeds import derive
from engine.store import Artefact, Store
from engine.stored import removed


def evaluation(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:  # noqa: ARG001
    """Measure one method with the models of the parts so far, and keep its scores and per-point numbers."""
    spec, parts = job.about(specs.Evaluation), job.inputs["parts"]
    measured: dict[str, np.ndarray] = {}
    metas: dict[str, dict[str, Any]] = {}
    for name, ensemble in spec.ensembles.items():
        chunks = ensemble.artefact(store)
        stored = [chunks.read(part) for part in parts]
        for what in ("margins", "correct"):
            measured[f"{name}_{what}"] = np.concatenate([p.array(what) for p in stored])  # (M, P)
        metas[name] = _total([p.json("meta") for p in stored], [len(p.array("margins")) for p in stored])
    train_size, points = job.inputs["train"], measured["oracle_margins"].shape[1]
    forget, earlier = removed(store, job.inputs["forget"])  # (F,), (E,)
    retain = np.setdiff1d(np.arange(train_size), np.union1d(forget, earlier))
    evidence = Evidence(
        **measured,
        points={
            "forget": forget,
            "retain": retain,
            "test": np.arange(train_size, points),
            **({EARLIER: earlier} if len(earlier) else {}),
        },
        seconds=metas["unlearned"]["seconds"],
        cost=metas["unlearned"]["cost"],
        retrain_cost=metas["oracle"]["cost"],
        convention=spec.measuring.convention,
        bootstrap=spec.measuring.bootstrap,
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
