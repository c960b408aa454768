"""Answers to what pages ask before anything runs: what a recipe takes, which points it forgets, how the data lie.

Kinds of question, each plain JSON, and what the answer holds:

- ``estimate`` (``recipe``, and ``sequence`` true for the runs of all its requests together): ``seconds``, ``bytes`` of
  disk, ``memory`` and ``memory_free`` in bytes, ``strategy``, ``device``, ``cached``.
- ``misfits`` (``model``, ``training``): ``misfits``, the methods that cannot work on such originals by key, each with
  ``why`` and ``remedy``.
- ``data`` (``dataset``): ``info``, with name, hash, classes, shape and sizes; the pictures are decoded by then.
- ``table`` (``path``): the first rows of a CSV file, as :func:`engine.data.csv_file.look` returns them.
- ``forget`` (``recipe``): ``indices`` as "3,17,20-25", ``size``, ``name``, ``hash``.
- ``analysis`` (``analysis``, its key and settings; ``recipe``, of an analysis of the data perhaps its data set alone;
  ``method``, its name in the recipe, ``point`` and ``models`` where they apply): ``kind``, ``spec`` and ``parts`` of
  the artefact with the measurement (:func:`engine.store.measurements.answered`), and ``models``. With ``price`` true
  the ``seconds`` it takes and whether it is ``cached``, and nothing is measured.

Or ``error``, in words. Whatever must be computed first is an ordinary job whose result stays in the store.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence, Set, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from engine.analysis_jobs import Answerable, answerable
from engine.data.base import DataError
from engine.experiment import Experiment, misfits, resolve
from engine.forget.base import ForgetError, spans
from engine.jobs import Job
from engine.knobs import BadSetting
from engine.metrics.base import MetricError
from engine.plan import (
    Plan,
    chosen_pictures,
    data_info,
    data_job,
    probe_job,
    probed,
)
from engine.planner import Planned, Planner
from engine.queue import Queue
from engine.records import Choice, Recipe
from engine.specs import WHOLE, TableSpec
from engine.store import Store, StoreError
from engine.training import Training

JOB_SECONDS = 0.1
"""What every job costs besides its arithmetic: its turn, reading, writing."""
NOTED = 0.5
"""Seconds between notes on how far the work on a question is."""

Answer = dict[str, Any]


@dataclass
class Waiting:
    """A question that is not answered: the ``jobs`` under way for it, and how many ``steps`` are missing in all.

    ``looked`` and ``noted`` say when it was last looked at and its progress last noted, in seconds of the clock.
    """

    jobs: tuple[str, ...] = ()
    steps: int = 0
    looked: float = -math.inf
    noted: float = -math.inf


class JobRunner(Protocol):
    """Runs jobs outside any run."""

    def start_job(self, job: Job) -> None:
        """Start a job unless it is under way."""

    def stop_job(self, job_id: str) -> None:
        """Stop a job unless a run needs it."""

    def failure_of(self, job_id: str) -> str:
        """Return why a job failed, once; empty if it did not."""

    def progress_of(self, job_id: str) -> tuple[float, str, float] | None:
        """Return share, message and seconds so far of a job, None if it is not under way."""


@dataclass
class Answers:
    """Answers the questions in a queue; each look either answers, or starts the next missing jobs.

    A question whose jobs are under way is not looked at again before one of them is over.
    """

    store: Store
    queue: Queue
    runner: JobRunner
    planner: Planner
    workers: Sized
    _waiting: dict[str, Waiting] = field(default_factory=dict)

    def serve(self, seconds: float) -> bool:
        """Look at questions for about so many seconds, at one at least, and return whether that was enough for all.

        Those that were looked at longest ago come first.
        """
        begun = time.monotonic()
        for question_id in self.queue.withdrawn():
            self._withdraw(question_id)
        questions = dict(self.queue.questions())
        self._waiting = {question_id: one for question_id, one in self._waiting.items() if question_id in questions}
        idle = Waiting()
        order = sorted(questions, key=lambda question_id: self._waiting.get(question_id, idle).looked)
        for number, question_id in enumerate(order):
            if number and time.monotonic() - begun > seconds:
                return False
            waiting = self._waiting.setdefault(question_id, Waiting())
            waiting.looked = time.monotonic()
            if waiting.jobs and all(self.runner.progress_of(job_id) for job_id in waiting.jobs):
                self._note_progress(question_id, waiting)
            else:
                self._look(question_id, questions[question_id])
        return True

    def _look(self, question_id: str, question: Mapping[str, Any]) -> None:
        """Answer a question, or start the jobs that must be done before."""
        try:
            answer = self._answer(question)
        except (DataError, ForgetError, MetricError, BadSetting, StoreError) as error:
            answer = {"error": str(error)}
        except (KeyError, TypeError, AttributeError):  # not worth a compute process
            answer = {"error": "the question is not complete; ask again from the page"}
        if isinstance(answer, tuple):
            answer = self._wait(question_id, answer)
        if answer is not None:
            del self._waiting[question_id]
            self.queue.answer(question_id, answer)

    def _withdraw(self, question_id: str) -> None:
        waiting = self._waiting.pop(question_id, Waiting())
        others = {job_id for other in self._waiting.values() for job_id in other.jobs}
        for job_id in waiting.jobs:
            if job_id not in others:
                self.runner.stop_job(job_id)
        self.queue.drop(question_id)

    def _wait(self, question_id: str, missing: tuple[Job, ...]) -> Answer | None:
        """Start the missing jobs that can begin; return an error if one failed."""
        ids = {job.id for job in missing}
        for job in missing:
            if failure := self.runner.failure_of(job.id):
                return {"error": failure}
        ready = [job for job in missing if not ids & set(job.needs)]
        for job in ready:
            self.runner.start_job(job)
        waiting = self._waiting[question_id]
        waiting.jobs, waiting.steps = tuple(job.id for job in ready), len(missing)
        self._note_progress(question_id, waiting)
        return None

    def _note_progress(self, question_id: str, waiting: Waiting) -> None:
        now = time.monotonic()
        progress = self.runner.progress_of(waiting.jobs[0]) if waiting.jobs else None
        if progress is not None and now - waiting.noted >= NOTED:
            waiting.noted = now
            share, message, seconds = progress
            self.queue.note_progress(
                question_id, {"share": share, "message": message, "seconds": seconds, "steps": waiting.steps}
            )

    def _answer(self, question: Mapping[str, Any]) -> Answer | tuple[Job, ...]:
        """Return the answer, or the jobs that must be done before it can be given."""
        kind = question.get("kind")
        if kind == "estimate":
            recipe = Recipe.from_json(question["recipe"])
            recipes = recipe.sequence() if question.get("sequence") else (recipe,)
            return self._estimate([resolve(one) for one in recipes])
        if kind == "misfits":
            training = Training.from_settings(dict(question["training"]))
            return {"misfits": misfits(Choice.from_json(question["model"], "model"), training)}
        if kind == "data":
            return self._data(_about(question["dataset"]))
        if kind == "table":
            return self._table(str(question["path"]))
        if kind == "forget":
            return self._forget(resolve(Recipe.from_json(_some_method(question["recipe"]))))
        if kind == "analysis":
            return self._analysis(question)
        raise BadSetting(f"there is no question of the kind {kind!r}")

    def _plan(self, experiment: Experiment) -> Plan | None:
        """Return the plan of a recipe, None while it is being made: no job is missing then, but look again."""
        planned = self.planner.soon(experiment)
        return None if planned is None else planned.plan

    def _missing(self, *jobs: Job) -> tuple[Job, ...]:
        return tuple(job for job in jobs if not job.done(self.store))

    def _estimate(self, sequence: Sequence[Experiment]) -> Answer | tuple[Job, ...]:
        experiment = sequence[-1]
        info = data_info(experiment, self.store)
        if info is None:
            return (data_job(experiment),)
        misfit = experiment.misfit(tuple(info["shape"]))
        if misfit:
            return {"error": misfit}
        probe = probe_job(experiment, info, self.planner.device)
        measured = probed(probe, self.store)
        if measured is None:
            return (probe,)
        plans: list[Planned] = []
        for one in sequence:
            planned = self.planner.soon(one, suppose=True)
            if planned is None:
                return ()
            plans.append(planned)
        finished = {job_id for planned in plans for job_id in planned.finished(self.store)}
        return estimate([one.plan for one in plans], measured, self.store, workers=len(self.workers), finished=finished)

    def _data(self, experiment: Experiment) -> Answer | tuple[Job, ...]:
        info = data_info(experiment, self.store)
        return (data_job(experiment),) if info is None else {"info": info}

    def _table(self, path: str) -> Answer | tuple[Job, ...]:
        try:
            status = Path(path).stat()
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: there is no such file") from error
        job = Job(TableSpec(path, status.st_size, status.st_mtime_ns), doing="looking at the table")
        artefact = job.spec.artefact(self.store)
        return dict(artefact.read(WHOLE).json("look")) if artefact.has(WHOLE) else (job,)

    def _forget(self, experiment: Experiment) -> Answer | tuple[Job, ...]:
        plan = self._plan(experiment)
        if plan is None:
            return ()
        info = data_info(experiment, self.store)
        chosen = chosen_pictures(experiment, self.store, info) if info is not None else None
        if chosen is not None:
            identity, indices = chosen
            return {
                "hash": identity,
                "indices": spans(indices),
                "size": len(indices),
                "name": experiment.selector.title(),
            }
        choosing = [job for job in plan.jobs if job.kind == "forget"]
        if not choosing:
            return self._missing(*plan.jobs)  # the data, or the probe
        needed = {need for job in choosing for need in job.needs}
        before = [job for job in plan.jobs if job.id in needed and job not in choosing]
        return self._missing(*before, *choosing)

    def _analysis(self, question: Mapping[str, Any]) -> Answer | tuple[Job, ...]:
        analysis = answerable(question, self.store, self._plan)
        if isinstance(analysis, tuple):
            return self._missing(*analysis)
        missing = self._missing(*analysis.before, *analysis.jobs) if self._missing(*analysis.jobs) else ()
        if question.get("price"):
            return self._price(analysis, missing)
        return missing or analysis.answer()

    def _price(self, analysis: Answerable, missing: Sequence[Job]) -> Answer | tuple[Job, ...]:
        """Return the seconds that the missing jobs of an analysis take."""
        if not missing:
            return {"seconds": 0.0, "cached": True}
        probe = probe_job(analysis.experiment, analysis.info, self.planner.device)
        measured = probed(probe, self.store)
        if measured is None:
            return self._missing(probe)
        seconds = sum(job.cost for job in missing) * measured["seconds_per_pass"] + len(missing) * JOB_SECONDS
        return {"seconds": seconds / max(1, len(self.workers)), "cached": False}


def _about(dataset: Mapping[str, Any]) -> Experiment:
    """Return an experiment of which only the data set matters."""
    recipe = {"dataset": dict(dataset), "model": {"key": "mlp"}, "forget": {"key": "random"}}
    return resolve(Recipe.from_json(_some_method(recipe)))


def _some_method(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe with one method, whatever methods it lists: they do not matter here and may be missing."""
    return {"format": 1, **recipe, "methods": [{"key": "do_nothing"}]}


def estimate(
    plans: Sequence[Plan], measured: Mapping[str, Any], store: Store, *, workers: int, finished: Set[str] | None = None
) -> Answer:
    """Return the seconds and bytes that plans will take, from a measured probe and the costs of their jobs.

    Work that is in several plans is done once. Before a forget set is known the plans suppose its size
    (:func:`engine.plan.supposed`). ``bytes`` is what all of it takes on disk, with what is there already; ``memory``
    the probe's peak in every worker; ``memory_free`` what this machine has left now. ``finished`` are the ids of the
    jobs that are done; without it each is looked up in the store.
    """
    jobs = {job.id: job for plan in plans for job in plan.jobs}.values()
    missing = [job for job in jobs if not (job.done(store) if finished is None else job.id in finished)]
    passes = sum(job.cost for job in missing)
    return {
        "seconds": (passes * measured["seconds_per_pass"] + len(missing) * JOB_SECONDS) / max(1, workers),
        "bytes": sum(job.bytes for job in jobs),
        "memory": measured["peak_bytes"] * max(1, workers),
        "memory_free": psutil.virtual_memory().available,
        "strategy": measured["strategy"],
        "device": measured["device"],
        "cached": not missing and all(plan.complete for plan in plans),
    }
