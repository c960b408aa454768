"""SISA: what only a right implementation does. The result is the retraining, and only what must be is retrained."""

import dataclasses
import math
import random

import numpy as np
import pytest
import small
import torch

from engine.descent import Stepper
from engine.experiment import resolve
from engine.jobs import Job
from engine.knobs import BadSetting
from engine.metrics.cost import Compute
from engine.metrics.scores import Scores
from engine.models import architectures
from engine.record import TrainingRecord
from engine.records import Recipe
from engine.scope import trained
from engine.sharding import cut, expected_cost, first_touched
from engine.store import Store
from engine.stored import load_ensemble
from engine.task import ForgetTask, NotDeclared
from engine.train import last, train
from engine.training import Training
from engine.unlearners import unlearners
from engine.work import run_job

FEW = {"logistic": {}, "mlp": {"hidden": 8}, "cnn": {"channels": 4}, "resnet9": {"width": 4}}


class Case:
    """Originals trained in shards, their slices, and one request to forget."""

    def __init__(self, forget, *, key="mlp", strategy="stacked", models=3, side=4, n=48, **settings):
        self.recipe = small.training(**{"shards": 3, "slices": 3, "epochs": 4, **settings})
        source = small.data(side=side, train=n)
        self.images = small.images(source)
        self.net = small.sharded(small.net(architectures()[key](**FEW[key]), source), self.recipe)
        self.about = {"seed": 0, "role": "original", "ids": range(models), "strategy": strategy}
        self.slices = []
        self.original = last(
            train(self.net, self.images, self.recipe, **self.about, checkpoint=self.slices.append)
        ).ensemble
        self.gone = torch.zeros(n, dtype=torch.bool)
        self.gone[torch.tensor(forget)] = True
        self.kept = (~self.gone).nonzero()[:, 0]
        self.first = first_touched(
            cut(n, self.recipe, seed=0, role="original", ids=range(models)), self.gone, self.recipe
        )
        self.looked_at = []

    def task(self, **changes):
        def after(slice_):
            self.looked_at.append(slice_)
            return self.slices[slice_]

        def record(original):
            about = {"size": len(self.images), "forget": self.gone.nonzero()[:, 0], "seed": 0, "role": "original"}
            return TrainingRecord(original=original, training=self.recipe, _after=after, **about)

        return ForgetTask(
            net=self.net,
            training=self.recipe,
            reads=unlearners()["sisa"].card.reads,
            **{
                "_forget": self.images.take(self.gone.nonzero()[:, 0]),
                "_retain": self.images.take(self.kept),
                "_numbers": self.kept,
                "_reads": {"training record": record},
                **changes,
            },
        )

    def run(self, **changes):
        return list(unlearners()["sisa"]().unlearn(self.original, self.task(**changes), seed=5))

    def from_scratch(self):
        return last(train(self.net, self.images, self.recipe, **self.about, subset=self.kept))


def network(ensemble, m, s):
    tensors = {**ensemble.params, **ensemble.buffers}
    return {k: v[m] for k, v in tensors.items() if k.split(".")[1] == str(s)}


