"""What is left of a run, which job is next, and how far each method is: against the obvious way."""

import random
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from engine.compute.runs import ActiveRun
from engine.jobs import Job
from engine.plan import Plan
from engine.records import Choice
from engine.specs import Prepared, Spec

METHODS = ("scrub", "ssd", "")


def about(kind, number):
    """Return a spec of a kind that says no more than a number."""
    named = type(kind, (Spec,), {"kind": kind, "__annotations__": {"number": int}})
    return dataclass(frozen=True, eq=False)(named)(number)


def run_of(jobs, finished=frozenset(), *, complete=True):
    recipe = SimpleNamespace(methods_ids=lambda: METHODS[:2])
    run = ActiveRun(SimpleNamespace(cancel=0), SimpleNamespace(recipe=recipe))
    run.adopt(Plan(tuple(jobs), {}, complete=complete), finished)
    return run


@pytest.mark.parametrize("seed", range(30))
def test_the_next_job_is_the_first_of_the_plan_that_waits_for_none(seed):
    chance = random.Random(seed)
    jobs: list[Job] = []
    for number in range(chance.randint(1, 15)):
        needs = tuple(job.id for job in jobs if chance.random() < 0.2)
        method = chance.choice(METHODS)
        jobs.append(Job(about("trained", number), needs=needs, cost=1.0 + number, method=method))
    finished = {job.id for job in jobs if chance.random() < 0.2}
    run = run_of(jobs, finished)
    pending = {job.id: job for job in jobs if job.id not in finished}
    while True:
        taken = {job.id for job in jobs if chance.random() < 0.3}
        free = [job for job in pending.values() if job.id not in taken and not set(job.needs) & pending.keys()]
        assert run.next_job(taken.__contains__) == next(iter(free), None)
        assert run.pending == pending
        assert run.left == sum(job.cost for job in pending.values())
        for name, state in run.methods().items():
            own = [job for job in jobs if job.method == name]
            assert state["total"] == len(own)
            assert state["done"] == sum(job.id not in pending for job in own)
        if not pending:
            break
        if chance.random() < 0.9:
            run.done(job_id := chance.choice(sorted(pending)))
            del pending[job_id]
        else:
            run.stop_method(method := chance.choice(METHODS), "it diverged")
            pending = {job_id: job for job_id, job in pending.items() if job.method != method}


def unlearned(number, **more):
    return Job(about("unlearned", number), method="scrub", **more)


def test_nothing_starts_before_it_is_known_whether_a_method_diverged():
    """Catches an evaluation of networks that diverged before a restart."""
    first, trained = unlearned(1), Job(about("trained", 0))
    evaluation = Job(about("evaluation", 1), needs=(first.id,), method="scrub")
    other = Job(about("evaluation", 2), method="ssd")
    run = run_of([trained, first, evaluation, other], {first.id, trained.id})
    assert [job.kind for job in run.unreviewed] == ["unlearned", "trained"]
    assert run.next_job(lambda _id: False) is None
    run.unreviewed.popleft()
    run.stop_method("scrub", "diverged at step 3")
    assert run.next_job(lambda _id: False) == other
    assert run.methods()["scrub"] == {"done": 2, "total": 2, "stopped": "diverged at step 3"}


def test_what_fails_stops_the_methods_it_serves_and_is_not_tried_again():
    lesson = Job(Prepared(Choice("lesson"), {}))
    readers = [
        Job(about("unlearned", number), needs=(lesson.id,), method=name) for number, name in enumerate(METHODS[:2])
    ]
    chosen = Job(about("forget", 0))
    run = run_of([lesson, chosen, *readers])
    assert run.failed(lesson, "no room")
    assert {name: state["stopped"] for name, state in run.methods().items()} == {"scrub": "no room", "ssd": "no room"}
    assert list(run.pending) == [chosen.id]
    assert not run.failed(chosen, "nothing to choose from"), "it serves the whole run"
    run = run_of([lesson, *readers])
    assert run.failed(readers[0], "no room")
    assert list(run.pending) == [lesson.id, readers[1].id]


def test_a_method_that_stopped_stays_stopped_when_the_run_is_planned_again():
    run = run_of([unlearned(1), unlearned(2)], complete=False)
    run.stop_method("scrub", "diverged at step 3")
    run.stop_method("scrub", "failed")
    run.adopt(Plan((unlearned(1), unlearned(2), unlearned(3)), {}, complete=True), frozenset())
    assert not run.pending
    assert run.methods()["scrub"]["stopped"] == "diverged at step 3"


def test_a_run_is_over_when_everything_is_done_and_looked_at():
    job = unlearned(1)
    run = run_of([job])
    assert not run.over
    run.done(job.id)
    assert not run.over, "its result was not looked at"
    run.unreviewed.popleft()
    assert run.over
    run.plan_due = True
    assert not run.over, "a new plan may hold more"


@pytest.mark.parametrize("complete", [True, False])
def test_only_a_complete_plan_can_be_over(complete):
    assert run_of([], complete=complete).over is complete
