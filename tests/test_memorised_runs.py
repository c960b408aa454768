"""A run whose method reads memorisation scores: what it plans, what that costs, what it reads, what it stands on."""

import numpy as np
import pytest
import torch

from engine.answers import estimate
from engine.experiment import resolve
from engine.halves import halves
from engine.images import Images
from engine.memorisation import doubt, memorisation
from engine.plan import data_info, data_job, make_plan
from engine.records import Recipe
from engine.scope import POINT_BYTES, Scope, trained
from engine.store import Store
from engine.stored import load_ensemble, net_of
from engine.train import last, train
from engine.training import Training
from engine.work import run_job
from engine.work.unlearning import prepare

CPU = torch.device("cpu")
HALVES = {"key": "rum", "groups": 2, "epochs": 1}
PROXY = {**HALVES, "scores": "confidence"}


class Quiet:
    def progress(self, share, message):
        pass

    def frame(self, frame):
        pass


def recipe(*methods):
    return resolve(
        Recipe.from_json(
            {
                "format": 1,
                "dataset": {"key": "digits"},
                "model": {"key": "mlp", "hidden": 4},
                "training": {"epochs": 1},
                "forget": {"key": "random", "n": 12},
                "ensemble": {"models": 4, "chunk": 2, "strategy": "stacked"},
                "methods": list(methods),
            }
        )
    )


def run(store, experiment, *, kinds=("data", "forget", "trained", "unlearned")):
    """Do the plan's jobs of these kinds, in an order that their needs allow, and return the whole plan."""
    while True:
        plan = make_plan(experiment, store, "cpu")
        ids = {job.id for job in plan.jobs}
        left = [job for job in plan.jobs if job.kind in kinds and not job.done(store)]
        if not left:
            return plan
        undone = {job.id for job in plan.jobs if not job.done(store)}
        ready = next(job for job in left if not undone & set(job.needs) & ids)
        run_job(store, ready, Quiet(), CPU)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store.open(tmp_path_factory.mktemp("memorised") / "store")


@pytest.fixture(scope="module")
def plan(store):
    return run(store, recipe(HALVES, PROXY))


def jobs(plan, role):
    return [job for job in plan.jobs if job.kind == "trained" and job.spec.role == role]


def unlearned(experiment):
    """Return the spec of its first method, on data that need not be there."""
    job = data_job(experiment)
    scope = Scope(experiment.recipe, {"hash": "data", "train": 40, "test": 8}, job, {}, gone="gone", removed=1)
    return experiment.unlearned_spec(scope, experiment.methods[0], "forget", after=None)