def equal(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
@pytest.mark.parametrize("key", FEW)
@pytest.mark.parametrize("slices", [1, 3])
def test_it_is_bit_for_bit_the_training_without_the_forgotten(key, strategy, slices):
    """The paper's whole claim. Catches a stream, a schedule or a checkpoint that knows what was forgotten."""
    side = 16 if key == "resnet9" else 4
    case = Case([5, 17], key=key, strategy=strategy, slices=slices, side=side)
    result, truth = case.run()[-1].ensemble, case.from_scratch().ensemble
    if (key, strategy) == ("resnet9", "stacked"):  # how many are stacked decides the order of a convolution's sums
        assert small.close(result, truth, 2e-3)
    else:
        assert small.same(result, truth)
    touched = case.first < slices  # (M, S)
    assert touched.any()
    assert not touched.all()
    for m, s in np.ndindex(3, 3):
        assert equal(network(result, m, s), network(case.original, m, s)) != bool(touched[m, s])


@pytest.mark.parametrize("key", ["mlp", "cnn"])
def test_a_lone_network_is_computed_as_in_company(key):
    """Catches a last digit that says how many others had as many examples: a stack of one is computed otherwise."""
    recipe = small.training(shards=3)
    piece = cut(49, recipe, seed=0, role="original", ids=[0])[0]
    assert torch.bincount(piece).tolist() == [17, 16, 16]
    case = Case([int((piece == 0).nonzero()[0])], key=key, models=1, n=49, side=8, slices=1)
    assert small.same(case.run()[-1].ensemble, case.from_scratch().ensemble)


@pytest.mark.parametrize("seed", range(6))
def test_any_forget_set_is_forgotten_exactly(seed):
    """Random sizes and settings: catches what one lucky forget set hides, such as a shard of which nothing is left."""
    draw = random.Random(seed)
    case = Case(
        draw.sample(range(48), draw.choice([1, 2, 10, 30, 44])),
        shards=draw.choice([1, 2, 5]),
        slices=draw.choice([2, 4]),
        vote=draw.choice(["mean", "majority"]),
        optimizer=draw.choice(["sgd", "adam"]),
        batch_size=draw.choice([5, 16]),
    )
    assert small.same(case.run()[-1].ensemble, case.from_scratch().ensemble)


def test_what_is_forgotten_is_never_looked_at():
    """Catches a peek: other pictures and labels in the forgotten places change nothing, and there is no forget set."""
    case = Case([5, 17, 30])
    clean = case.run()[-1].ensemble
    case.images.x[case.gone], case.images.y[case.gone] = 255, 0
    poisoned = case.images.take(case.gone.nonzero()[:, 0])
    assert small.same(case.run(_forget=poisoned)[-1].ensemble, clean)
    with pytest.raises(NotDeclared):
        _ = case.task().forget


def passes_by_hand(case):
    """Examples visited by the networks that must be retrained, mean over models."""
    piece = cut(len(case.gone), case.recipe, seed=0, role="original", ids=range(len(case.original)))
    visits = 0
    for m, s in np.ndindex(len(case.original), case.recipe.shards):
        gone = [int(p) % case.recipe.slices for p in piece[m][case.gone] if int(p) // case.recipe.slices == s]
        for r in range(min(gone, default=case.recipe.slices), case.recipe.slices):
            start = s * case.recipe.slices
            mine = (piece[m] >= start) & (piece[m] <= start + r) & ~case.gone
            visits += case.recipe.slice_epochs[r] * int(mine.sum())
    return visits / len(case.original)


@pytest.mark.parametrize("forget", [[5], [5, 17], list(range(20))])
def test_it_starts_at_the_last_clean_slice_and_costs_what_it_does(forget, monkeypatch):
    """Catches retraining from scratch and a price that is not the work; every gradient step is counted."""
    case = Case(forget, n=50)
    work = []
    step = Stepper.step

    def counted(self, loss, *batch, **more):
        # A lone network has a twin beside it in a stack, which is no part of the method.
        ids = self._start.ids
        work.append(len(set(ids)) * batch[0].shape[1])
        return step(self, loss, *batch, **more)

    monkeypatch.setattr(Stepper, "step", counted)
    snapshots = case.run()
    assert sum(work) / 3 == pytest.approx(passes_by_hand(case))
    assert snapshots[-1].cost == pytest.approx(passes_by_hand(case) * case.recipe.passes)
    assert snapshots[-1].seen == round(passes_by_hand(case))
    assert len(work) == snapshots[-1].total == len(snapshots) - 1
    scratch = case.from_scratch()
    assert snapshots[-1].cost <= scratch.cost
    if len(forget) == 1:
        assert snapshots[-1].cost < 0.4 * scratch.cost, "one shard of three, from some slice on"


def test_only_the_slices_it_starts_from_are_read():
    """Catches weights read that nobody needs: they can be gigabytes."""
    case = Case([5])
    case.run()
    wanted = {int(r) - 1 for r in case.first.unique() if 0 < r < 3}
    assert sorted(case.looked_at) == sorted(wanted)
    one = Case([5, 17, 30], slices=1)
    one.run()
    assert one.looked_at == []


def test_frames_hold_all_models_and_turn_shard_by_shard():
    """Catches frames of half the models, and untouched shards that move on the way."""
    case = Case([5])
    snapshots = case.run()
    begun = case.first.min(dim=1).values == case.first.min()  # the slice the first of all begins with
    (loss,) = snapshots[1].losses.values()
    assert begun.any()
    if not begun.all():
        assert torch.allclose(loss[~begun], loss[begun].mean()), "who has not begun has the mean of those who have"
    still = (case.first == 3).nonzero().tolist()
    assert len(still) == 6
    generator = unlearners()["sisa"]().unlearn(case.original, case.task(), seed=5)
    for snapshot in generator:
        assert len(snapshot.ensemble) == 3
        for m, s in still:
            assert equal(network(snapshot.ensemble, m, s), network(case.original, m, s))
    assert small.same(
        next(iter(unlearners()["sisa"]().unlearn(case.original, case.task(), seed=5))).ensemble, case.original
    )
    assert [s.step for s in snapshots] == list(range(snapshots[-1].total + 1))


def test_the_plan_is_the_mean_over_the_draw():
    """Catches a formula for another draw: the mean over 4,000 models of what each would do."""
    for forget, settings in (
        (1, {}),
        (3, {}),
        (9, {"shards": 4, "slices": 2}),
        (40, {"slices": 1}),
        (2, {"shards": 1}),
    ):
        recipe = small.training(**{"shards": 3, "slices": 4, "epochs": 5, **settings})
        piece = cut(48, recipe, seed=0, role="original", ids=range(4000))
        gone = torch.zeros(48, dtype=torch.bool)
        gone[:forget] = True
        first = first_touched(piece, gone, recipe)  # (M, S)
        visits = torch.zeros(4000)
        for s in range(recipe.shards):
            for r, epochs in enumerate(recipe.slice_epochs):
                start = s * recipe.slices
                mine = (piece >= start) & (piece <= start + r) & ~gone
                visits += epochs * mine.sum(dim=1) * (first[:, s] <= r)
        cost = visits * recipe.passes
        planned = expected_cost(forget=forget, retain=48 - forget, training=recipe)
        assert planned == pytest.approx(float(cost.mean()), abs=5 * float(cost.std()) / math.sqrt(4000) + 1e-3)
        assert planned == unlearners()["sisa"]().planned_cost(forget=forget, retain=48 - forget, training=recipe)
    everything = small.training(shards=3, slices=2)
    assert expected_cost(forget=24, retain=24, training=everything) == pytest.approx(
        everything.passes * everything.visits * 24, rel=0.01
    ), "nothing is spared when half is forgotten"


def test_more_shards_and_slices_spare_more():
    """The paper's trade: for one example, 1 / S of a retrain and about two thirds of that with many slices."""
    for shards in (2, 8):
        recipe = Training(shards=shards)
        assert expected_cost(forget=1, retain=959, training=recipe) == pytest.approx(
            recipe.passes * recipe.visits * 959 / shards, rel=0.01
        )
    sliced = Training(shards=8, slices=20, epochs=210)
    share = expected_cost(forget=1, retain=959, training=sliced) / (sliced.passes * sliced.visits * 959 / 8)
    assert share == pytest.approx(2 / 3, abs=0.04)


def test_originals_in_one_piece_are_refused_before_anything_is_trained():
    def recipe(method, **training):
        return Recipe.from_json(
            {
                "format": 1,
                "dataset": {"key": "digits"},
                "model": {"key": "mlp"},
                "training": training,
                "forget": {"key": "random"},
                "methods": [{"key": method}],
            }
        )

    with pytest.raises(
        BadSetting, match="SISA needs originals trained in shards: set shards under Training to 2 or more"
    ):
        resolve(recipe("sisa"))
    resolve(recipe("sisa", shards=2))
    resolve(recipe("sisa", slices=2))
    resolve(recipe("sisa", **unlearners()["sisa"].remedy))
    for method in ("usgd", "synflow"):
        resolve(recipe(method))
        with pytest.raises(BadSetting, match="shards"):
            resolve(recipe(method, shards=2))


class Quiet:
    def progress(self, share, message):
        pass

    def frame(self, values):
        pass


def jobs(experiment, store):
    """Do every job of a recipe here, without a compute process."""
    from engine.plan import make_plan

    for _ in range(4):
        plan = make_plan(experiment, store, "cpu")
        for job in plan.jobs:
            run_job(store, job, Quiet(), small.CPU)
        if plan.complete and all(job.done(store) for job in plan.jobs):
            return plan
    raise AssertionError("the plan never ends")


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_from_a_recipe_to_the_store_and_back(tmp_path, strategy):
    """A whole run in two chunks: catches slices lost in the store, a wrong seed or role, forget indices mixed up."""
    experiment = resolve(
        Recipe.from_json(
            {
                "format": 1,
                "dataset": {"key": "digits"},
                "model": {"key": "mlp", "hidden": 8},
                "training": {"epochs": 2, "shards": 4, "slices": 2},
                "forget": {"key": "random", "n": 3},
                "methods": [{"key": "do_nothing"}, {"key": "retrain"}, {"key": "sisa"}],
                "ensemble": {"models": 5, "chunk": 3, "strategy": strategy},
                "seed": 4,
            }
        )
    )
    store = Store.open(tmp_path)
    plan = jobs(experiment, store)
    from engine.data import datasets

    data = datasets()["digits"]().load(store.data_cache, lambda *_: None)
    spec = trained(experiment.recipe, data.hash, "original")
    forgetting = next(j for j in plan.jobs if j.kind == "unlearned" and j.method == "sisa")
    forget_hash = forgetting.spec.forget
    unlearned = forgetting.spec.artefact(store)
    # The truth: trained on the rest, with the original's seed and role, under a name of its own.
    truth = Job(
        dataclasses.replace(spec, subset=f"without:{forget_hash}"),
        "00000-00003",
        inputs={"dataset": {"key": "digits"}, "strategy": strategy, "forget": plan.forget_set},
    )
    run_job(store, truth, Quiet(), small.CPU)
    wanted, wanted_margins = load_ensemble(store, data, truth.spec, truth.part, small.CPU)
    part = unlearned.read(truth.part)
    for name, tensor in wanted.tensors().items():
        assert np.array_equal(part.tensors("weights")[name], tensor.numpy()), name
    assert np.array_equal(part.array("margins"), wanted_margins)
    unlearned.discard(truth.part)  # as if it had been stopped in the middle: it is done again from what is there
    jobs(experiment, store)
    again = unlearned.read(truth.part).tensors("weights")
    assert all(np.array_equal(again[name], tensor.numpy()) for name, tensor in wanted.tensors().items())
    costs = [unlearned.read(p).json("meta")["cost"] for p in ("00000-00003", "00003-00005")]
    final = next(j for j in plan.jobs if j.kind == "evaluation" and j.method == "sisa" and plan.rows[j.id].final)
    scores = Scores.from_json(final.spec.artefact(store).read("whole").json("scores"))
    oracles = trained(experiment.recipe, data.hash, "oracle", forget_hash).artefact(store)
    retrains = [oracles.read(p).json("meta")["cost"] for p in ("00000-00003", "00003-00005")]
    assert costs[0] != costs[1], "chance decides, so every chunk counts"
    said = scores.value(Compute, "forget")
    assert said == pytest.approx(np.average(costs, weights=[3, 2]) / np.average(retrains, weights=[3, 2]))
    assert said < 1
    assert spec.artefact(store).read("00000-00003").tensors("slices")
    with pytest.raises(Exception, match="has no slices"):
        oracles.read("00000-00003").tensors("slices")


@pytest.mark.parametrize("key", ["retrain", "partial_retrain"])
def test_a_retrain_is_cut_as_an_oracle_is(key):
    """Catches shards drawn anew over what is left: by the examples' numbers among all, as for oracles."""
    case = Case([5, 17, 30])
    method = unlearners()[key](**({"share": 1.0, "schedule": "squeezed"} if key == "partial_retrain" else {}))
    result = last(method.unlearn(case.original, dataclasses.replace(case.task(), reads=("retain",)), seed=5))
    about = {**case.about, "seed": 5, "role": key}
    truth = last(train(case.net, case.images, case.recipe, **about, subset=case.kept))
    assert small.same(result.ensemble, truth.ensemble)
    assert result.cost == truth.cost
    planned = method.planned_cost(forget=3, retain=45, training=case.recipe)
    assert result.cost == pytest.approx(planned, rel=0.05), "how many of the forgotten lie in which slice is chance"


def test_other_methods_work_on_networks_in_shards():
    """Every method that does not refuse runs on a network of shards, both votes, and stays finite."""
    from engine.ensemble import Ensemble

    recipe = small.training(shards=2, slices=2)
    for vote in ("mean", "majority"):
        told = dataclasses.replace(recipe, vote=vote)
        net = small.sharded(small.net(), told)
        original = last(
            train(net, small.images(), told, seed=0, role="original", ids=range(2), strategy="stacked")
        ).ensemble
        teachers = Ensemble.initial(net, seed=9, role="o", ids=range(2), device=small.CPU, strategy="stacked")
        for key, method in unlearners().items():
            made = method(**({"rounds": 2} if key == "synflow" else {}))
            if made.misfit(told, net.architecture) is not None:
                assert key in {"usgd", "synflow", "l2ul", "deltagrad", "partial_retrain"}
                continue
            task = small.task(net, small.images(), made.card.reads, teachers.logits, told)
            result = last(made.unlearn(original, task, seed=0))
            assert torch.isfinite(result.ensemble.logits_shared(small.images().pictures(slice(0, 5)))).all(), key
            if key not in {"sisa", "retrain", "partial_retrain"}:
                planned = made.planned_cost(forget=6, retain=42, training=told)
                assert result.cost == pytest.approx(planned), key
