"""Messages of the compute process for visitors: what a job does, and why one failed."""

from __future__ import annotations

from distributed import KilledWorker

from engine.data.base import DataError
from engine.forget.base import ForgetError
from engine.jobs import Job
from engine.knobs import BadSetting
from engine.metrics.base import MetricError
from engine.specs import ForgetSet, Unlearned
from engine.store import StoreError

PLAIN = (DataError, ForgetError, MetricError, BadSetting, StoreError)
"""Errors whose text is already written for a visitor."""


def activity(job: Job, message: str) -> str:
    """Return what a job does, with its newest message."""
    models = f", models {job.part}" if job.kind in ("trained", "unlearned") else ""
    if isinstance(job.spec, ForgetSet | Unlearned) and job.spec.number > 1:
        models = f", request {job.spec.number}{models}"
    return f"{job.doing}{models}: {message}"


def failure(job: Job, error: BaseException) -> str:
    """Return why a job failed."""
    if isinstance(error, KilledWorker):
        return (
            f"the worker process died several times while computing {job.kind} {job.part}, most likely for lack of "
            "memory; choose a smaller chunk or batch size"
        )
    return str(error) if isinstance(error, PLAIN) else f"{job.kind} {job.part} failed: {type(error).__name__}: {error}"


def stopped(job: Job, why: str) -> str:
    """Return what stopped a method, and at which request where it never came to the run's own."""
    if not job.earlier:
        return why
    return f"stopped at request {job.about(Unlearned).number}, so there is nothing to go on from: {why}"
