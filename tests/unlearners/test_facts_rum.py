"""Facts of RUM that only a right implementation satisfies."""

import dataclasses

import pytest
import small
import torch

from engine.experiment import resolve
from engine.knobs import BadSetting
from engine.records import Recipe
from engine.seeds import derive
from engine.task import NotDeclared
from engine.train import last, train
from engine.unlearners import unlearners
from engine.unlearners.rum import BASES

RANKED = [33, 7, 31, 20, 8, 3]
"""The small task's forget set by rising score: its scores are turned round below, so that order is not position."""
SCORES = torch.tensor([0.9, 0.1, 0.8, 0.3, 0.2, 0.0])


@pytest.fixture(scope="module")
def original():
    parts = {"seed": 0, "role": "original", "ids": range(2), "strategy": "stacked"}
    return last(train(small.net(), small.images(), small.training(), **parts)).ensemble


def request(original, reads=None):
    task = small.task(original.net, small.images(), reads or unlearners()["rum"].card.reads)
    return dataclasses.replace(task, _reads={"memorisation scores": lambda _: SCORES})


def numbers(images):
    """Return which training pictures these are."""
    whole = small.images()
    return [int((whole.x == x).flatten(1).all(dim=1).nonzero()[0]) for x in images.x]


@pytest.fixture
def spied(monkeypatch):
    """Return a list that every run of NegGrad+ writes its forget set, retain set and seed into."""
    seen = []
    real = unlearners()["neg_grad_plus"].unlearn

    def spy(self, original, task, *, seed):
        if len(original) > 1:  # and not when it is only asked how many steps it will make
            seen.append((numbers(task.forget), numbers(task.retain), seed, original))
        return real(self, original, task, seed=seed)

    monkeypatch.setattr(unlearners()["neg_grad_plus"], "unlearn", spy)
    return seen


@pytest.mark.parametrize("base", BASES)
def test_one_group_is_the_method_alone(original, base):
    """Catches seeds, sets or step numbers that RUM changes on its way to the method: equal bit for bit."""
    given = {"epochs": 2, "lr": 0.01}
    alone = unlearners()[base](**given)
    task = small.task(original.net, small.images(), alone.card.reads)
    expected = list(alone.unlearn(original, task, seed=5))
    rum = unlearners()["rum"](base=base, groups=1, **given)
    found = list(rum.unlearn(original, request(original), seed=5))
    assert [(s.step, s.total, s.seen, s.cost) for s in found] == [(s.step, s.total, s.seen, s.cost) for s in expected]
    assert small.same(found[-1].ensemble, expected[-1].ensemble)
    for key in expected[-1].losses:
        assert torch.equal(found[-1].losses[key], expected[-1].losses[key])


@pytest.mark.parametrize(
    ("sequence", "expected"), [("low_to_high", RANKED), ("high_to_low", RANKED[4:] + RANKED[2:4] + RANKED[:2])]
)
@pytest.mark.parametrize("waiting", ["kept", "aside"])
def test_groups_come_in_turn_and_every_example_once(original, spied, sequence, expected, waiting):
    """Catches a wrong end first, an example that is skipped or unlearned twice, and one that comes back afterwards."""
    method = unlearners()["rum"](groups=3, epochs=1, sequence=sequence, waiting=waiting)
    last(method.unlearn(original, request(original), seed=5))
    assert [sorted(forget) for forget, *_ in spied] == [sorted(expected[i : i + 2]) for i in (0, 2, 4)]
    always = set(range(48)) - set(RANKED)
    for turn, (_, retain, _, _) in enumerate(spied):
        waits = set(expected[2 * turn + 2 :]) if waiting == "kept" else set()
        assert set(retain) == always | waits
        assert len(retain) == len(set(retain))


def test_a_group_begins_where_the_one_before_ended_with_a_seed_of_its_own(original, spied):
    method = unlearners()["rum"](groups=2, epochs=1)
    result = last(method.unlearn(original, request(original), seed=5)).ensemble
    (_, _, first, start), (_, _, second, between) = spied
    assert small.same(start, original)
    assert not small.same(between, original)
    assert (first, second) == (5, derive(5, "rum:group", 1))
    base = unlearners()["neg_grad_plus"](epochs=1)
    lowest = torch.tensor([1, 4, 5])  # positions in F of the three least memorised
    task = request(original)
    one = task.part(lowest, also_retain=torch.tensor([0, 2, 3]), reads=base.card.reads)
    two = task.part(torch.tensor([0, 2, 3]), also_retain=torch.tensor([], dtype=torch.int64), reads=base.card.reads)
    half = last(base.unlearn(original, one, seed=first)).ensemble
    assert small.same(between, half)
    assert small.same(result, last(base.unlearn(half, two, seed=second)).ensemble)


