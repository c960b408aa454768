"""Requests in a row: what is gone stays gone, methods go on from what they left, and oracles are those of one request.

Every fact is read from a store that the jobs of a plan filled, as the compute process has them done, with tiny models.
"""

import dataclasses

import numpy as np
import pytest
import torch

from engine.answers import estimate
from engine.data.digits import Digits
from engine.experiment import resolve
from engine.images import Images
from engine.jobs import followed, part_models
from engine.knobs import BadSetting
from engine.metrics.klom import klom
from engine.metrics.scores import Scores
from engine.plan import data_info, make_plan, requests
from engine.records import MOST_REQUESTS, Choice, Recipe
from engine.seeds import derive
from engine.store import Store
from engine.stored import load_ensemble, net_of
from engine.task import ForgetTask
from engine.train import train
from engine.training import EnsembleSize, Measuring, Training
from engine.work import run_job

CPU = torch.device("cpu")
CLASSES = tuple(Choice("class", {"classes": c}) for c in "358")
CYCLES = tuple(Choice("random", {"n": 40}) for _ in range(3))
TRAIN = 300


class Quiet:
    def progress(self, share, message):
        pass

    def frame(self, frame):
        pass


def recipe(asked, *methods, models=4, chunk=2, seed=0):
    return Recipe(
        dataset=Choice("digits"),
        model=Choice("mlp", {"hidden": 8}),
        training=Training(epochs=2),
        forget=asked[-1],
        methods=tuple(Choice(m) if isinstance(m, str) else m for m in methods or ("do_nothing",)),
        ensemble=EnsembleSize(models=models, chunk=chunk, strategy="stacked"),
        measuring=Measuring(bootstrap=20),
        seed=seed,
        before=tuple(asked[:-1]),
    )


@dataclasses.dataclass
class Done:
    """A recipe whose jobs are all done, and the order they were done in."""

    store: Store
    wanted: Recipe
    order: list

    @property
    def experiment(self):
        return resolve(self.wanted)

    @property
    def plan(self):
        return make_plan(self.experiment, self.store, "cpu")

    @property
    def data(self):
        return data_info(self.experiment, self.store)["hash"]

    @property
    def asked(self):
        specs = [self.plan.forget_set]
        while specs[0].after is not None:
            specs.insert(0, specs[0].after)
        return requests(specs, self.store)

    def unlearned(self, method="do_nothing"):
        """Return the specs of what a method left at each request, the last one last."""
        last = next(job for job in reversed(self.plan.jobs) if job.kind == "unlearned" and job.method == method)
        specs = [last.spec]
        while specs[0].after is not None:
            specs.insert(0, specs[0].after)
        return specs

    def margins(self, spec):
        parts = [f"{a:05d}-{b:05d}" for a, b in self.wanted.ensemble.chunks()]
        return np.concatenate([spec.artefact(self.store).read(part).array("margins") for part in parts])

    def evaluation(self, method="do_nothing"):
        row = next(row for row in self.plan.rows.values() if row.method == method and row.final)
        return row.spec, row.spec.artefact(self.store).read("whole")


@pytest.fixture(scope="module", autouse=True)
def few():
    """The first 300 digits to learn from and 60 to test on: enough for facts, quick to train on."""
    whole = Digits.load

    def load(self, cache, progress):
        all_of_them = whole(self, cache, progress)
        return dataclasses.replace(
            all_of_them,
            x_train=all_of_them.x_train[:TRAIN],
            y_train=all_of_them.y_train[:TRAIN],
            x_test=all_of_them.x_test[:60],
            y_test=all_of_them.y_test[:60],
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "load", load)
        yield


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Store.open(tmp_path_factory.mktemp("sequence") / "store")


@pytest.fixture
def run(tmp_path, shared):
    """Return a function that does every job of a recipe, in a store shared by this module or in a fresh one."""

    def go(wanted, *, fresh="", backwards=False):
        store = Store.open(tmp_path / fresh) if fresh else shared
        order = []
        while True:
            plan = make_plan(resolve(wanted), store, "cpu")
            pending = {job.id: job for job in plan.jobs if not job.done(store)}
            if plan.complete and not pending:
                return Done(store, wanted, order)
            ready = [job for job in pending.values() if not any(need in pending for need in job.needs)]
            job = ready[-1 if backwards else 0]
            run_job(store, job, Quiet(), CPU)
            order.append(job)

    return go