def test_halves_are_planned_and_priced_where_a_method_reads_them_and_nowhere_else(store, plan):
    """Catches training nobody asked for, and training that the price leaves out."""
    on_halves = jobs(plan, "halves")
    assert [job.part for job in on_halves] == ["00000-00002", "00002-00004"]
    info = data_info(recipe(HALVES), store)
    training = Training(epochs=1)
    points = info["train"] + info["test"]
    assert {job.cost for job in on_halves} == {2 * (training.passes * (info["train"] // 2) + points)}
    assert not jobs(run(store, recipe(PROXY, {"key": "do_nothing"}), kinds=("data", "forget")), "halves")
    by_halves, by_proxy = ([j for j in plan.jobs if j.kind == "unlearned" and j.spec.method.settings["scores"] == s]
                           for s in ("halves", "confidence"))  # fmt: skip
    needs = {job.id for job in on_halves}
    assert all(needs <= set(job.needs) for job in by_halves), "every chunk is grouped by all halves"
    first = jobs(plan, "original")[0].id
    assert all(first in job.needs and not needs & set(job.needs) for job in by_proxy)


def test_the_halves_do_not_depend_on_what_is_forgotten(store, plan):
    other = recipe(HALVES).recipe.to_json()
    other["forget"]["n"] = 13
    again = run(store, resolve(Recipe.from_json(other)), kinds=("data", "forget"))
    assert [job.id for job in jobs(again, "halves")] == [job.id for job in jobs(plan, "halves")]
    assert not {job.id for job in jobs(again, "oracle")} & {job.id for job in jobs(plan, "oracle")}


def test_a_result_names_the_networks_and_how_many_it_was_scored_by():
    """Catches a result of 4 networks that is found again by a recipe of 8, whose scores and groups are others."""
    few = recipe(HALVES)
    more = few.recipe.to_json()
    more["ensemble"]["models"] = 8
    many = resolve(Recipe.from_json(more))
    fragments = [unlearned(one).reads["memorisation scores"] for one in (few, many)]
    assert [fragment["models"] for fragment in fragments] == [4, 8]
    assert fragments[0]["networks"] == fragments[1]["networks"] == trained(few.recipe, "data", "halves").plain
    assert not unlearned(recipe({"key": "scrub"})).reads


def test_networks_on_halves_learned_the_half_that_is_told_of_them(store, plan):
    """Catches networks trained on other pictures than the membership tells, or all of a chunk on one half."""
    job = jobs(plan, "halves")[1]
    data = recipe(HALVES).dataset.load(store.data_cache, Quiet().progress)
    images = Images.of(data, "train", CPU)
    for number, position in ((2, 0), (3, 1)):
        mine = halves(job.spec.seed, [number], 1437)[0].nonzero()[:, 0]  # (n,)
        about = {"seed": 0, "role": "halves", "ids": [number], "strategy": "stacked"}
        net = net_of(job.spec.model, job.spec.training, data)
        alone = last(train(net, images, Training(epochs=1), **about, subset=mine)).ensemble
        stored = load_ensemble(store, data, job.spec, job.part, CPU)[0][position : position + 1]
        assert all(torch.allclose(stored.params[k], v, atol=1e-5) for k, v in alone.params.items())


def test_the_scores_are_those_of_the_stored_networks(store, plan):
    """Catches chunks in another order than their members, test pictures among the columns, and a wrong sign."""
    data = recipe(HALVES).dataset.load(store.data_cache, Quiet().progress)
    scores = {}
    for job in plan.jobs:
        if job.kind == "unlearned":
            method, original, task, _ = prepare(store, data, job.spec, job, CPU)
            scores.setdefault(method.scores, []).append(task.read("memorisation scores", original).numpy())
    assert all(np.array_equal(*chunks) for chunks in scores.values()), "every chunk has the same"
    margins = np.concatenate([j.spec.artefact(store).read(j.part).array("margins") for j in jobs(plan, "halves")])[
        :, plan.forget
    ]  # (M, F)
    learned = halves(0, range(4), 1437).numpy()[:, plan.forget]
    expected = memorisation(right=1 / (1 + np.exp(-margins.astype(float))), learned=learned)
    assert np.allclose(scores["halves"][0], expected, atol=1e-6)
    first = jobs(plan, "original")[0]
    margins = first.spec.artefact(store).read(first.part).array("margins")[:, plan.forget]
    assert np.array_equal(scores["confidence"][0], doubt(margins))


def test_the_estimate_before_the_forget_set_is_known_counts_the_halves(store):
    """Catches a price that only learns of the halves once the run has begun."""
    info = data_info(recipe(HALVES), store)
    measured = {"seconds_per_pass": 1.0, "parameters": 0, "peak_bytes": 1, "strategy": "stacked", "device": "cpu"}
    said = {}
    for name, method in (("halves", HALVES), ("proxy", PROXY)):
        fresh = recipe(method).recipe.to_json()
        fresh["seed"] = 7
        experiment = resolve(Recipe.from_json(fresh))
        plan = make_plan(experiment, store, "cpu", suppose=True)
        assert not plan.complete
        said[name] = estimate([plan], measured, store, workers=1)
    training = 4 * (3.0 * (info["train"] // 2) + info["train"] + info["test"])
    assert said["halves"]["seconds"] - said["proxy"]["seconds"] == pytest.approx(training + 2 * 0.1)
    assert said["halves"]["bytes"] - said["proxy"]["bytes"] == 4 * POINT_BYTES * (info["train"] + info["test"])


def test_a_run_stands_on_its_halves(store, plan):
    """Catches deletion of networks that another run's scores came from."""
    key = jobs(plan, "halves")[0].spec.artefact(store).key
    pieces = [(job.spec.artefact(store).key, job.part) for job in plan.jobs if job.spec.owned]
    assert {part for mine, part in pieces if mine == key} == {"00000-00002", "00002-00004"}


def test_a_forget_set_by_memorisation_is_chosen_by_the_same_halves(store, plan):
    """Catches a forget set that does not wait for the networks, trains others, or takes test pictures for training."""
    wanted = recipe({"key": "do_nothing"}).recipe.to_json()
    wanted["forget"] = {"key": "memorised", "end": "most", "n": 9}
    experiment = resolve(Recipe.from_json(wanted))
    before = make_plan(experiment, store, "cpu")
    choose = next(job for job in before.jobs if job.kind == "forget")
    on_halves = jobs(before, "halves")
    assert (
        set(choose.needs) - {before.jobs[0].id}
        == {job.id for job in on_halves}
        == {job.id for job in jobs(plan, "halves")}
    )
    after = run(store, experiment, kinds=("forget",))
    margins = np.concatenate([j.spec.artefact(store).read(j.part).array("margins") for j in on_halves])[:, :1437]
    right = np.exp(-np.logaddexp(0.0, -margins.astype(np.float64)))
    scores = memorisation(right=right, learned=halves(0, range(4), 1437).numpy())
    assert after.forget.tolist() == sorted(np.argsort(-scores, kind="stable")[:9].tolist())
    wanted["ensemble"]["models"] = 8
    more = resolve(Recipe.from_json(wanted))
    sets = [make_plan(one, store, "cpu", suppose=True).forget_set for one in (more, experiment)]
    assert sets[0] != sets[1], "of more networks the choice may be another"
