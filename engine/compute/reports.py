"""From a finished job to the queue: results, frames and levels, where pages look for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.compute import words
from engine.compute.runs import ActiveRun
from engine.jobs import Job, followed, summary
from engine.plan import Plan
from engine.queue import Queue
from engine.specs import Trained
from engine.store import Part, Store

REFERENCES = ("original", "oracle")
"""Roles whose accuracy and margins are shown beside the methods' curves."""


def review(run: ActiveRun, job: Job, store: Store) -> Callable[[Queue], None] | None:
    """Look at a finished job: stop its method if it diverged, and return what puts it into the queue.

    None where there is nothing to be seen: only what a complete plan asks for is, and of a sequence only the run's own
    request.

    Raises:
        StoreError: the result cannot be read.
    """
    shown = run.plan.complete and not job.earlier and job.id not in run.reported
    if job.kind == "unlearned":
        meta = _part(job, store).json("meta")
        if "diverged" in meta:
            run.stop_method(job.method, words.stopped(job, meta["diverged"]))
        return _frames(run, job.method, job.part, meta["frames"]) if shown else None
    if shown and job.kind == "trained" and job.about(Trained).role in REFERENCES:
        return _frames(run, f"@{job.about(Trained).role}", job.part, [level(run.plan, _part(job, store))])
    if shown and job.kind == "evaluation":
        row = run.plan.rows[job.id]
        return functools.partial(
            Queue.put_result,
            run_id=run.row.id,
            method_id=row.method,
            models=row.models,
            payload=result(run, job, _part(job, store)),
        )
    return None


def result(run: ActiveRun, job: Job, part: Part) -> dict[str, Any]:
    """Return what pages read of an evaluation: its scores, and the specs of what it was measured on.

    The forget set is named and not listed: a list of indices in the result of every method of a sweep is megabytes.
    """
    row = run.plan.rows[job.id]
    return {
        "scores": part.json("scores"),
        "spec": row.spec.plain,
        "parts": job.inputs["parts"],
        "final": row.final,
        "train": job.inputs["train"],
        "forget": job.inputs["forget"].plain,
    }


def level(plan: Plan, part: Part) -> dict[str, Any]:
    """Return where trained models stand on the points that curves follow, and what training them took."""
    margins, correct = part.array("margins"), part.array("correct")  # (M, P)
    ids = followed(forget=plan.forget, train=plan.train, points=margins.shape[1], earlier=plan.earlier)
    meta = part.json("meta")
    measured = {split: summary(margins=margins[:, i], correct=correct[:, i]) for split, i in ids.items()}
    return {"cost": meta["cost"], "seconds": meta["seconds"], **measured}


def _frames(run: ActiveRun, method: str, chunk: str, frames: Sequence[Mapping[str, Any]]) -> Callable[[Queue], None]:
    return functools.partial(Queue.put_frames, run_id=run.row.id, method_id=method, chunk=chunk, frames=frames)


def _part(job: Job, store: Store) -> Part:
    return job.spec.artefact(store).read(job.part)