def test_a_sequence_survives_json_and_lists_one_recipe_for_each_request():
    whole = recipe(CLASSES)
    assert Recipe.from_json(whole.to_json()) == whole
    first, second, third = whole.sequence()
    assert third == whole
    assert (first.before, first.forget) == ((), CLASSES[0])
    assert (second.before, second.forget) == (CLASSES[:1], CLASSES[1])
    assert len({one.hash() for one in whole.sequence()}) == 3
    assert first.sequence() == (first,)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("class:3", "before must be a list of forget sets"),
        ([{"classes": "3"}], r'before\[0\] must be an object with a "key"'),
        ([{"key": "random", "n": 1}] * MOST_REQUESTS, "at most 20 requests, not 21"),
    ],
)
def test_a_bad_sequence_is_refused_in_words(before, said):
    with pytest.raises(BadSetting, match=said):
        Recipe.from_json({**recipe(CLASSES).to_json(), "before": before})


def test_the_same_pictures_cannot_be_asked_for_twice():
    with pytest.raises(BadSetting, match="request 3 asks for class 5, which request 1 already removed"):
        resolve(recipe((CLASSES[1], CLASSES[0], CLASSES[1])))
    assert resolve(recipe(CYCLES)).before, "chance finds others the second time"


def test_a_method_that_reads_what_only_the_originals_left_is_refused(monkeypatch):
    assert resolve(recipe(CYCLES, "usgd"))
    monkeypatch.setattr("engine.unlearners.usgd.USGD.goes_on", False)
    with pytest.raises(BadSetting, match="usgd: it reads the training record, which tells of the originals"):
        resolve(recipe(CYCLES, "usgd"))
    assert resolve(recipe(CYCLES[:1], "usgd"))


def test_requests_take_different_pictures_and_the_hash_of_all_is_that_of_one_request(run):
    done = run(recipe(CYCLES))
    one, two, three = done.asked
    sets = [set(one.forget), set(two.forget), set(three.forget)]
    assert [len(s) for s in sets] == [40, 40, 40]
    assert len(set.union(*sets)) == 120
    assert set(three.earlier) == sets[0] | sets[1]
    whole = np.sort(np.concatenate([one.forget, two.forget, three.forget]))
    together = run(recipe([Choice("indices", {"indices": ",".join(map(str, whole))})]))
    assert together.asked[0].hash == three.gone != three.hash


def test_oracles_and_floor_are_those_of_one_request_for_everything(run):
    done = run(recipe(CLASSES))
    spec, _ = done.evaluation()
    single, _ = run(recipe([Choice("class", {"classes": "3,5,8"})])).evaluation()
    for role in ("oracle", "floor"):
        assert spec.ensembles[role] == single.ensembles[role]
    single = run(recipe([Choice("class", {"classes": "3,5,8"})]))
    assert not [job for job in single.order if job.kind == "trained"], "they were trained once"


class Spy(Exception):
    """Carries what a method was given."""


def given(monkeypatch, done, number):
    """Return the networks and the task that request ``number`` gives the method ``do_nothing``."""

    def look(self, original, task, *, seed):
        raise Spy(original, task, seed)

    monkeypatch.setattr("engine.unlearners.references.DoNothing.unlearn", look)
    jobs = [job for job in done.plan.jobs if job.kind == "unlearned" and job.spec.number == number]
    jobs[0].spec.artefact(done.store).discard(jobs[0].part)
    with pytest.raises(Spy) as seen:
        run_job(done.store, jobs[0], Quiet(), CPU)
    return seen.value.args