def test_the_least_memorised_may_be_left_alone_or_have_a_method_of_their_own(original, spied):
    last(unlearners()["rum"](groups=3, epochs=1, low="nothing").unlearn(original, request(original), seed=5))
    assert [sorted(forget) for forget, *_ in spied] == [[20, 31], [3, 8]]
    assert not set(spied[0][1]) & {33, 7}, "what is left alone is to be forgotten nevertheless: it is not retained"
    spied.clear()
    other = unlearners()["rum"](groups=3, epochs=1, low="gradient_descent", sequence="high_to_low")
    last(other.unlearn(original, request(original), seed=5))
    assert [sorted(forget) for forget, *_ in spied] == [[3, 8], [20, 31]]
    alone = list(unlearners()["rum"](groups=1, low="nothing").unlearn(original, request(original), seed=5))
    assert [(s.step, s.total) for s in alone] == [(0, 0)]
    assert small.same(alone[0].ensemble, original)


@pytest.mark.parametrize("settings", [
    {"low": "nothing"},
    {"low": "salun", "sequence": "high_to_low"},
    {"base": "scrub", "waiting": "aside", "groups": 4},
    {"base": "salun", "groups": 20},
])  # fmt: skip
def test_the_cost_is_known_beforehand(original, settings):
    method = unlearners()["rum"](**{"epochs": 1, **settings})
    snapshots = list(method.unlearn(original, request(original), seed=0))
    assert snapshots[-1].cost == method.planned_cost(forget=6, retain=42, training=small.training())
    assert [s.step for s in snapshots] == list(range(snapshots[-1].total + 1))


def test_the_rate_and_the_epochs_reach_the_method():
    """Catches a knob that is not handed on, and 0 taken for a value."""
    rum = unlearners()["rum"]
    sum_of = {
        key: rum(base=key, groups=1).planned_cost(forget=6, retain=42, training=small.training()) for key in BASES
    }
    for key in BASES:
        plain = unlearners()[key]()
        assert sum_of[key] == plain.planned_cost(forget=6, retain=42, training=small.training())
        assert rum(base=key, lr=0.5, epochs=7)._method(lowest=False) == unlearners()[key](lr=0.5, epochs=7)


def test_what_it_may_apply_reads_no_more_than_it_says():
    """Catches a method on the list that would need what RUM does not hand on, or starts from fresh weights."""
    for key in BASES:
        assert set(unlearners()[key].card.reads) <= {"forget", "retain"}, key


def test_a_part_grants_no_more_than_the_task(original):
    """Catches a way round the card: a part of a task must not open what the task keeps shut, nor carry F's scores."""
    task = request(original, reads=("retain", "memorisation scores"))
    part = task.part(torch.tensor([0]), also_retain=torch.tensor([1]), reads=("forget", "retain", "oracle outputs"))
    assert part.reads == ("retain",)
    assert numbers(part.retain)[-1] == 7
    with pytest.raises(NotDeclared):
        _ = part.forget
    with pytest.raises(NotDeclared):
        part.read("memorisation scores", original)
    with pytest.raises(ValueError, match="memorisation scores"):
        task.part(torch.tensor([0]), also_retain=torch.tensor([1]), reads=task.reads).read(
            "memorisation scores", original
        )


def test_what_its_method_refuses_is_refused_before_the_run(monkeypatch):
    recipe = {
        "format": 1,
        "dataset": {"key": "digits"},
        "model": {"key": "mlp"},
        "forget": {"key": "random"},
        "methods": [{"key": "rum", "base": "neg_grad_plus", "low": "salun", "lr": 1e-9}],
    }
    with pytest.raises(BadSetting, match="salun: lr"):
        resolve(Recipe.from_json(recipe))
    recipe["methods"][0]["lr"] = 0
    resolve(Recipe.from_json(recipe))
    monkeypatch.setattr(unlearners()["salun"], "misfit", lambda *_: "SalUn cannot.")
    with pytest.raises(BadSetting, match="SalUn cannot"):
        resolve(Recipe.from_json(recipe))
