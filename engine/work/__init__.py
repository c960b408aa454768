"""Doing the jobs of :mod:`engine.jobs`: the code that runs inside workers."""

from __future__ import annotations

import torch

from engine.jobs import Hooks, Job
from engine.prerequisites import make_prerequisite
from engine.specs import Prepared
from engine.store import Store
from engine.work import analysing, choosing, measuring, probing, training, unlearning

_WORK = {
    "data": choosing.data,
    "table": choosing.table,
    "probe": probing.probe,
    "forget": choosing.forget,
    "trained": training.trained,
    "unlearned": unlearning.unlearned,
    "evaluation": measuring.evaluation,
    "analysis": analysing.analysis,
    "exploration": analysing.analysis,
}


def run_job(store: Store, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Do the work of ``job`` unless it is done, and publish its part.

    Raises:
        Cancelled: through ``hooks``.
        DataError, ForgetError, BadSetting, StoreError: in words for a visitor.
    """
    if job.done(store):
        return
    artefact = job.spec.artefact(store)
    if isinstance(job.spec, Prepared):
        make_prerequisite(job.spec.prerequisite.to_json()).work(store, artefact, job, hooks, device)
    else:
        _WORK[job.kind](store, artefact, job, hooks, device)
