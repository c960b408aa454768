"""What the compute process says to visitors: what a job does, and why one failed."""

from __future__ import annotations

from distributed import KilledWorker

from engine.data.base import DataError
from engine.forget.base import ForgetError
from engine.jobs import Job, request_number
from engine.knobs import BadSetting
from engine.metrics.base import MetricError
from engine.store import StoreError

PLAIN = (DataError, ForgetError, MetricError, BadSetting, StoreError)
"""Errors whose text is already written for a visitor."""
_ROLES = {"floor": "second oracles", "halves": "networks on random halves"}
"""What trained models are called where it is not their role's plural."""


def activity(job: Job, message: str) -> str:
    """Return what a job does, with its newest message."""
    role = job.spec.get("role", "")
    names = {
        "data": "reading the data",
        "probe": "timing this computer",
        "forget": "choosing the forget set",
        "trained": "training " + _ROLES.get(role, f"{role}s"),
        "unlearned": f"unlearning with {job.method}",
        "evaluation": f"measuring {job.method}",
        "map": "laying out the map",
        "columns": "comparing the pictures",
        "exhibit": "making pictures",
        "lesson": f"learning the unlearner of {job.method}",
        "table": "looking at the table",
    }
    models = f", models {job.part}" if job.kind in ("trained", "unlearned") else ""
    if job.kind in ("forget", "unlearned") and (number := request_number(job.spec)) > 1:
        models = f", request {number}{models}"
    return f"{names[job.kind]}{models}: {message}"


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
    return f"stopped at request {request_number(job.spec)}, so there is nothing to go on from: {why}"
