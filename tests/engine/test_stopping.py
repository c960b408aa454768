"""Early stopping: each model by its own held-out examples, alone or in company, and off it changes nothing."""

import dataclasses

import pytest
import small
import torch
import torch.nn.functional as F

from engine.ensemble import Ensemble
from engine.models import architectures
from engine.stopping import Stopping
from engine.streams import Streams
from engine.task import ForgetTask
from engine.train import last, train
from engine.training import Training
from engine.unlearners import unlearners

EAGER = {"epochs": 60, "patience": 2, "held_out": 0.25, "lr": 0.3, "schedule": "constant", "weight_decay": 0.01}
"""Rates at which models stop after different numbers of epochs."""


def snapshots(recipe, ids=(0, 1, 2, 3), images=None, net=None, strategy="stacked", **more):
    for snapshot in train(
        net or small.net(), images or small.images(), recipe, seed=0, role="r", ids=list(ids), strategy=strategy, **more
    ):
        yield dataclasses.replace(snapshot, ensemble=snapshot.ensemble.clone())


def held(ids, n=48, count=12):
    return Streams(0, "r:held out", list(ids), small.CPU).permutation(n)[:, :count]


def loss_of(ensemble, m, positions):
    images = small.images()
    return float(F.cross_entropy(ensemble.logits_shared(images.pictures(positions))[m], images.y[positions]))


def by_hand(recipe, number):
    """One model alone: losses of its held-out examples after each epoch, and its weights then, as far as it went."""
    positions = held([number])[0]
    alone = dataclasses.replace(recipe, patience=0)
    order = Streams(0, "r:held out", [number], small.CPU).permutation(48)[0]
    after = [s for s in snapshots(alone, [number], subset=order[12:]) if s.step and s.step % 3 == 0]
    losses = [loss_of(s.ensemble, 0, positions) for s in after]
    best = 0
    for epoch, loss in enumerate(losses):
        best = epoch if loss < losses[best] else best
        if epoch - best >= recipe.patience:
            break
    return epoch + 1, after[best].ensemble, losses


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam", "lr": 0.03}])
def test_a_model_stops_when_its_own_loss_stops_falling_and_keeps_its_best_weights(settings, strategy):
    """Catches patience counted wrong, last instead of best weights, momentum of a neighbour, and a shared decision."""
    recipe = small.training(**{**EAGER, **settings})
    found = list(snapshots(recipe, strategy=strategy))
    alone = [by_hand(recipe, number) for number in range(4)]
    epochs = [went for went, _, _ in alone]
    assert len(set(epochs)) > 1, "the test is about models that stop at different times"
    assert max(epochs) < recipe.epochs
    for m, (_, best, _) in enumerate(alone):
        assert small.close(found[-1].ensemble[m : m + 1], best, 1e-3)
    assert found[-1].step == found[-1].total == 3 * max(epochs) + 1, "it ends when the last one stops"
    assert len(found) == found[-1].step + 1
    for snapshot in found[:-1]:
        going = [m for m in range(4) if snapshot.step <= 3 * epochs[m]]
        assert snapshot.ensemble.ids == tuple(going)
    done = sum(epochs) / 4
    assert found[-1].cost == pytest.approx(3 * 36 * done + 12 * done)
    assert found[-1].seen == int(36 * done)
    assert found[-1].losses["loss"].shape == (4,)
    assert found[-1].epochs.tolist() == epochs
    assert all(snapshot.epochs is None for snapshot in found[:-1])


def test_a_model_becomes_the_same_in_any_company():
    recipe = small.training(**EAGER)
    together = list(snapshots(recipe))[-1].ensemble
    parts = [list(snapshots(recipe, ids))[-1].ensemble for ids in ([0], [1, 2], [3])]
    assert small.close(together, Ensemble.join(parts), 1e-3)


def test_held_out_examples_are_never_trained_on():
    """Catches validation on training examples: poison in the held-out ones moves no weight until it is time to stop."""
    recipe = small.training(**{**EAGER, "epochs": 1})
    clean = list(snapshots(recipe, [5]))[-1].ensemble
    images = small.images()
    out = held([5])[0]
    images.x[out], images.y[out] = 255, 0
    assert small.same(clean, list(snapshots(recipe, [5], images))[-1].ensemble)
    images = small.images()
    rest = torch.ones(48, dtype=torch.bool)
    rest[out] = False
    images.x[rest] = 255
    assert not small.same(clean, list(snapshots(recipe, [5], images))[-1].ensemble)


