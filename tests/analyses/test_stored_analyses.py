"""Analyses of stored networks: the jobs a question names, their answer, their price, and what deleting a run frees."""

import numpy as np
import pytest
import small
from sklearn.metrics import roc_auc_score

from engine.analyses import analyses
from engine.analysis_jobs import answerable
from engine.answers import Answers
from engine.experiment import resolve
from engine.knobs import BadSetting
from engine.plan import make_plan
from engine.planner import Planner
from engine.queue import Queue
from engine.queue.uses import delete_run, disk_use, free_unused, note_uses
from engine.records import Recipe
from engine.specs import Analysed
from engine.store import Piece, Store
from engine.store.measurements import answered
from engine.work import run_job

RECIPE = {
    "format": 1,
    "dataset": {"key": "digits"},
    "model": {"key": "mlp", "hidden": 4},
    "training": {"epochs": 1, "batch_size": 256},
    "forget": {"key": "random", "n": 30},
    "methods": [{"key": "do_nothing"}, {"key": "unsir", "noise": 20, "noise_steps": 2}],
    "ensemble": {"models": 4, "chunk": 2, "strategy": "stacked"},
}


class Quiet:
    def progress(self, share, message):
        assert 0 <= share <= 1

    def frame(self, frame):
        pass


def plan(experiment, store):
    return make_plan(experiment, store, "cpu")