def test_nothing_that_is_gone_is_retained_and_each_request_has_its_own_stream(run, monkeypatch):
    """Catches a retain set that is only the complement of the current request."""
    done = run(recipe(CLASSES), fresh="spied")
    labels = done.plan.jobs[0].spec.artefact(done.store).read("whole").array("labels")[:TRAIN]
    seeds = []
    for number, asked in ((3, 8), (2, 5), (1, 3)):  # from the last, for a request is looked at by undoing it
        _, task, seed = given(monkeypatch, done, number)
        task = dataclasses.replace(task, reads=("forget", "retain"))
        gone = [3, 5, 8][:number]
        assert set(task.forget.y.tolist()) == {asked}
        assert set(task.retain.y.tolist()) == set(range(10)) - set(gone)
        assert len(task.retain) == np.isin(labels, gone, invert=True).sum()
        seeds.append(seed)
    assert seeds[-1] == derive(0, "unlearn:do_nothing"), "the first request is the single run that it is"
    assert len(set(seeds)) == 3


def test_doing_nothing_three_times_leaves_the_originals(run):
    done = run(recipe(CLASSES))
    specs = done.unlearned()
    assert [spec.number for spec in specs] == [1, 2, 3]
    originals = done.margins(specs[0].original)
    for spec in specs:
        assert np.array_equal(done.margins(spec), originals)


def test_a_method_goes_on_from_what_it_left(run):
    """Catches a chain that starts at the originals each time."""
    done = run(
        recipe(CLASSES, Choice("gradient_ascent", {"lr": 1e-3, "ceiling": 0.0}), Choice("neg_grad_plus", {"epochs": 1}))
    )
    for method in ("gradient_ascent", "neg_grad_plus"):
        first, second, third = done.unlearned(method)
        part = "00000-00002"
        data = Digits().load(done.store.data_cache, Quiet().progress)
        begun, _ = load_ensemble(done.store, data, second, part, CPU)
        images = Images.of(data, "train", CPU)
        here = done.asked[2]
        kept = np.setdiff1d(np.arange(len(images)), np.union1d(here.forget, here.earlier))
        chosen = next(m for m in done.experiment.methods if m.key == method)
        task = ForgetTask(
            net=begun.net,
            training=done.wanted.training,
            reads=chosen.card.reads,
            _forget=images.take(torch.tensor(here.forget)),
            _retain=images.take(torch.from_numpy(kept)),
        )
        seed = derive(0, f"unlearn:{method}", 2)
        *_, last = chosen.unlearn(begun, task, seed=seed)
        stored, _ = load_ensemble(done.store, data, third, part, CPU)
        for name, tensor in stored.tensors().items():
            assert torch.equal(tensor, last.ensemble.tensors()[name]), (method, name)
        assert not np.array_equal(done.margins(first), done.margins(second))


def test_retraining_at_each_request_is_retraining_without_everything_that_is_gone(run):
    done = run(recipe(CYCLES, "retrain"))
    spec = done.unlearned("retrain")[-1]
    data = Digits().load(done.store.data_cache, Quiet().progress)
    here = done.asked[-1]
    kept = np.setdiff1d(np.arange(len(data.y_train)), np.union1d(here.forget, here.earlier))
    *_, last = train(
        net_of(spec.original.model, spec.original.training, data),
        Images.of(data, "train", CPU),
        done.wanted.training,
        seed=derive(0, "unlearn:retrain", 2),
        role="retrain",
        ids=part_models("00000-00002"),
        strategy="stacked",
        subset=torch.from_numpy(kept),
    )
    stored, _ = load_ensemble(done.store, data, spec, "00000-00002", CPU)
    for name, tensor in stored.tensors().items():
        assert torch.allclose(tensor, last.ensemble.tensors()[name], atol=1e-6), name


def test_unrolling_in_steps_is_unrolling_at_once(run):
    """USGD adds one term per picture, at the initial weights: requests in a row come to their union.

    Catches a record that forgets which pictures the request is about, and a chain that loses an earlier request.
    """
    usgd = Choice("usgd", {"scale": 0.3})
    steps = run(recipe(CLASSES, usgd))
    once = run(recipe([Choice("class", {"classes": "3,5,8"})], usgd))
    a, b = steps.margins(steps.unlearned("usgd")[-1]), once.margins(once.unlearned("usgd")[-1])
    assert np.allclose(a, b, atol=1e-3)
    assert not np.allclose(a, steps.margins(steps.unlearned("usgd")[0]), atol=1e-2)


