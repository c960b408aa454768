"""The loop of the compute process: it owns the queue and the cluster, plans recipes into jobs, and notes progress.

One per store. Sessions take turns job by job; a job that several runs need is done once. What is in the store is never
computed again, so a restart only repeats what was in flight. No turn of the loop is long: work that grows with a run is
done in slices (:data:`SLICE`) or, planning, beside it, so that heartbeat, questions and cancelling stay prompt.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import traceback

from engine.answers import Answers
from engine.cluster import Workers
from engine.compute import words
from engine.compute.flights import Flights
from engine.compute.reports import review
from engine.compute.runs import ActiveRun
from engine.experiment import resolve
from engine.jobs import Job
from engine.planner import NAMING, Planner
from engine.queue import Queue, RunRow, fair
from engine.queue.uses import note_uses
from engine.records import Recipe
from engine.store import Store, StoreError
from engine.store.files import this_host

log = logging.getLogger("forgetscope.compute")

TICK = 0.1
"""Seconds between looks at the queue while nothing finishes."""
IDLE_TICK = 0.4
"""Seconds between looks when idle; longer, to keep idle CPU low."""
SLICE = 0.2
"""Seconds after which a turn begins nothing long any more; the rest is done in the next turn, which comes at once."""
NOTED = 0.25
"""Seconds between notes on the progress of a run."""
PATIENCE = 60.0
"""Seconds a full disk or a busy queue may last before the process gives up; its runs stay in the queue."""


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
        self._runs: dict[str, ActiveRun] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._turn = 0
        self._beaten = self._looked = self._late = -math.inf
        self._failures: dict[str, str] = {}
        self.workers = Workers.start(scheduler=scheduler, workers=workers)
        self._flights = Flights(store, self.workers, landed=self._next_turn)
        self._planner = Planner(store, self.workers.device, ready=self._next_turn)
        self._answers = Answers(store, self.queue, self, planner=self._planner, workers=self.workers)
        store.sweep()

    def stop(self) -> None:
        """Ask :meth:`serve` to return soon; safe from a signal handler."""
        self._stop.set()
        self._wake.set()

    def _next_turn(self) -> None:
        self._wake.set()

    def serve(self) -> None:
        """Work until stopped or idle; a failing run never takes the process down with it."""
        quiet_since = time.monotonic()
        trouble: float | None = None
        try:
            with self.queue.log_open():
                while not self._stop.is_set():
                    self._wake.wait(TICK if self._runs or self._flights else IDLE_TICK)
                    self._wake.clear()
                    now = time.monotonic()
                    try:
                        self._take_turn(now)
                        trouble = None
                    except StoreError as error:  # a full disk or a busy queue may pass; nothing in flight is lost
                        trouble = trouble or now
                        log.error("%s", error)
                        if now - trouble > PATIENCE:
                            raise
                        self._stop.wait(1.0)
                    if self._runs or self._flights:
                        quiet_since = now
                    elif self._idle_exit is not None and now - quiet_since > self._idle_exit:
                        break
        finally:
            self.queue.beat(pid=os.getpid(), host=this_host(), device=self.workers.device, workers=0, state="stopped")
            self._planner.close()
            self.workers.close()

    def _take_turn(self, now: float) -> None:
        self._late = now + SLICE
        if now - self._beaten > 1.0:
            self._beaten = now
            self._beat()
        self._land()
        if now - self._looked > TICK:
            self._looked = now
            self._look()
        self._plan()
        self._review()
        self._send()
        self._note_progress()

    # Runs: in from the queue, out when nothing is left.

    def _look(self) -> None:
        """Take what changed in the queue: new runs, cancelled ones, questions."""
        rows = {row.id: row for row in self.queue.unfinished()}
        for gone in set(self._runs) - set(rows):
            del self._runs[gone]
        for run_id, row in rows.items():
            if run_id not in self._runs:
                if row.cancel:
                    self.queue.set_status(run_id, "cancelled")
                else:
                    self._admit(row)
            elif row.cancel:
                self._runs[run_id].row = row
                self._cancel(self._runs[run_id])
        if not self._answers.serve(self._late - time.monotonic()):
            self._next_turn()

    def _admit(self, row: RunRow) -> None:
        if row.status == "queued" and not self.queue.claim(row.id):
            return  # cancelled in the meantime
        try:
            self._runs[row.id] = ActiveRun(row, resolve(Recipe.from_json(row.recipe)))
        except words.PLAIN as error:
            self._fail(row.id, str(error))

    def _plan(self) -> None:
        """Plan the runs that are new or know more of their data by now; what is not made yet is fetched later."""
        due = [run for run in self._runs.values() if run.plan_due and not run.row.cancel]
        for number, run in enumerate(due):
            if number and time.monotonic() > self._late:
                self._next_turn()
                return
            try:
                planned = self._planner.soon(run.experiment)
            except words.PLAIN as error:
                self._fail(run.row.id, str(error))
                continue
            if planned is None:
                continue
            owned = [planned.pieces[job.id] for job in planned.plan.jobs if job.spec.owned]
            note_uses(self.queue, run.row.id, owned, complete=planned.plan.complete)
            run.adopt(planned.plan, planned.finished(self.store))
            if not planned.plan.complete and not any(job.kind in NAMING for job in run.pending.values()):
                run.plan_due = True  # another run had them done in the meantime
                self._next_turn()
            self._end_if_over(run)

    def _review(self) -> None:
        """Look at the results that came back and at those that were in the store before their run was planned."""
        for run in list(self._runs.values()):
            while run.unreviewed and run.row.id in self._runs:
                job = run.unreviewed[0]
                try:
                    report = review(run, job, self.store)
                except StoreError as error:
                    self._fail(run.row.id, str(error))
                    break
                if report is not None:
                    report(self.queue)
                    run.reported.add(job.id)
                run.unreviewed.popleft()
                self._end_if_over(run)
                if time.monotonic() > self._late:
                    self._next_turn()
                    return

    def _end_if_over(self, run: ActiveRun) -> None:
        if not run.over:
            return
        self._note_progress_of(run)
        self.queue.set_status(run.row.id, "done")
        self._runs.pop(run.row.id, None)

    def _fail(self, run_id: str, error: str, trace: str = "") -> None:
        self.queue.set_status(run_id, "failed", error=error, trace=trace)
        self._runs.pop(run_id, None)

    def _cancel(self, run: ActiveRun) -> None:
        """First press: ask the jobs only this run needs to stop. Second press: kill their workers."""
        others = [other for other in self._runs.values() if not other.row.cancel]
        own = [
            flight
            for flight in self._flights
            if flight.job.id in run.pending and not any(flight.job.id in other.pending for other in others)
        ]
        for flight in own:
            if run.row.cancel > 1:
                self._flights.kill(flight)
            else:
                self._flights.ask_to_stop(flight)
        if run.row.cancel > 1 or not own:
            self.queue.set_status(run.row.id, "cancelled")
            self._runs.pop(run.row.id, None)

    # Jobs: out to the cluster, back from it.

    def _send(self) -> None:
        """Fill the workers, one job per session in turn."""
        for _ in range(self._flights.free):
            job = self._next_job()
            if job is None:
                return
            self._flights.send(job)

    def _next_job(self) -> Job | None:
        rows = fair([run.row for run in self._runs.values() if not run.row.cancel])
        sessions = list(dict.fromkeys(row.session for row in rows))
        for offset in range(len(sessions)):
            session = sessions[(self._turn + offset) % len(sessions)]
            for row in rows:
                if row.session != session:
                    continue
                if job := self._runs[row.id].next_job(self._flights.__contains__):
                    self._turn = (self._turn + offset + 1) % len(sessions)
                    return job
        return None

    def _land(self) -> None:
        for job, error in self._flights.land():
            runs = [run for run in self._runs.values() if job.id in run.pending]
            if error is None:
                for run in runs:
                    self._done(run, run.pending[job.id])
                continue
            trace = "".join(traceback.format_exception(error))
            for run in runs:
                self._failed(run, run.pending[job.id], error, trace)
            if not runs:  # it was done for a question
                self._failures[job.id] = words.failure(job, error)

    def _done(self, run: ActiveRun, job: Job) -> None:
        if not job.done(self.store):  # a marker can only be missing if files were removed by hand
            self._fail(run.row.id, f"the result of {job.kind} {job.part} vanished from {self.store.path}; run it again")
            return
        run.done(job.id)
        if job.kind in NAMING:
            run.plan_due = True
        self._end_if_over(run)

    def _failed(self, run: ActiveRun, job: Job, error: BaseException, trace: str) -> None:
        why = words.failure(job, error)
        log.error("%s\n%s", why, trace)
        if run.failed(job, words.stopped(job, why)):
            self._end_if_over(run)
        else:
            self._fail(run.row.id, why, trace)

    # Progress for pages and the command line.

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

    def _note_progress(self) -> None:
        for run in list(self._runs.values()):
            if time.monotonic() - run.noted > NOTED:
                self._note_progress_of(run)

    def _note_progress_of(self, run: ActiveRun) -> None:
        run.noted = time.monotonic()
        flights = [flight for flight in self._flights if flight.job.id in run.pending]
        for flight in flights:
            job = run.pending[flight.job.id]  # the same work may be an earlier request's in another run
            if len(flight.frames) > flight.shown.get(run.row.id, 0) and not job.earlier:
                flight.shown[run.row.id] = len(flight.frames)
                self.queue.put_frames(run.row.id, job.method, job.part, list(flight.frames))
        under_way = sum(flight.share * flight.job.cost for flight in flights)
        left = run.left - under_way
        elapsed = time.monotonic() - run.started
        worked = run.computed + under_way
        planned = run.plan.complete
        self.queue.set_progress(
            run.row.id,
            {
                "device": self.workers.device,
                "share": 1 - left / run.total if planned and run.total else 0.0,
                "planned": planned,
                "seconds_left": elapsed * left / worked if worked > 0 and planned else None,
                "elapsed": elapsed,
                "jobs_done": run.jobs - len(run.pending),
                "jobs": run.jobs,
                "doing": [words.activity(flight.job, flight.message) for flight in flights],
                "methods": run.methods(),
                "stopping": bool(run.row.cancel),
            },
        )

    # Jobs that questions need, outside any run: :class:`engine.answers.JobRunner`.

    def start_job(self, job: Job) -> None:
        """Start a job beside the runs' unless it is in the cluster."""
        self._flights.send(job)

    def failure_of(self, job_id: str) -> str:
        """Return why a job failed that no run needed, once; empty if it did not."""
        return self._failures.pop(job_id, "")

    def progress_of(self, job_id: str) -> tuple[float, str, float] | None:
        """Return share, message and seconds so far of a job, None if it is not in the cluster."""
        flight = self._flights.get(job_id)
        if flight is None:
            return None
        return flight.share, words.activity(flight.job, flight.message), time.monotonic() - flight.since

    def stop_job(self, job_id: str) -> None:
        """Stop a job at once unless a run needs it."""
        flight = self._flights.get(job_id)
        if flight is not None and not any(job_id in run.pending for run in self._runs.values()):
            self._flights.kill(flight)