def finish(store, recipe):
    """Do every job of a recipe here and return its last plan."""
    experiment = resolve(Recipe.from_json(recipe))
    while True:
        planned = plan(experiment, store)
        for job in planned.jobs:
            run_job(store, job, Quiet(), small.CPU)
        if planned.complete:
            return planned


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A store with a finished run of two chunks, and its plan."""
    store = Store.open(tmp_path_factory.mktemp("analysed") / "store")
    return store, finish(store, RECIPE)


def asked(store, key="membership", method="do_nothing", recipe=RECIPE, **more):
    question = {"analysis": {"key": key}, "recipe": recipe, "method": method, **more}
    return answerable(question, store, lambda experiment: plan(experiment, store))


def test_a_chunk_is_a_job_and_all_of_them_are_one_measurement(measured):
    store, planned = measured
    found = asked(store)
    assert [job.part for job in found.jobs] == ["00000-00002", "00002-00004"]
    assert found.models == 4
    assert all(job.doing == "attacking by a threshold" for job in found.jobs)
    for job in found.jobs:
        run_job(store, job, Quiet(), small.CPU)
    measurement = answered(store, found.answer())
    row = next(row for row in planned.rows.values() if row.method == "do_nothing" and row.final)
    margins = {
        role: np.concatenate([spec.artefact(store).read(job.part).array("margins") for job in found.jobs])
        for role, spec in row.spec.ensembles.items()
    }
    truth = np.r_[np.ones(30), np.zeros(360)]
    points = np.r_[planned.forget, np.arange(1437, 1797)]
    for r, role in enumerate(measurement.facts["roles"]):
        stored = margins["floor" if role == "second oracle" else role]
        expected = [roc_auc_score(truth, stored[m, points]) for m in range(4)]
        assert measurement.arrays["auc"][:, r] == pytest.approx(expected), role


def test_fewer_networks_are_the_first_chunks_of_the_same(measured):
    store, _ = measured
    few, whole = asked(store, models=2), asked(store)
    assert [job.id for job in few.jobs] == [whole.jobs[0].id]
    assert few.models == 2
    with pytest.raises(BadSetting, match="as few as 1"):
        asked(store, models=1)


def test_how_klom_is_measured_names_no_other_analysis(measured):
    store, _ = measured
    other = {**RECIPE, "measuring": {"convention": "easydub"}}
    assert [job.id for job in asked(store, recipe=other).jobs] == [job.id for job in asked(store).jobs]
    assert asked(store, method="unsir").jobs[0].id != asked(store).jobs[0].id


def test_all_that_a_job_stands_on_is_named_before_it(tmp_path):
    store = Store.open(tmp_path / "store")
    question = {"analysis": {"key": "exhibit"}, "recipe": RECIPE, "method": "unsir"}
    while isinstance(found := answerable(question, store, lambda experiment: plan(experiment, store)), tuple):
        for job in [job for job in found if job.kind in ("data", "probe", "forget")]:
            run_job(store, job, Quiet(), small.CPU)
    kinds = [(job.kind, getattr(job.spec, "role", "")) for job in found.before]
    assert ("trained", "original") in kinds
    assert not [kind for kind in kinds if kind[0] in ("unlearned", "evaluation") or kind[1] == "oracle"]
    for job in (*found.before, *found.jobs):
        run_job(store, job, Quiet(), small.CPU)
    assert answered(store, found.answer()).arrays["pictures"].shape[2:] == (1, 8, 8)


def test_what_cannot_be_measured_is_said_in_words(measured):
    store, _ = measured
    with pytest.raises(BadSetting, match="no method 'scrub'"):
        asked(store, method="scrub")
    with pytest.raises(BadSetting, match="makes no pictures"):
        asked(store, key="exhibit")
    with pytest.raises(BadSetting, match="unknown analysis"):
        asked(store, key="nonsense")
    assert asked(store, key="exhibit", method="unsir").models == 2, "the first chunk is enough"


class Runner:
    """Does a job when it is asked for one."""

    def __init__(self, store):
        self.store = store
        self.done = []

    def start_job(self, job):
        self.done.append(job.kind)
        run_job(self.store, job, Quiet(), small.CPU)

    def progress_of(self, job_id):
        return None

    def failure_of(self, job_id):
        return ""

    def stop_job(self, job_id):
        raise AssertionError("nothing was withdrawn")


def test_a_question_has_a_price_first_and_an_answer_then(measured):
    store, _ = measured
    queue, runner = Queue(store.queue_path), Runner(store)
    answers = Answers(store, queue, runner, Planner(store, "cpu"), [1, 2])
    question = {"kind": "analysis", "analysis": {"key": "cka"}, "recipe": RECIPE, "method": "unsir"}

    def answer(**more):
        name = queue.ask({**question, **more})
        for _ in range(100):
            answers.serve(1.0)
            if (found := queue.answer_to(name)) is not None:
                return found
        raise AssertionError("no answer")

    price = answer(price=True)
    assert price["seconds"] > 0
    assert not price["cached"]
    assert "analysis" not in runner.done, "a price measures nothing"
    found = answer()
    assert runner.done.count("analysis") == 2
    layers = len(answered(store, found).facts["layers"])
    assert answered(store, found).arrays["cka"].shape == (4, 5, layers, 3)
    assert answer(price=True) == {"seconds": 0.0, "cached": True}
    assert "no method" in answer(method="scrub")["error"]
    assert "not complete" in answer(analysis=None)["error"]


def test_an_analysis_is_freed_with_the_last_run_of_its_networks(tmp_path):
    store = Store.open(tmp_path / "store")
    queue = Queue(store.queue_path)
    runs = []
    for methods in (RECIPE["methods"][:1], RECIPE["methods"]):
        recipe = {**RECIPE, "methods": methods}
        planned = finish(store, recipe)
        runs.append(queue.submit(recipe, session="a"))
        pieces = [Piece(job.kind, job.spec.artefact(store).key, job.part) for job in planned.jobs]
        note_uses(queue, runs[-1], pieces, complete=True)
        queue.set_status(runs[-1], "running")
        queue.set_status(runs[-1], "done")
    for found in (asked(store), asked(store, method="unsir"), asked(store, key="exhibit", method="unsir")):
        for job in found.jobs:
            run_job(store, job, Quiet(), small.CPU)
    explored = answerable({"analysis": {"key": "map"}, "recipe": RECIPE}, store, lambda e: plan(e, store))
    for job in explored.jobs:
        run_job(store, job, Quiet(), small.CPU)

    def left():
        kinds = [piece.kind for piece in store.pieces()]
        return kinds.count("analysis"), kinds.count("exploration")

    assert left() == (2 + 2 + 1, 1)
    use, unused = disk_use(queue, store, queue.runs())
    assert unused == 0, "what is analysed of a run belongs to it"
    assert use[runs[1]].own > 0
    assert free_unused(queue, store) == 0
    delete_run(queue, store, runs[1])
    assert left() == (2, 1), "those of the method that only it had are gone"
    delete_run(queue, store, runs[0])
    assert left() == (0, 1), "a map serves whoever comes next"


def test_a_spec_is_what_its_json_says(measured):
    store, _ = measured
    for key in ("membership", "exhibit"):
        spec = asked(store, key=key, method="unsir").jobs[0].spec
        assert Analysed.from_json(spec.plain) == spec
    assert set(analyses()) >= {"map", "columns", "exhibit", "cka", "membership"}
