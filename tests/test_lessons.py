"""A lesson as a job: planned where a method reads one, made once, found by the next request, priced beforehand."""

import numpy as np
import pytest
import torch

from engine.answers import estimate
from engine.experiment import resolve
from engine.images import Images
from engine.lesson import learn
from engine.plan import make_plan
from engine.prerequisites import lesson as prerequisite
from engine.queue.uses import OWNED
from engine.records import Recipe
from engine.store import Store
from engine.stored import load_data, removed
from engine.work import run_job

CPU = torch.device("cpu")
L2UL = {"key": "l2ul", "lessons": 12, "partitions": 5, "subset": 0.1}


class Quiet:
    def progress(self, share, message):
        assert 0 <= share <= 1
        assert message

    def frame(self, frame):
        assert frame["seconds"] >= 0


def experiment(*methods, model="logistic", forget=20, **training):
    recipe = {
        "format": 1,
        "dataset": {"key": "digits"},
        "model": {"key": model, **({"hidden": 4} if model == "mlp" else {})},
        "training": {"epochs": 2, **training},
        "forget": {"key": "random", "n": forget},
        "methods": list(methods or [L2UL]),
        "ensemble": {"models": 4, "chunk": 2, "strategy": "stacked"},
    }
    return resolve(Recipe.from_json(recipe))


def run(store, wanted):
    """Do all jobs of a run in their order and return the ids of those that were not done before."""
    done = []
    for _ in range(3):  # data, forget set, all the rest
        plan = make_plan(wanted, store, "cpu")
        for job in plan.jobs:
            if not job.done(store):
                assert all(need in done or need in {j.id for j in plan.jobs if j.done(store)} for need in job.needs)
                run_job(store, job, Quiet(), CPU)
                done.append(job.id)
                if job.kind in ("data", "forget"):
                    break
        if plan.complete:
            break
    assert make_plan(wanted, store, "cpu").complete
    return done


def lessons(plan):
    return [job for job in plan.jobs if job.kind == "prepared"]


def test_the_second_request_finds_the_lesson_done(tmp_path):
    store = Store.open(tmp_path / "store")
    first = run(store, experiment(forget=20))
    assert sum(job.startswith("prepared") for job in first) == 1
    second = run(store, experiment(forget=35))
    assert any(job.startswith("unlearned") for job in second)
    assert not any(job.startswith("prepared") for job in second)


@pytest.mark.parametrize(("model", "parts"), [("logistic", ["whole"]), ("mlp", ["00000-00002", "00002-00004"])])
def test_logistic_regression_shares_a_lesson_and_networks_have_their_own(tmp_path, model, parts):
    store = Store.open(tmp_path / "store")
    run(store, experiment(model=model))
    plan = make_plan(experiment(model=model), store, "cpu")
    assert [job.part for job in lessons(plan)] == parts
    for job in plan.jobs:
        if job.kind == "unlearned":
            meta = job.spec.artefact(store).read(job.part).json("meta")
            assert meta["seconds"] > 0
            weights = job.spec.artefact(store).read(job.part).tensors("weights")
            before = job.spec.original.artefact(store).read(job.part).tensors("weights")
            assert all((np.abs(weights[k] - before[k]).max() > 1e-6) for k in weights), "it must not do nothing"
    made = lessons(plan)[0].spec.artefact(store).read(parts[0]).json("meta")
    assert made["held_out"] > 0
    assert made["seconds"] > 0
    assert made["drawn_twice"] == pytest.approx(1 - 0.9**12 - 12 * 0.1 * 0.9**11, abs=2e-3)


def test_only_a_method_that_reads_one_has_a_lesson(tmp_path):
    store = Store.open(tmp_path / "store")
    run(store, experiment({"key": "do_nothing"}))
    assert not lessons(make_plan(experiment({"key": "do_nothing"}), store, "cpu"))
    two = experiment({"key": "do_nothing"}, L2UL, {**L2UL, "psi": 3})
    assert len(lessons(make_plan(two, store, "cpu"))) == 2, "another setting is another lesson"


def test_the_lesson_depends_on_the_training_and_not_on_the_forget_set(tmp_path):
    store = Store.open(tmp_path / "store")
    run(store, experiment({"key": "do_nothing"}))

    def spec(wanted):
        (lesson,) = lessons(make_plan(wanted, store, "cpu", suppose=True))
        return lesson.id

    assert spec(experiment(forget=20)) == spec(experiment(forget=35))
    assert spec(experiment()) != spec(experiment(epochs=3))


def test_a_fresh_lesson_has_never_seen_what_is_forgotten_and_serves_that_request_alone(tmp_path, monkeypatch):
    """Catches the forgotten pictures among the lessons, or in the mean embedding of the data."""
    shown = []

    def noted(net, images, training, teaching, **more):
        shown.append((more["size"], images.x.flatten(1)))
        return learn(net, images, training, teaching, **more)

    monkeypatch.setattr(prerequisite, "learn", noted)
    store, fresh = Store.open(tmp_path), {**L2UL, "fresh": True}
    everything = Images.of(load_data(store, {"key": "digits"}, None, Quiet()), "train", CPU).x.flatten(1)
    for forget in (20, 30):
        wanted = experiment(fresh, forget=forget)
        assert sum(job.startswith("prepared") for job in run(store, wanted)) == 1, "learned anew for each request"
        (request,) = (job.spec for job in make_plan(wanted, store, "cpu").jobs if job.kind == "forget")
        forgotten, _ = removed(store, request)
        size, pictures = shown[-1]
        assert (size, len(forgotten)) == (1437, forget)
        assert torch.equal(pictures, everything[np.setdiff1d(np.arange(1437), forgotten)])


def test_the_lesson_is_in_the_price_until_it_is_made(tmp_path):
    store = Store.open(tmp_path / "store")
    run(store, experiment({"key": "do_nothing"}))
    wanted = experiment({"key": "do_nothing"}, L2UL)
    speed = {"seconds_per_pass": 1.0, "parameters": 650, "peak_bytes": 0, "strategy": "stacked", "device": "cpu"}

    def price(plan):
        return estimate([plan], speed, store, workers=1)["seconds"]

    plan = make_plan(wanted, store, "cpu")
    (lesson,) = lessons(plan)
    assert lesson.cost == 3 * 2 * 144 * (12 + 12)  # passes, epochs, a tenth of the pictures, pairs of trainings
    before = price(plan)
    run_job(store, lesson, Quiet(), CPU)
    assert before - price(plan) == pytest.approx(lesson.cost + 0.1)
    # Before the forget set is known, the lesson is in the price all the same.
    other = experiment({**L2UL, "psi": 3}, forget=77)
    unknown = make_plan(other, store, "cpu", suppose=True)
    assert not unknown.complete
    nothing = experiment({"key": "do_nothing"}, forget=77)
    assert price(unknown) - price(make_plan(nothing, store, "cpu", suppose=True)) > lesson.cost


def test_lessons_are_freed_with_the_runs_that_stand_on_them():
    assert "prepared" in OWNED
