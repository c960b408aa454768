"""A run whose method reads memorisation scores: what it plans, what that costs, what it reads, what it stands on."""

import numpy as np
import pytest
import torch
from engine.work.memorising import by_halves, memorised
from engine.work.reading import load_ensemble, net_of

from engine.answers import estimate
from engine.experiment import resolve
from engine.halves import halves
from engine.images import Images
from engine.memorisation import doubt, memorisation
from engine.plan import data_info, make_plan
from engine.queue.uses import _of_result
from engine.records import Recipe, Training
from engine.store import Store
from engine.train import last, train
from engine.work import run_job

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
    return [job for job in plan.jobs if job.kind == "trained" and job.spec["role"] == role]


def test_halves_are_planned_and_priced_where_a_method_reads_them_and_nowhere_else(store, plan):
    """Catches training nobody asked for, and training that the price leaves out."""
    on_halves = jobs(plan, "halves")
    assert [job.part for job in on_halves] == ["00000-00002", "00002-00004"]
    info = data_info(recipe(HALVES), store)
    training = Training(epochs=1)
    points = info["train"] + info["test"]
    assert {job.cost for job in on_halves} == {2 * (training.passes * (info["train"] // 2) + points)}
    assert not jobs(run(store, recipe(PROXY, {"key": "do_nothing"}), kinds=("data", "forget")), "halves")
    by_halves, by_proxy = ([j for j in plan.jobs if j.kind == "unlearned" and j.spec["method"]["scores"] == s]
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
    specs = [one.unlearned_spec("data", "forget", one.methods[0]) for one in (few, many)]
    assert [spec["memorisation"]["models"] for spec in specs] == [4, 8]
    assert specs[0]["memorisation"]["halves"] == few.halves_spec("data") == many.halves_spec("data")
    plain = recipe({"key": "scrub"})
    assert "memorisation" not in plain.unlearned_spec("data", "forget", plain.methods[0])


def test_networks_on_halves_learned_the_half_that_is_told_of_them(store, plan):
    """Catches networks trained on other pictures than the membership tells, or all of a chunk on one half."""
    job = jobs(plan, "halves")[1]
    data = recipe(HALVES).dataset.load(store.data_cache, Quiet().progress)
    images = Images.of(data, "train", CPU)
    for number, position in ((2, 0), (3, 1)):
        mine = halves(job.spec["seed"], [number], 1437)[0].nonzero()[:, 0]  # (n,)
        about = {"seed": 0, "role": "halves", "ids": [number], "strategy": "stacked"}
        alone = last(train(net_of(job.spec, data), images, Training(epochs=1), **about, subset=mine)).ensemble
        stored = load_ensemble(store, data, job.spec, job.part, CPU)[0][position : position + 1]
        assert all(torch.allclose(stored.params[k], v, atol=1e-5) for k, v in alone.params.items())


def test_the_scores_are_those_of_the_stored_networks(store, plan):
    """Catches chunks in another order than their members, test pictures among the columns, and a wrong sign."""
    found = {}
    for job in plan.jobs:
        if job.kind == "unlearned":
            scores = memorised(store, job.spec, job.inputs, 1437, CPU)
            (kind,) = scores
            found.setdefault(kind, []).append(scores[kind].numpy())
    assert all(np.array_equal(*chunks) for chunks in found.values()), "every chunk has the same"
    margins = np.concatenate(
        [store.artefact(j.kind, j.spec).read(j.part).array("margins") for j in jobs(plan, "halves")]
    )[:, plan.forget]  # (M, F)
    learned = halves(0, range(4), 1437).numpy()[:, plan.forget]
    expected = memorisation(right=1 / (1 + np.exp(-margins.astype(float))), learned=learned)
    assert np.allclose(found["halves"][0], expected, atol=1e-6)
    first = jobs(plan, "original")[0]
    margins = store.artefact(first.kind, first.spec).read(first.part).array("margins")[:, plan.forget]
    assert np.array_equal(found["confidence"][0], doubt(margins))


def test_the_estimate_before_the_forget_set_is_known_counts_the_halves(store):
    """Catches a price that only learns of the halves once the run has begun."""
    info = data_info(recipe(HALVES), store)
    measured = {"seconds_per_pass": 1.0, "parameters": 0, "peak_bytes": 1, "strategy": "stacked", "device": "cpu"}
    said = {}
    for name, method in (("halves", HALVES), ("proxy", PROXY)):
        fresh = recipe(method).recipe.to_json()
        fresh["seed"] = 7
        experiment = resolve(Recipe.from_json(fresh))
        plan = make_plan(experiment, store, "cpu")
        assert not plan.complete
        said[name] = estimate(experiment, [plan], info, measured, store, workers=1)
    training = 4 * 3.0 * info["train"] / 2
    assert said["halves"]["seconds"] - said["proxy"]["seconds"] == pytest.approx(training + 2 * 0.1)
    assert said["halves"]["bytes"] - said["proxy"]["bytes"] == 4 * 5 * (info["train"] + info["test"])


def test_a_run_stands_on_its_halves(store, plan):
    """Catches deletion of networks that another run's scores came from, where only results tell what it used."""
    row = next(row for row in plan.rows.values() if "halves" in row.spec["unlearned"]["memorisation"])
    pieces = _of_result(store, {"spec": row.spec, "parts": ["00000-00002"]})
    key = store.artefact("trained", jobs(plan, "halves")[0].spec).key
    assert {piece.part for piece in pieces if piece.key == key} == {"00000-00002", "00002-00004"}


def test_a_forget_set_by_memorisation_is_chosen_by_the_same_halves(store, plan):
    """Catches a forget set that does not wait for the networks, trains others, or takes test pictures for training."""
    wanted = recipe({"key": "do_nothing"}).recipe.to_json()
    wanted["forget"] = {"key": "memorised", "end": "most", "n": 9}
    experiment = resolve(Recipe.from_json(wanted))
    assert experiment.reads_halves()
    before = make_plan(experiment, store, "cpu")
    choose = next(job for job in before.jobs if job.kind == "forget")
    on_halves = jobs(before, "halves")
    assert set(choose.needs) == {job.id for job in on_halves} == {job.id for job in jobs(plan, "halves")}
    after = run(store, experiment, kinds=("forget",))
    scores = by_halves(store, on_halves[0].spec, [job.part for job in on_halves], 1437, np.arange(1437))
    assert after.forget.tolist() == sorted(np.argsort(-scores, kind="stable")[:9].tolist())
    wanted["ensemble"]["models"] = 8
    more = resolve(Recipe.from_json(wanted))
    assert more.forget_spec("data") != experiment.forget_spec("data"), "of more networks the choice may be another"
