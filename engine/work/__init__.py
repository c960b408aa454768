"""Doing the jobs of :mod:`engine.jobs`: the code that runs inside workers."""

from __future__ import annotations

import torch

from engine.jobs import Hooks, Job
from engine.store import Store
from engine.work import analysing, learning, measuring, reading, training

_WORK = {
    "data": reading.data,
    "probe": training.probe,
    "forget": reading.forget,
    "trained": training.trained,
    "unlearned": training.unlearned,
    "evaluation": measuring.evaluation,
    "analysis": analysing.analysis,
    "exploration": analysing.analysis,
    "lesson": learning.lesson,
    "table": reading.table,
}


def run_job(store: Store, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Do the work of ``job`` unless it is done, and publish its part.

    Raises:
        Cancelled: through ``hooks``.
        DataError, ForgetError, BadSetting, StoreError: in words for a visitor.
    """
    if not job.done(store):
        _WORK[job.kind](store, store.artefact(job.kind, job.spec), job, hooks, device)
