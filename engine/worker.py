"""What runs inside a worker process of the cluster: one job, with progress out and cancelling in."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from distributed import get_worker

from engine.jobs import Cancelled, Job
from engine.store import Store
from engine.work import run_job

TOPIC = "forgetscope-progress"
EVERY = 0.25
"""Seconds between progress messages and looks at the cancel mark, so that progress costs the job nothing."""


def cancel_mark(store_path: str, job_id: str) -> Path:
    """Return the file whose presence asks a job to stop; a file, because every worker shares the store already."""
    return Path(store_path) / "cancel" / job_id


class WorkerHooks:
    """Sends progress to the compute process and looks for the cancel mark."""

    def __init__(self, store_path: str, job: Job) -> None:
        self._mark = cancel_mark(store_path, job.id)
        self._job = job
        self._reported = 0.0

    def progress(self, share: float, message: str) -> None:
        """Report at most four times a second; raise :class:`Cancelled` when the mark is there."""
        now = time.monotonic()
        if now - self._reported < EVERY:
            return
        self._reported = now
        if self._mark.exists():
            raise Cancelled(self._job.id)
        worker = get_worker()
        report = {"job": self._job.id, "share": share, "message": message, "worker": worker.address, "pid": os.getpid()}
        worker.log_event(TOPIC, report)

    def frame(self, frame: Mapping[str, Any]) -> None:
        """Send what was measured on the way; a dozen per job."""
        get_worker().log_event(TOPIC, {"job": self._job.id, "frame": dict(frame)})


def worker_device() -> torch.device:
    """Return this worker's device: a GPU of its own where there are any, else the CPU."""
    count = torch.cuda.device_count()
    if count == 0:
        return torch.device("cpu")
    name = str(get_worker().name)
    return torch.device("cuda", int(name) % count if name.isdigit() else 0)


def device_type() -> str:
    """Return the type of this worker's device: "cuda" or "cpu"."""
    return worker_device().type


def work(store_path: str, job: Job, threads: int) -> str:
    """Do one job and return its id. Called by the scheduler; the same code on a laptop and on a cluster.

    ``threads`` is fixed by the compute process, because the order of a sum, and so its last digit, depends on it.
    """
    torch.set_num_threads(threads)
    hooks = WorkerHooks(store_path, job)
    hooks.progress(0.0, "starting")
    run_job(Store.open(store_path), job, hooks, worker_device())
    return job.id
