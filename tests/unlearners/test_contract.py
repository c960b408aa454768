"""The contract every method keeps. Each test names the mistake it must catch; new methods are covered by existing."""

import dataclasses
import functools
import itertools

import pytest
import small
import torch

from engine.ensemble import Ensemble
from engine.models import architectures
from engine.task import NotDeclared
from engine.train import last, train
from engine.unlearners import unlearners

SETTINGS = {
    "partial_retrain": {"share": 1.0},
    "gradient_descent": {"epochs": 2, "batch_size": 16},
    "gradient_ascent": {"epochs": 2, "batch_size": 4},
    "neg_grad_plus": {"epochs": 1, "batch_size": 4},
    "scrub": {"epochs": 2, "maximise_epochs": 1, "batch_size": 16, "forget_batch_size": 4},
    "oracle_matching": {"epochs": 2, "batch_size": 16},
    "random_labels": {"epochs": 2, "batch_size": 16},
    "amnesiac": {"epochs": 2, "batch_size": 16},
    "salun": {"epochs": 2, "batch_size": 16},
    "bad_teaching": {"epochs": 2, "batch_size": 16},
    "l1_sparse": {"epochs": 2, "batch_size": 16},
    "ssd": {"alpha": 2.0, "strength": 0.5},
    "distillation": {"epochs": 2, "batch_size": 16},
    "synflow": {"ratio": 0.6, "rounds": 2, "epochs": 2, "batch_size": 16},
    "influence": {"solver": "lissa", "passes": 2, "batch_size": 16, "damping": 0.1},
    "fisher": {"alpha": 1e-3},
    "unsir": {"batch_size": 9, "noise": 1, "shown": 2.0, "noise_steps": 4, "impair_lr": 2e-3, "repair_lr": 1e-3},
    "boundary_shrink": {"epochs": 2, "batch_size": 4, "epsilon": 0.4},
    "boundary_expand": {"epochs": 2, "batch_size": 4},
    "rum": {"epochs": 1, "lr": 0.02},
    "adv_imp": {
        "epochs": 2,
        "batch_size": 4,
        "forget_batch_size": 4,
        "attacks": 2,
        "radius": 0.4,
        "attack_steps": 3,
        "lr": 0.1,
        "strength": 0.5,
    },
    "l2ul": {"lessons": 12, "partitions": 5, "alike": 0.5},
    "deltagrad": {"period": 2, "burn_in": 1, "history": 1},
}
"""Small numbers only: what is left out keeps its default."""
WHERE_IT_MATTERS = {
    ("scrub", "maximise_epochs"): {"epochs": 2},
    ("scrub", "momentum"): {"optimizer": "sgd"},
    ("partial_retrain", "schedule"): {"share": 0.5},
}
"""Settings without which a knob changes nothing, by right: Adam has no momentum, a whole retrain is not cut."""
TEXTS = {("scrub", "decay_after"): "1"}
UNMOVED = {"do_nothing"}
SEEDLESS = UNMOVED | {"ssd", "iau", "usgd", "sisa", "deltagrad", "l2ul"}
"""Methods without chance: SSD reads every example once and sums; SISA and DeltaGrad go on with the originals' own seed;
L2UL's chance is in its lesson, made before."""
TRAINING = {"sisa": {"shards": 3, "slices": 2}, "deltagrad": {"trajectory": True}}
"""How the originals of a method must be trained where plain ones do not fit it."""
BY_CHANCE = {
    "sisa": "which shards hold the forgotten examples is a draw per model: the plan is the mean over draws",
    "unsir": "each class to forget learns noise of its own, and the plan is for one class",
}
"""Methods whose cost is not known beforehand, and why; test_facts_sisa.py and test_facts_unsir.py hold the plan."""
UNEVEN = {
    "sisa": "models retrain different numbers of shards: a step may not move the mean of `seen` by a whole example"
}


def recipe(key=None):
    return small.training(**TRAINING.get(key, {}))


NETWORKS = {"mlp": {"hidden": 8}, "resnet9": {"width": 4}}
FITTING = [
    (key, model)
    for key, method in unlearners().items()
    for model, settings in NETWORKS.items()
    if not method().misfit(recipe(key), architectures()[model](**settings))
]
"""Methods and the networks that they do not refuse."""
STARTS = [
    *((key, m.starts, {}) for key, m in unlearners().items() if m.starts in ("original", "fresh")),
    *(
        (key, choice, {field.name: choice})
        for key, m in unlearners().items()
        for field in m.fields()
        if field.name == m.starts
        for choice in field.knob.choices
    ),
]
"""Each method, where it says it starts, and the settings for that."""
KNOBS = [(key, field.name) for key, method in unlearners().items() for field in method.fields()]


