"""The compute process: it owns the queue and the cluster, plans recipes into jobs, and writes progress to the queue.

One per store. Sessions take turns job by job; a job that several runs want is done once. What is in the store is never
computed again, so a restart only repeats what was in flight.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from distributed import Future, KilledWorker

from engine.answers import Answers
from engine.cluster import Workers
from engine.data.base import DataError
from engine.experiment import Experiment, resolve
from engine.forget.base import ForgetError
from engine.jobs import Cancelled, Job, followed, summary
from engine.knobs import BadSetting
from engine.metrics.base import MetricError
from engine.plan import Plan, make_plan
from engine.queue import Queue, RunRow, fair
from engine.queue.uses import note_uses
from engine.records import Recipe
from engine.specs import ForgetSet, Prepared, Trained, Unlearned
from engine.store import Piece, Store, StoreError
from engine.store.files import this_host
from engine.worker import TOPIC, cancel_mark, work

log = logging.getLogger("forgetscope.compute")

TICK = 0.1
"""Seconds between looks at the queue while nothing finishes."""
IDLE_TICK = 0.4
"""The same while there is nothing to do: a waiting instrument should not warm the room."""
PATIENCE = 60.0
"""Seconds a full disk or a busy queue may last before the process gives up; its runs stay in the queue."""
REFERENCES = ("original", "oracle")
"""Roles whose accuracy and margins are shown beside the methods' curves."""
PLAIN = (DataError, ForgetError, MetricError, BadSetting, StoreError)
"""Errors whose text is already written for a visitor."""


@dataclass
class Active:
    """A run while it is being worked on."""

    row: RunRow
    experiment: Experiment
    plan: Plan
    pending: dict[str, Job]
    started: float
    stopped_methods: dict[str, str] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    total: float = 0.0
    computed: float = 0.0
    told: float = 0.0


@dataclass
class Flight:
    """A job in the cluster."""

    job: Job
    future: Future
    since: float = 0.0
    share: float = 0.0
    message: str = "waiting for a worker"
    worker: str = ""
    frames: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, int] = field(default_factory=dict)


