"""Jobs in the cluster: sent to a worker, followed by its messages, stopped, and taken back when they are over."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Future

from engine.cluster import Workers
from engine.jobs import Cancelled, Job
from engine.store import Store
from engine.worker import TOPIC, cancel_mark, work

log = logging.getLogger("forgetscope.compute")


@dataclass
class Flight:
    """A job in the cluster; ``shown`` counts the frames that each run has in the queue, by run id."""

    job: Job
    future: Future
    since: float
    share: float = 0.0
    message: str = "waiting for a worker"
    worker: str = ""
    frames: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, int] = field(default_factory=dict)


class Flights:
    """All jobs of one compute process that are in the cluster, by job id."""

    def __init__(self, store: Store, workers: Workers, *, landed: Callable[[], None]) -> None:
        """Send jobs on ``store`` to ``workers``; ``landed`` is called, from another thread, when one is over."""
        self._store = store
        self._workers = workers
        self._landed = landed
        self._flights: dict[str, Flight] = {}
        marks = store.path / "cancel"
        marks.mkdir(exist_ok=True)
        for mark in marks.glob("*"):
            mark.unlink(missing_ok=True)
        workers.client.subscribe_topic(TOPIC, self._hear)

    def __len__(self) -> int:
        """Return how many jobs are in the cluster."""
        return len(self._flights)

    def __contains__(self, job_id: str) -> bool:
        """Return whether a job is in the cluster."""
        return job_id in self._flights

    def __iter__(self) -> Iterator[Flight]:
        """Go through the jobs in the cluster, those that were sent first coming first."""
        return iter(list(self._flights.values()))

    def get(self, job_id: str) -> Flight | None:
        """Return a job in the cluster, None if it is not there."""
        return self._flights.get(job_id)

    @property
    def free(self) -> int:
        """How many workers have nothing to do."""
        return len(self._workers) - len(self._flights)

    def send(self, job: Job) -> None:
        """Send a job to the cluster unless it is there already."""
        if job.id in self._flights:
            return
        # A fresh key per attempt: the cluster remembers a failed key's error.
        key = f"{job.id}-{time.monotonic_ns()}"
        future = self._workers.client.submit(
            work, str(self._store.path), job, self._workers.threads, key=key, retries=2, pure=False
        )
        future.add_done_callback(lambda _future: self._landed())
        self._flights[job.id] = Flight(job, future, since=time.monotonic())

    def land(self) -> Iterator[tuple[Job, BaseException | None]]:
        """Take back the jobs that are over, each with its error; what was stopped on request is only dropped."""
        for flight in self:
            if not flight.future.done():
                continue
            self._drop(flight)
            if flight.future.status == "finished":
                yield flight.job, None
            elif flight.future.status != "cancelled":
                error = flight.future.exception()
                if not isinstance(error, Cancelled):
                    yield flight.job, error

    def ask_to_stop(self, flight: Flight) -> None:
        """Ask a job to stop at its next message."""
        self._mark(flight).touch()

    def kill(self, flight: Flight) -> None:
        """Stop a job at once by restarting its worker, which takes seconds and so happens beside the caller."""
        self._drop(flight)
        flight.future.cancel(force=True)
        if flight.worker:
            threading.Thread(target=self._restart, args=(flight.worker,), daemon=True).start()

    def _restart(self, worker: str) -> None:
        try:
            self._workers.client.restart_workers([worker], timeout=30, raise_for_error=False)
        except (OSError, RuntimeError, concurrent.futures.CancelledError) as error:  # the cluster was closed meanwhile
            log.warning("worker %s was not restarted: %s", worker, error)

    def _drop(self, flight: Flight) -> None:
        del self._flights[flight.job.id]
        self._mark(flight).unlink(missing_ok=True)

    def _mark(self, flight: Flight) -> Path:
        return cancel_mark(str(self._store.path), flight.job.id)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        flight = self._flights.get(message["job"])
        if flight is not None and "frame" in message:
            flight.frames.append(message["frame"])
        elif flight is not None:
            flight.share, flight.message, flight.worker = message["share"], message["message"], message["worker"]