def originals(models=3, net=None, images=None, strategy="stacked", key=None):
    """Return originals trained as a method needs them; those on the usual pictures are trained once, and copied."""
    net, training = small.sharded(net or small.net(), recipe(key)), recipe(key)
    if images is None:
        return usual(net, training, models, strategy).clone()
    return trained(net, images, training, models, strategy)


def trained(net, images, training, models, strategy):
    return last(train(net, images, training, seed=0, role="original", ids=range(models), strategy=strategy)).ensemble


@functools.cache
def usual(net, training, models, strategy):
    return trained(net, small.images(), training, models, strategy)


def make(key, **settings):
    return unlearners()[key](**{**SETTINGS.get(key, {}), **settings})


def run(method, original, *, seed=0, images=None, net=None, oracle_seed=9, reads=None):
    net = net or original.net
    teachers = Ensemble.initial(
        net, seed=oracle_seed, role="oracle", ids=original.ids, device=small.CPU, strategy=original.strategy
    )
    reads = method.card.reads if reads is None else reads
    lesson = small.lesson(net, method, original.ids) if "lesson" in method.card.reads else None
    by = method.prerequisite_settings().get("memorisation scores", {}).get("by", "halves")
    task = small.task(net, images or small.images(), reads, teachers.logits, recipe(method.key), lesson=lesson, by=by)
    return method.unlearn(original, task, seed=seed)


@pytest.mark.parametrize("key", unlearners())
def test_parameters_move(key):
    """Catches an optimiser that holds the wrong model: the 'unlearned' network never changes."""
    original = originals(key=key)
    moved = not small.same(last(run(make(key), original)).ensemble, original)
    assert moved == (key not in UNMOVED)


@pytest.mark.parametrize("key", unlearners())
def test_the_original_is_untouched(key):
    """Catches in-place updates of the models that every other method starts from."""
    original = originals(key=key)
    before = original.clone()
    last(run(make(key), original))
    assert small.same(original, before)


@pytest.mark.parametrize("key", unlearners())
def test_global_state_is_untouched(key):
    """Catches draws from the global generator and a grad mode left switched."""
    original = originals(key=key)
    state = torch.random.get_rng_state()
    last(run(make(key), original))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.is_grad_enabled()
    with torch.no_grad():
        last(run(make(key), original))
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("key", unlearners())
def test_the_seed_decides(key):
    """Catches unseeded randomness, and a seed nobody reads."""
    original = originals(key=key)
    first = last(run(make(key), original)).ensemble
    assert small.same(first, last(run(make(key), original)).ensemble)
    other = last(run(make(key), original, seed=1)).ensemble
    assert small.same(first, other) == (key in SEEDLESS)


@pytest.mark.parametrize("key", unlearners())
def test_models_do_not_talk(key):
    """Catches noise, norms or batches shared between models: one model alone equals its slice of three."""
    original = originals(key=key)
    together = last(run(make(key), original)).ensemble
    for m in range(3):
        assert small.close(together[m : m + 1], last(run(make(key), original[m : m + 1])).ensemble)


@pytest.mark.parametrize("key", unlearners())
def test_it_reads_only_what_its_card_says(key):
    """Catches a method that peeks: what is not declared raises when touched, so a full run proves it is not touched."""
    last(run(make(key), originals(key=key)))


@pytest.mark.parametrize(
    ("key", "what"), [(key, what) for key, method in unlearners().items() for what in method.card.reads]
)
def test_it_reads_all_its_card_says(key, what):
    """Catches a card that claims more than is used."""
    rest = tuple(r for r in make(key).card.reads if r != what)
    with pytest.raises(NotDeclared):
        last(run(make(key), originals(key=key), reads=rest))


