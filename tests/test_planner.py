"""Plans are made once per recipe and change of the store, whoever asks, and beside the loop that waits for them."""

import threading

import pytest
import torch

from engine import planner as planner_module
from engine.answers import Answers
from engine.experiment import resolve
from engine.knobs import BadSetting
from engine.plan import make_plan
from engine.planner import Planner
from engine.queue import Queue
from engine.records import Recipe
from engine.store import Store
from engine.work import run_job

CPU = torch.device("cpu")


class Quiet:
    def progress(self, share, message):
        assert 0 <= share <= 1
        assert message


def recipe(n=20, seed=0, strategy="auto"):
    return {
        "format": 1,
        "dataset": {"key": "digits"},
        "model": {"key": "mlp", "hidden": 4},
        "training": {"epochs": 2},
        "forget": {"key": "random", "n": n},
        "methods": [{"key": "do_nothing"}, {"key": "scrub"}],
        "ensemble": {"models": 4, "chunk": 2, "strategy": strategy},
        "seed": seed,
    }


def experiment(**about):
    return resolve(Recipe.from_json(recipe(**about)))


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


@pytest.fixture
def made(monkeypatch):
    """The recipes that were planned, in order."""
    recipes = []

    def counted(asked, store, device, **how):
        recipes.append(asked.recipe)
        return make_plan(asked, store, device, **how)

    monkeypatch.setattr(planner_module, "make_plan", counted)
    return recipes


def land(store, kind, wanted):
    """Have the first job of a kind done."""
    job = next(job for job in make_plan(wanted, store, "cpu").jobs if job.kind == kind and not job.done(store))
    if kind == "probe":  # a real one takes seconds
        with job.spec.artefact(store).write(job.part) as out:
            out.json("probe", {"strategy": "stacked", "seconds_per_pass": 1e-6, "peak_bytes": 1, "parameters": 9,
                               "device": "cpu"})  # fmt: skip
    else:
        run_job(store, job, Quiet(), CPU)
    return job


def fetched(planner, wanted):
    """Return a plan that is made beside the caller, once it is made."""
    while (planned := planner.soon(wanted)) is None:
        pass
    return planned


def test_a_plan_holds_until_data_probe_or_forget_set_land_or_go(store, made):
    wanted, planner = experiment(), Planner(store, "cpu")
    for number, kind in enumerate(("data", "probe", "forget"), start=1):
        for _ in range(3):
            assert kind in {job.kind for job in planner.plan(wanted).plan.jobs}
        assert len(made) == number
        job = land(store, kind, wanted)
    complete = planner.plan(wanted).plan
    assert complete.complete
    land(store, "trained", wanted)
    assert planner.plan(wanted).plan is complete, "a result that names nothing changes no plan"
    assert len(made) == 4
    job.spec.artefact(store).discard(job.part)
    assert not planner.plan(wanted).plan.complete
    planner.plan(experiment(n=21))
    assert len(made) == 6, "another recipe has another plan"


def test_what_is_finished_is_what_each_job_says(store):
    wanted, planner = experiment(), Planner(store, "cpu")
    for kind in ("data", "probe", "forget", "trained"):
        land(store, kind, wanted)
    planned = planner.plan(wanted)
    finished = {job.id for job in planned.plan.jobs if job.done(store)}
    assert planned.finished(store) == finished
    assert {job_id.partition("-")[0] for job_id in finished} == {"data", "forget", "trained"}
    for job in planned.plan.jobs:
        assert planned.pieces[job.id].key == job.spec.artefact(store).key


def test_a_plan_that_was_overtaken_while_it_was_made_is_not_kept(store, monkeypatch):
    """Catches a run that waits for ever: its plan lacks the data, and the data's job is done."""
    wanted, planner = experiment(), Planner(store, "cpu")

    def slow(asked, store, device, **how):
        plan = make_plan(asked, store, device)
        if not plan.complete and plan.jobs[-1].kind == "data":
            run_job(store, plan.jobs[-1], Quiet(), CPU)
        return plan

    monkeypatch.setattr(planner_module, "make_plan", slow)
    assert [job.kind for job in planner.plan(wanted).plan.jobs] == ["data"]
    assert [job.kind for job in planner.plan(wanted).plan.jobs] == ["data", "probe"]


def test_a_long_plan_is_made_beside_the_caller(store, monkeypatch):
    begun, go_on, ready = threading.Event(), threading.Event(), threading.Event()

    def long(asked, store, device, **how):
        begun.set()
        assert go_on.wait(60)
        return make_plan(asked, store, device)

    monkeypatch.setattr(planner_module, "make_plan", long)
    wanted, planner = experiment(), Planner(store, "cpu", ready=ready.set)
    assert planner.soon(wanted) is None
    assert begun.wait(60)
    assert planner.soon(wanted) is None
    assert not ready.is_set()
    go_on.set()
    assert ready.wait(60)
    assert [job.kind for job in planner.soon(wanted).plan.jobs] == ["data"]


def test_a_refusal_is_raised_where_the_plan_is_asked_for(store, monkeypatch):
    def refuse(asked, store, device, **how):
        raise BadSetting("smaller chunks, please")

    monkeypatch.setattr(planner_module, "make_plan", refuse)
    planner = Planner(store, "cpu")
    for _ in range(2):
        with pytest.raises(BadSetting, match="smaller chunks"):
            fetched(planner, experiment())


class Runner:
    """Takes jobs and never ends them by itself."""

    def __init__(self):
        self.jobs = {}

    def start_job(self, job):
        self.jobs[job.id] = job

    def stop_job(self, job_id):
        self.jobs.pop(job_id, None)

    def failure_of(self, job_id):
        return ""

    def progress_of(self, job_id):
        return (0.5, "at work", 1.0) if job_id in self.jobs else None


def test_questions_that_wait_are_not_planned_again_at_every_look(store, tmp_path, made):
    """Catches a loop that is busy with planning for as long as questions wait."""
    for kind in ("data", "probe"):
        land(store, kind, experiment())
    queue, runner = Queue(tmp_path / "queue.sqlite"), Runner()
    answers = Answers(store, queue, runner, planner=Planner(store, "cpu"), workers=())
    questions = [queue.ask({"kind": "forget", "recipe": recipe(seed=seed)}) for seed in range(4)]

    def serve():
        for _ in range(10):
            assert answers.serve(600.0)

    while len(runner.jobs) < 4:
        assert answers.serve(600.0)
    serve()
    assert len(made) == 4
    assert queue.question_progress(questions[0])["share"] == 0.5
    for job in runner.jobs.values():
        run_job(store, job, Quiet(), CPU)
    runner.jobs.clear()
    while any(queue.answer_to(question) is None for question in questions):
        assert answers.serve(600.0)
    assert {queue.answer_to(question)["size"] for question in questions} == {20}
    serve()
    assert len(made) == 8


def test_no_question_waits_for_all_others_to_be_looked_at(store, tmp_path):
    """With no time at all one is looked at, and in the next turn another."""
    queue = Queue(tmp_path / "queue.sqlite")
    answers = Answers(store, queue, Runner(), planner=Planner(store, "cpu"), workers=())
    questions = [queue.ask({"kind": "nonsense", "number": number}) for number in range(3)]
    for left in (2, 1):
        assert not answers.serve(-1.0)
        assert sum(queue.answer_to(question) is None for question in questions) == left
    assert answers.serve(-1.0)
    assert all("no question of the kind" in queue.answer_to(question)["error"] for question in questions)