def test_each_model_holds_out_its_own_share():
    start = Ensemble.initial(small.net(), seed=0, role="r", ids=range(3), device=small.CPU, strategy="stacked")
    recipe = small.training(**EAGER)
    subset = torch.arange(10, 30)
    mask = torch.stack([torch.randperm(48, generator=torch.Generator().manual_seed(m))[:20] for m in range(3)])
    for positions, allowed in ((None, [range(48)] * 3), (subset, [range(10, 30)] * 3), (mask, mask.tolist())):
        rule = Stopping(start, small.images(), positions, recipe, seed=0, role="r")
        out = rule._held
        assert out.shape[1] == recipe.held(len(allowed[0])) == round(len(allowed[0]) / 4)
        for m in range(3):
            both = [*out[m].tolist(), *rule.trained[m].tolist()]
            assert sorted(both) == sorted(allowed[m])
    assert len({tuple(sorted(row)) for row in held(range(3)).tolist()}) == 3


def test_the_number_held_out_is_at_least_one_and_never_all():
    eager = Training(patience=1, held_out=0.1)
    assert [eager.held(n) for n in (2, 3, 10, 1437)] == [1, 1, 1, 144]
    assert Training(patience=1, held_out=0.5).held(2) == 1
    assert Training().held(1437) == 0
    with pytest.raises(ValueError, match="only one"):
        list(snapshots(eager, [0], subset=torch.tensor([3])))


def test_masks_stop_early_too():
    """Catches group totals that forget what is held out."""
    recipe = small.training(**EAGER)
    mask = torch.zeros(3, 48, dtype=torch.bool)
    mask[0, :20] = mask[1, 4:48] = mask[2, 8:28] = True
    found = list(snapshots(recipe, [4, 5, 6], subset=mask))
    assert found[-1].step == found[-1].total < found[0].total
    for m, number in enumerate([4, 5, 6]):
        alone = list(snapshots(recipe, [number], subset=mask[m].nonzero()[:, 0]))[-1]
        assert found[-1].epochs[m] == alone.epochs[0], "each model's own, in the order that was asked for"
        assert small.close(found[-1].ensemble[m : m + 1], alone.ensemble, 1e-3)


def test_all_epochs_are_taken_when_patience_never_runs_out():
    recipe = small.training(epochs=4, patience=4, held_out=0.25)
    found = list(snapshots(recipe))
    assert [s.step for s in found] == list(range(14))
    assert {s.total for s in found} == {13}
    best = [by_hand(recipe, number)[2] for number in range(4)]
    for m in range(4):
        assert loss_of(found[-1].ensemble, m, held([m])[0]) == pytest.approx(min(best[m]), abs=1e-4)


def test_off_means_off():
    """Catches a training that changed for everybody: patience 0 is what it was, whatever is said to hold out."""
    plain = list(snapshots(small.training()))
    other = list(snapshots(small.training(held_out=0.4)))
    assert [(s.step, s.total, s.seen, s.cost) for s in plain] == [(s.step, s.total, s.seen, s.cost) for s in other]
    assert small.same(plain[-1].ensemble, other[-1].ensemble)
    assert (plain[-1].seen, plain[-1].cost, plain[-1].total) == (96, 288.0, 6)


def test_batch_norm_goes_back_with_its_model():
    """Catches best weights with the last epoch's running statistics."""
    source = small.data(side=12)
    net = small.net(architectures()["resnet9"](width=4), source)
    recipe = small.training(epochs=6, patience=1, held_out=0.25, lr=0.1, schedule="constant")
    images = small.images(source)
    found = list(snapshots(recipe, [0, 1], images, net))
    after = [s for s in found[:-1] if s.step and s.step % 3 == 0]
    for m in range(2):
        seen = [s.ensemble[p : p + 1] for s in after for p, i in enumerate(s.ensemble.ids) if i == m]
        assert any(small.same(found[-1].ensemble[m : m + 1], one) for one in seen)


def test_a_model_that_diverges_is_not_hidden_behind_its_start():
    """Catches a broken training that comes back as untrained weights."""
    recipe = small.training(**{**EAGER, "lr": 10.0, "momentum": 0.99, "weight_decay": 1.0, "epochs": 100})
    final = list(snapshots(recipe, [0], net=small.net(architectures()["mlp"](hidden=8, depth=8))))[-1].ensemble
    start = Ensemble.initial(
        small.net(architectures()["mlp"](hidden=8, depth=8)), seed=0, role="r", ids=[0], device=small.CPU,
        strategy="stacked",
    )  # fmt: skip
    assert not small.same(final, start)


def test_retraining_stops_early_alike():
    recipe = small.training(**EAGER)
    images, net = small.images(), small.net()
    kept = torch.tensor([i for i in range(48) if i not in small.FORGET.tolist()])
    task = ForgetTask(net, recipe, ("retain",), images.take(small.FORGET), images.take(kept))
    original = Ensemble.initial(net, seed=0, role="x", ids=range(2), device=small.CPU, strategy="stacked")
    method = unlearners()["retrain"]()
    final = last(method.unlearn(original, task, seed=3))
    expected = last(train(net, images.take(kept), recipe, seed=3, role="retrain", ids=range(2), strategy="stacked"))
    assert small.same(final.ensemble, expected.ensemble)
    assert final.cost < method.planned_cost(forget=6, retain=42, training=recipe), "what is planned is the most"