@pytest.mark.parametrize(("key", "knob"), KNOBS)
def test_every_knob_matters(key, knob):
    """Catches a knob nobody reads."""
    original = originals(key=key)
    method = make(key, **WHERE_IT_MATTERS.get((key, knob), {}))
    field = next(f for f in method.fields() if f.name == knob)
    value = getattr(method, knob)
    if (key, knob) in TEXTS:
        other = TEXTS[key, knob]
    elif field.knob.choices:
        other = next(c for c in field.knob.choices if c != value)
    elif field.kind == "bool":
        other = not value
    elif field.kind == "int":
        other = value * 2 if value else 1
    else:
        other = value * 0.5 if value and value * 0.5 >= field.knob.low else value * 2 or 0.5
    changed = dataclasses.replace(method, **{knob: other})
    assert not small.same(last(run(method, original)).ensemble, last(run(changed, original)).ensemble)


@pytest.mark.parametrize("key", unlearners())
def test_steps_run_from_zero_to_the_total(key):
    """Catches progress that starts late, jumps, or never arrives."""
    original = originals(key=key)
    snapshots = list(run(make(key), original))
    assert [s.step for s in snapshots] == list(range(snapshots[-1].total + 1))
    assert {s.total for s in snapshots} == {snapshots[-1].total}
    assert not snapshots[0].losses
    assert all(torch.isfinite(loss).all() for s in snapshots for loss in s.losses.values())
    assert all(loss.shape == (3,) for s in snapshots for loss in s.losses.values())
    for before, after in itertools.pairwise(snapshots):
        assert after.seen > before.seen or (key in UNEVEN and after.seen == before.seen)
        assert after.cost > before.cost


@pytest.mark.parametrize(("key", "starts", "settings"), STARTS)
def test_step_zero_is_where_the_method_says_it_starts(key, starts, settings):
    """Catches a method that starts elsewhere: from the originals, or from untrained weights."""
    original = originals(key=key)
    first = next(run(make(key, **settings), original)).ensemble
    same = [torch.equal(first.params[name], weight) for name, weight in original.params.items()]
    assert {"original": all(same), "fresh": not any(same)}[starts]


@pytest.mark.parametrize("key", unlearners())
def test_a_reference_is_of_the_family_of_references(key):
    """Catches a method that is compared with as if it were a reference, and a reference that is named the closest."""
    method = unlearners()[key]
    assert (method.reference != "") == (method.card.family == "reference")


def test_there_is_one_reference_of_each_kind():
    kinds = [method.reference for method in unlearners().values() if method.reference]
    assert kinds == ["do nothing", "retrain", "partial retrain"]


@pytest.mark.parametrize("key", unlearners())
def test_the_planned_cost_is_exact(key):
    """Catches estimates and compute shares that do not match what is really done."""
    method = make(key)
    planned = method.planned_cost(forget=len(small.FORGET), retain=48 - len(small.FORGET), training=recipe(key))
    assert (last(run(method, originals(key=key))).cost == planned) == (key not in BY_CHANCE)


@pytest.mark.parametrize("key", unlearners())
def test_only_methods_that_need_other_originals_refuse_plain_ones(key):
    """Catches a method tested on originals it refuses, or on special ones where plain ones would do."""
    assert make(key).misfit(recipe(key), small.net().architecture) is None
    assert (make(key).misfit(small.training(), small.net().architecture) is not None) == (key in TRAINING)
    if key in TRAINING:
        remedied = small.training(**make(key).remedy)
        assert make(key).misfit(remedied, small.net().architecture) is None


@pytest.mark.parametrize(("key", "model"), FITTING)
def test_stacked_equals_looped(key, model):
    """Catches an algorithm with an opinion about the M axis; the residual network covers batch norm."""
    source = small.data(side=12)
    images = small.images(source)
    net = small.net(architectures()[model](**NETWORKS[model]), source)
    results = []
    for strategy in ("stacked", "looped"):
        original = dataclasses.replace(originals(2, net, images, key=key), strategy=strategy)
        results.append(last(run(make(key), original, images=images)).ensemble)
    # Adam divides by the root of tiny squared gradients, which magnifies rounding.
    assert small.close(*results, 5e-3)


@pytest.mark.parametrize("key", unlearners())
def test_the_card_is_complete(key):
    """Catches a method that the gallery cannot explain."""
    method = unlearners()[key]
    card = method.card
    assert all((card.name, card.summary, card.family, card.formula, card.cost, card.paper, card.year, card.fails))
    known = {"forget", "retain", "oracle outputs", "training record", "memorisation scores", "lesson"}
    assert set(card.reads) <= known
    assert key in {start[0] for start in STARTS}, "starts is original, fresh, or the name of a knob"
    assert method.key == key
    with pytest.raises(dataclasses.FrozenInstanceError):
        method().key = "other"
