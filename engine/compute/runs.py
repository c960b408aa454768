"""A run while it is worked on: which of its jobs are left, which can start, and how far each method is.

Everything here is kept up to date job by job, so that a turn of the loop costs the same for a demo and for a sweep.
"""

from __future__ import annotations

import bisect
import time
from collections import Counter, deque
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any

from engine.experiment import Experiment
from engine.jobs import Job
from engine.plan import Plan
from engine.queue import RunRow
from engine.specs import Prepared

REVIEWED = ("unlearned", "trained", "evaluation")
"""Kinds of job whose results are looked at when they are done: for pages, and to stop a method that diverged."""


@dataclass
class ActiveRun:
    """A run while it is worked on.

    ``pending`` are the jobs that are not done, by id, in the order of the plan. ``unreviewed`` are jobs that are done
    and whose results were not looked at yet; those of methods come first, and no job starts before they are gone, so
    that a method that diverged before a restart does not go on. ``plan_due`` says that the plan must be made (anew).
    ``stopped`` holds why methods stopped, ``computed`` the cost of what was done since ``started``.
    """

    row: RunRow
    experiment: Experiment
    started: float = field(default_factory=time.monotonic)
    plan: Plan = field(default_factory=lambda: Plan((), {}, complete=False))
    plan_due: bool = True
    pending: dict[str, Job] = field(default_factory=dict)
    unreviewed: deque[Job] = field(default_factory=deque)
    stopped: dict[str, str] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    computed: float = 0.0
    total: float = 0.0
    noted: float = 0.0
    _place: dict[str, int] = field(default_factory=dict)
    _jobs: list[Job] = field(default_factory=list)
    _ready: list[int] = field(default_factory=list)
    _missing: Counter[str] = field(default_factory=Counter)
    _waiting: dict[str, list[str]] = field(default_factory=dict)
    _of_method: Counter[str] = field(default_factory=Counter)
    _left_of_method: Counter[str] = field(default_factory=Counter)

    def adopt(self, plan: Plan, finished: Set[str]) -> None:
        """Work by this plan from now on; ``finished`` are the ids of its jobs that are done."""
        self.plan, self.plan_due = plan, False
        self._jobs = list({job.id: job for job in plan.jobs}.values())
        self._place = {job.id: place for place, job in enumerate(self._jobs)}
        self.pending = {job.id: job for job in self._jobs if job.id not in finished}
        self.total = sum(job.cost for job in self._jobs)
        self._of_method = Counter(job.method for job in self._jobs)
        self._left_of_method = Counter(job.method for job in self.pending.values())
        self._waiting, self._missing = {}, Counter()
        for job in self.pending.values():
            for needed in set(job.needs) & self.pending.keys():
                self._waiting.setdefault(needed, []).append(job.id)
                self._missing[job.id] += 1
        self._ready = [self._place[job_id] for job_id in self.pending if not self._missing[job_id]]
        done = [job for job in self._jobs if job.kind in REVIEWED and job.id in finished]
        self.unreviewed = deque(sorted(done, key=lambda job: job.kind != "unlearned"))
        for method in self.stopped:
            self._drop(method)

    def next_job(self, taken: Callable[[str], bool]) -> Job | None:
        """Return the first job in the order of the plan that can start and is not ``taken``, None if there is none."""
        if self.unreviewed and self.unreviewed[0].kind == "unlearned":
            return None
        return next((job for job in map(self._jobs.__getitem__, self._ready) if not taken(job.id)), None)

    def done(self, job_id: str) -> None:
        """Note that a job that was pending is done; its result is then to be looked at."""
        job = self.pending[job_id]
        self.computed += job.cost
        self._remove(job_id)
        if job.kind == "unlearned":
            self.unreviewed.appendleft(job)
        elif job.kind in REVIEWED:
            self.unreviewed.append(job)

    def failed(self, job: Job, why: str) -> bool:
        """Stop the methods that a job serves, its own or those that wait for what it prepares; return if any do."""
        methods = {self.pending[other].method for other in self._waiting.get(job.id, ()) if other in self.pending}
        if job.method or not isinstance(job.spec, Prepared):
            methods = {job.method}
        methods -= {""}
        for method in methods:
            self.stop_method(method, why)
        if methods and job.id in self.pending:
            self._remove(job.id)  # nothing waits for it any more
        return bool(methods)

    def stop_method(self, method: str, why: str) -> None:
        """Stop one method and keep what it measured; the others go on."""
        self.stopped.setdefault(method, why)
        self._drop(method)

    @property
    def over(self) -> bool:
        """Whether everything was done and looked at."""
        return self.plan.complete and not (self.plan_due or self.pending or self.unreviewed or self.row.cancel)

    @property
    def left(self) -> float:
        """The cost of all jobs that are not done."""
        return sum(job.cost for job in self.pending.values())

    @property
    def jobs(self) -> int:
        """The number of jobs in the plan."""
        return len(self._jobs)

    def methods(self) -> dict[str, dict[str, Any]]:
        """Return for each method how many of its jobs are done, of how many, and why it stopped."""
        return {
            name: {
                "done": self._of_method[name] - self._left_of_method[name],
                "total": self._of_method[name],
                "stopped": self.stopped.get(name, ""),
            }
            for name in self.experiment.recipe.methods_ids()
        }

    def _drop(self, method: str) -> None:
        for job_id in [job_id for job_id, job in self.pending.items() if job.method == method]:
            self._remove(job_id)

    def _remove(self, job_id: str) -> None:
        job = self.pending.pop(job_id)
        self._left_of_method[job.method] -= 1
        place = bisect.bisect_left(self._ready, self._place[job_id])
        if self._ready[place : place + 1] == [self._place[job_id]]:
            del self._ready[place]
        for other in self._waiting.pop(job_id, ()):
            self._missing[other] -= 1
            if not self._missing[other] and other in self.pending:
                bisect.insort(self._ready, self._place[other])