def test_the_last_recipe_alone_gives_what_running_each_in_order_gives(run):
    whole = recipe(CYCLES, "do_nothing", "neg_grad_plus", Choice("oracle_matching", {"epochs": 1}))
    for one in whole.sequence():
        in_order = run(one, fresh="in order")
    alone = run(whole, fresh="alone", backwards=True)
    for method in ("do_nothing", "neg_grad_plus", "oracle_matching"):
        (spec, a), (other, b) = in_order.evaluation(method), alone.evaluation(method)
        assert spec == other
        for name in ("klom", "floor", "klom_other"):
            assert np.array_equal(a.array(name), b.array(name))
        one, other = (part.json("scores") for part in (a, b))
        for scores in (one, other):
            scores["rows"] = [row for row in scores["rows"] if row["metric"] != "seconds"]
        assert one == other
    earlier = [job for job in in_order.order if job.kind == "unlearned" and job.earlier]
    assert earlier == [], "what the earlier runs left is not computed again"
    oracles = [job for job in alone.order if job.kind == "trained" and job.spec.role == "oracle"]
    assert {job.spec.subset for job in oracles} == {f"without:{alone.asked[-1].gone}"}


def test_a_later_run_stands_on_what_the_earlier_ones_left(run):
    """What deleting a run may free is read from the plans: a later request's must name what it begins with."""
    last = run(recipe(CYCLES))
    for one in last.wanted.sequence()[:-1]:
        left = {job.id for job in make_plan(resolve(one), last.store, "cpu").jobs if job.kind == "unlearned"}
        assert left
        assert left <= {job.id for job in last.plan.jobs}


def test_model_i_does_not_depend_on_the_chunks(run):
    small = run(recipe(CYCLES[:2], "neg_grad_plus", chunk=2), fresh="two")
    large = run(recipe(CYCLES[:2], "neg_grad_plus", chunk=4), fresh="four")
    a, b = (one.margins(one.unlearned("neg_grad_plus")[-1]) for one in (small, large))
    assert np.allclose(a, b, atol=1e-4)


def test_what_is_gone_is_measured_as_a_split_of_its_own(run):
    done = run(recipe(CLASSES))
    spec, part = done.evaluation()
    rows = {row["split"]: row for row in Scores.from_json(part.json("scores")).wide()}
    assert list(rows) == ["forget", "retain", "test", "earlier"]
    here = done.asked[-1]
    unlearned, oracle = done.margins(spec.unlearned), done.margins(spec.oracle)
    per_point = klom(oracle=oracle, unlearned=unlearned)
    assert rows["earlier"]["klom_p95"] == pytest.approx(np.quantile(per_point[here.earlier], 0.95))
    kept = np.setdiff1d(np.arange(TRAIN), np.union1d(here.forget, here.earlier))
    assert rows["retain"]["klom_p95"] == pytest.approx(np.quantile(per_point[kept], 0.95))
    assert rows["forget"]["klom_p95"] == pytest.approx(np.quantile(per_point[here.forget], 0.95))
    first = run(done.wanted.sequence()[0])
    assert Scores.from_json(first.evaluation()[1].json("scores")).splits == ["forget", "retain", "test"]


def test_curves_follow_nothing_that_is_gone():
    ids = followed(forget=np.array([4, 1]), train=10, points=12, earlier=np.array([0, 7]))
    assert {k: v.tolist() for k, v in ids.items()} == {
        "forget": [1, 4],
        "retain": [2, 3, 5, 6, 8, 9],
        "test": [10, 11],
    }


def test_the_estimate_of_a_sequence_counts_shared_work_once_and_what_is_there_not_at_all(run):
    done = run(recipe(CYCLES))
    measured = {
        "seconds_per_pass": 1e-6, "parameters": 10, "peak_bytes": 1, "strategy": "stacked", "device": "cpu",
    }  # fmt: skip

    def asked(*recipes):
        plans = [make_plan(resolve(one), done.store, "cpu", suppose=True) for one in recipes]
        return estimate(plans, measured, done.store, workers=1)

    whole = recipe((*CYCLES, Choice("class", {"classes": "7"})))
    assert asked(done.wanted)["cached"]
    assert not asked(*done.wanted.sequence())["cached"], "the earlier requests were not measured"
    last, all_of_them = asked(whole), asked(*whole.sequence())
    assert 0 < last["seconds"] < all_of_them["seconds"]
    assert last["bytes"] < all_of_them["bytes"]