class Compute:
    """Serve the queue of one store until there is nothing to do for ``idle_exit`` seconds (None: for ever)."""

    def __init__(
        self, store: Store, *, scheduler: str | None = None, workers: int | None = None, idle_exit: float | None = None
    ) -> None:
        """Connect to ``scheduler``, or start a cluster of ``workers`` processes on the loopback address.

        The caller holds :func:`engine.launch.compute_lock`.
        """
        self.store = store
        self.queue = Queue(store.queue_path)
        self._idle_exit = idle_exit
        self._active: dict[str, Active] = {}
        self._flights: dict[str, Flight] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._turn = 0
        self._refused: dict[str, str] = {}
        self.workers = Workers.start(scheduler=scheduler, workers=workers)
        self._answers = Answers(store, self.queue, self, device=self.workers.device, workers=self.workers)
        self.workers.client.subscribe_topic(TOPIC, self._hear)
        for mark in (store.path / "cancel").glob("*"):
            mark.unlink(missing_ok=True)
        (store.path / "cancel").mkdir(exist_ok=True)
        store.sweep()

    def stop(self) -> None:
        """Ask :meth:`serve` to return soon; safe from a signal handler."""
        self._stop.set()
        self._wake.set()

    def serve(self) -> None:
        """Work until stopped or idle; a failing run never takes the process down with it."""
        quiet_since, beaten, looked = time.monotonic(), 0.0, 0.0
        trouble: float | None = None
        try:
            while not self._stop.is_set():
                self._wake.wait(TICK if self._active or self._flights else IDLE_TICK)
                self._wake.clear()
                now = time.monotonic()
                try:
                    if now - beaten > 1.0:
                        beaten = now
                        self._beat()
                    self._land()
                    if now - looked > TICK:
                        looked = now
                        self._look()
                    self._fly()
                    self._tell()
                    trouble = None
                except StoreError as error:  # a full disk or a busy queue may pass; nothing in flight is lost
                    trouble = trouble or now
                    log.error("%s", error)
                    if now - trouble > PATIENCE:
                        raise
                    self._stop.wait(1.0)
                if self._active or self._flights:
                    quiet_since = now
                elif self._idle_exit is not None and now - quiet_since > self._idle_exit:
                    break
        finally:
            self.queue.beat(pid=os.getpid(), host=this_host(), device=self.workers.device, workers=0, state="stopped")
            self.workers.close()

    # Runs: in from the queue, out when nothing is left.

    def _look(self) -> None:
        rows = {row.id: row for row in self.queue.unfinished()}
        for gone in set(self._active) - set(rows):
            del self._active[gone]
        for run_id, row in rows.items():
            if run_id not in self._active:
                if row.cancel:
                    self.queue.set_status(run_id, "cancelled")
                else:
                    self._admit(row)
            elif row.cancel:
                self._active[run_id].row = row
                self._cancel(self._active[run_id])
        self._answers.serve()

    def _admit(self, row: RunRow) -> None:
        if row.status == "queued" and not self.queue.claim(row.id):
            return  # cancelled in the meantime
        try:
            experiment = resolve(Recipe.from_json(row.recipe))
            active = Active(row, experiment, Plan((), {}, complete=False), {}, started=time.monotonic())
            self._active[row.id] = active
            self._replan(active)
        except PLAIN as error:
            self._fail(row.id, str(error))

    def _replan(self, active: Active) -> None:
        active.plan = make_plan(active.experiment, self.store, self.workers.device)
        owned = [job for job in active.plan.jobs if job.spec.owned]
        pieces = [Piece(job.kind, job.spec.artefact(self.store).key, job.part) for job in owned]
        note_uses(self.queue, active.row.id, pieces, complete=active.plan.complete)
        active.pending = {job.id: job for job in active.plan.jobs if not job.done(self.store)}
        finished = [job for job in active.plan.jobs if job.id not in active.pending]
        for job in finished:
            if job.kind == "unlearned":
                self._check_diverged(active, job)
        active.total = sum(job.cost for job in active.plan.jobs)
        for method in active.stopped_methods:
            self._drop(active, method)
        if active.plan.complete:
            for job in finished:
                self._report(active, job)
        self._finish_if_done(active)

    def _finish_if_done(self, active: Active) -> None:
        if active.pending or not active.plan.complete or active.row.cancel:
            return
        active.told = 0.0
        self._tell_run(active)
        self.queue.set_status(active.row.id, "done")
        self._active.pop(active.row.id, None)

    def _fail(self, run_id: str, error: str, trace: str = "") -> None:
        self.queue.set_status(run_id, "failed", error=error, trace=trace)
        self._active.pop(run_id, None)

    def _cancel(self, active: Active) -> None:
        """First press: ask the jobs only this run wants to stop. Second press: kill their workers."""
        wanted = {job_id for other in self._active.values() if not other.row.cancel for job_id in other.pending}
        mine = [f for job_id, f in self._flights.items() if job_id in active.pending and job_id not in wanted]
        for flight in mine:
            cancel_mark(str(self.store.path), flight.job.id).touch()
            if active.row.cancel > 1:
                self._kill(flight)
        if not [f for f in mine if f.job.id in self._flights]:
            self.queue.set_status(active.row.id, "cancelled")
            self._active.pop(active.row.id, None)

    def _kill(self, flight: Flight) -> None:
        del self._flights[flight.job.id]
        flight.future.cancel(force=True)
        if flight.worker:
            self.workers.client.restart_workers([flight.worker], timeout=30, raise_for_error=False)
        cancel_mark(str(self.store.path), flight.job.id).unlink(missing_ok=True)

    # Jobs: out to the cluster, back from it.

    def _fly(self) -> None:
        """Fill the workers, one job per session in turn."""
        free = len(self.workers) - len(self._flights)
        while free > 0:
            job = self._next_job()
            if job is None:
                return
            self._submit(job)
            free -= 1

    def _submit(self, job: Job) -> None:
        # A fresh key per attempt: the cluster remembers a failed key's error.
        key = f"{job.id}-{time.monotonic_ns()}"
        future = self.workers.client.submit(
            work, str(self.store.path), job, self.workers.threads, key=key, retries=2, pure=False
        )
        future.add_done_callback(lambda _future: self._wake.set())
        self._flights[job.id] = Flight(job, future, since=time.monotonic())

    def _next_job(self) -> Job | None:
        rows = [active.row for active in self._active.values() if not active.row.cancel]
        sessions = list(dict.fromkeys(row.session for row in fair(rows)))
        for offset in range(len(sessions)):
            session = sessions[(self._turn + offset) % len(sessions)]
            for row in fair(rows):
                if row.session != session:
                    continue
                active = self._active[row.id]
                for job in active.pending.values():
                    if job.id not in self._flights and not any(n in active.pending for n in job.needs):
                        self._turn = (self._turn + offset + 1) % len(sessions)
                        return job
        return None

    def _land(self) -> None:
        for job_id, flight in list(self._flights.items()):
            if not flight.future.done():
                continue
            del self._flights[job_id]
            cancel_mark(str(self.store.path), job_id).unlink(missing_ok=True)
            wanting = [active for active in self._active.values() if job_id in active.pending]
            status = flight.future.status
            if status == "finished":
                for active in wanting:
                    self._done(active, active.pending[job_id])
            elif status == "cancelled":
                continue
            else:
                error = flight.future.exception()
                if isinstance(error, Cancelled):
                    continue  # a run that still wants it will submit it again
                trace = "".join(traceback.format_exception(error))
                for active in wanting:
                    self._failed(active, active.pending[job_id], error, trace)
                if not wanting:  # a question asked for it
                    self._refused[job_id] = _said(flight.job, error)

    def _done(self, active: Active, job: Job) -> None:
        if not job.done(self.store):  # a marker can only be missing if somebody removed files
            self._fail(
                active.row.id, f"the result of {job.kind} {job.part} vanished from {self.store.path}; run it again"
            )
            return
        active.pending.pop(job.id, None)
        active.computed += job.cost
        if job.kind in ("data", "probe", "forget"):
            try:
                self._replan(active)
            except PLAIN as error:
                self._fail(active.row.id, str(error))
            return
        if job.kind == "unlearned":
            self._check_diverged(active, job)
        self._report(active, job)
        self._finish_if_done(active)

    def _failed(self, active: Active, job: Job, error: BaseException, trace: str) -> None:
        said = _said(job, error)
        log.error("%s\n%s", said, trace)
        stopped = {job.method} if job.method else _readers(active, job)
        if stopped:
            for method in stopped:
                self._stop_method(active, method, _at_request(job, said))
            self._finish_if_done(active)
        else:
            self._fail(active.row.id, said, trace)

    def _check_diverged(self, active: Active, job: Job) -> None:
        meta = job.spec.artefact(self.store).read(job.part).json("meta")
        if "diverged" in meta:
            self._stop_method(active, job.method, _at_request(job, meta["diverged"]))

    def _stop_method(self, active: Active, method: str, why: str) -> None:
        """Stop one method and keep what it measured; the others go on."""
        active.stopped_methods.setdefault(method, why)
        self._drop(active, method)

    def _drop(self, active: Active, method: str) -> None:
        for job_id in [i for i, job in active.pending.items() if job.method == method]:
            del active.pending[job_id]

    def _report(self, active: Active, job: Job) -> None:
        """Put the numbers of a finished evaluation, or the curve of a finished method, where pages look for them."""
        if job.id in active.reported or job.earlier or not active.plan.complete:  # reported when the plan is
            return
        active.reported.add(job.id)
        if job.kind == "unlearned":
            meta = job.spec.artefact(self.store).read(job.part).json("meta")
            self.queue.put_frames(active.row.id, job.method, job.part, meta["frames"])
        elif job.kind == "trained" and job.about(Trained).role in REFERENCES:
            frame = self._reference_frame(active.plan, job)
            self.queue.put_frames(active.row.id, f"@{job.about(Trained).role}", job.part, [frame])
        elif job.kind == "evaluation":
            row = active.plan.rows[job.id]
            part = job.spec.artefact(self.store).read(row.part)
            payload = {
                "rows": part.json("rows"),
                "spec": row.spec.plain,
                "parts": job.inputs["parts"],
                "final": row.final,
                "train": job.inputs["train"],
                "forget": job.inputs["forget"].plain,
            }
            self.queue.put_result(active.row.id, row.method, row.models, payload)

    def _reference_frame(self, plan: Plan, job: Job) -> dict[str, Any]:
        """Return where trained models stand on the points that curves follow, and what training them took."""
        part = job.spec.artefact(self.store).read(job.part)
        margins, correct = part.array("margins"), part.array("correct")  # (M, P)
        ids = followed(forget=plan.forget, train=plan.train, points=margins.shape[1], earlier=plan.earlier)
        meta = part.json("meta")
        took = {"cost": meta["cost"], "seconds": meta["seconds"]}
        return took | {split: summary(margins=margins[:, i], correct=correct[:, i]) for split, i in ids.items()}

    # Words: progress for pages and the command line.

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        said = event[1]
        flight = self._flights.get(said["job"])
        if flight is not None and "frame" in said:
            flight.frames.append(said["frame"])
        elif flight is not None:
            flight.share, flight.message, flight.worker = said["share"], said["message"], said["worker"]

    def _beat(self) -> None:
        busy = len(self._flights)
        self.queue.beat(
            pid=os.getpid(),
            host=this_host(),
            device=self.workers.device,
            workers=len(self.workers),
            state="busy" if busy else "idle",
            message=f"{busy} jobs in flight" if busy else "",
        )

    def _tell(self) -> None:
        for active in list(self._active.values()):
            if time.monotonic() - active.told > 0.25:
                active.told = time.monotonic()
                self._tell_run(active)

    def _tell_run(self, active: Active) -> None:
        flying = [f for job_id, f in self._flights.items() if job_id in active.pending]
        for flight in flying:
            mine = active.pending[flight.job.id]  # the same work may be an earlier request's in another run
            if len(flight.frames) > flight.shown.get(active.row.id, 0) and not mine.earlier:
                flight.shown[active.row.id] = len(flight.frames)
                self.queue.put_frames(active.row.id, mine.method, mine.part, list(flight.frames))
        under_way = sum(f.share * f.job.cost for f in flying)
        left = sum(job.cost for job in active.pending.values()) - under_way
        elapsed = time.monotonic() - active.started
        worked = active.computed + under_way
        methods = {
            name: {
                "done": sum(1 for j in active.plan.jobs if j.method == name and j.id not in active.pending),
                "total": sum(1 for j in active.plan.jobs if j.method == name),
                "stopped": active.stopped_methods.get(name, ""),
            }
            for name in active.experiment.recipe.methods_ids()
        }
        self.queue.set_progress(
            active.row.id,
            {
                "device": self.workers.device,
                "share": 1 - left / active.total if active.plan.complete and active.total else 0.0,
                "planned": active.plan.complete,
                "seconds_left": elapsed * left / worked if worked > 0 and active.plan.complete else None,
                "elapsed": elapsed,
                "jobs_done": len(active.plan.jobs) - len(active.pending),
                "jobs": len(active.plan.jobs),
                "doing": [_words(f) for f in flying],
                "methods": methods,
                "stopping": bool(active.row.cancel),
            },
        )

    # What the answers to questions need: a job done outside any run.

    def want(self, job: Job) -> None:
        """Have a job done that no run asked for, beside the others."""
        if job.id not in self._flights:
            self._submit(job)

    def refusal(self, job_id: str) -> str:
        """Return why a wanted job failed, once; empty if it did not."""
        return self._refused.pop(job_id, "")

    def told(self, job_id: str) -> tuple[float, str, float]:
        """Return share, message and seconds of a job in flight."""
        flight = self._flights.get(job_id)
        return (0.0, "", 0.0) if flight is None else (flight.share, _words(flight), time.monotonic() - flight.since)

    def unwant(self, job_id: str) -> None:
        """Stop a job at once unless a run wants it."""
        flight = self._flights.get(job_id)
        if flight is not None and not any(job_id in active.pending for active in self._active.values()):
            self._kill(flight)


def _at_request(job: Job, said: str) -> str:
    """Return what stopped a method, and at which request when it never came to the run's own."""
    if not job.earlier:
        return said
    return f"stopped at request {job.about(Unlearned).number}, so there is nothing to go on from: {said}"


def _said(job: Job, error: BaseException) -> str:
    """Return a failure in words for a visitor."""
    if isinstance(error, KilledWorker):
        return (
            f"the worker process died several times while computing {job.kind} {job.part}, most likely for lack of "
            "memory; choose a smaller chunk or batch size"
        )
    return str(error) if isinstance(error, PLAIN) else f"{job.kind} {job.part} failed: {type(error).__name__}: {error}"


def _words(flight: Flight) -> str:
    job = flight.job
    models = f", models {job.part}" if job.kind in ("trained", "unlearned") else ""
    if isinstance(job.spec, ForgetSet | Unlearned) and job.spec.number > 1:
        models = f", request {job.spec.number}{models}"
    return f"{job.doing}{models}: {flight.message}"


def _readers(active: Active, job: Job) -> set[str]:
    """Return the methods of a run that wait for a job of a prerequisite."""
    if not isinstance(job.spec, Prepared):
        return set()
    return {other.method for other in active.pending.values() if job.id in other.needs and other.method}
