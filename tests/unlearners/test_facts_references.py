"""Partial retrains are the beginning of a whole one; squeezed ones are another training."""

import dataclasses

import pytest
import small

from engine.models import architectures
from engine.train import last, train
from engine.unlearners import unlearners

RECIPE = small.training(epochs=5, batch_size=16)


def originals(recipe=RECIPE):
    about = {"seed": 0, "role": "original", "ids": range(2), "strategy": "stacked"}
    return last(train(small.net(), small.images(), recipe, **about)).ensemble


def retrain(recipe, epochs=None):
    """The networks of a retrain as the method partial retrain draws them, after some of its epochs."""
    task = small.task(small.net(), small.images(), ("retain",))
    steps = -(-len(task.retain) // recipe.batch_size) * (epochs or recipe.epochs)
    about = {"seed": 0, "role": "partial_retrain", "ids": range(2), "strategy": "stacked"}
    for snapshot in train(small.net(), task.retain, recipe, **about):
        if snapshot.step == steps:
            return snapshot
    raise AssertionError("no such step")


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
@pytest.mark.parametrize(("share", "epochs"), [(0.2, 1), (0.5, 2), (0.7, 4), (1.0, 5)])
def test_it_is_bit_for_bit_a_retrain_stopped_after_its_share_of_epochs(share, epochs, schedule):
    recipe = dataclasses.replace(RECIPE, schedule=schedule)
    task = small.task(small.net(), small.images(), ("retain",), recipe=recipe)
    method = unlearners()["partial_retrain"](share=share)
    ours, whole = last(method.unlearn(originals(), task, seed=0)), retrain(recipe, epochs)
    assert small.same(ours.ensemble, whole.ensemble)
    assert ours.step == ours.total == whole.step
    assert ours.cost == method.planned_cost(forget=6, retain=42, training=recipe) == whole.cost


def test_squeezed_is_a_training_of_fewer_epochs():
    task = small.task(small.net(), small.images(), ("retain",), recipe=RECIPE)
    squeezed = last(unlearners()["partial_retrain"](share=0.4, schedule="squeezed").unlearn(originals(), task, seed=0))
    assert small.same(squeezed.ensemble, retrain(dataclasses.replace(RECIPE, epochs=2)).ensemble)
    assert not small.same(squeezed.ensemble, retrain(RECIPE, 2).ensemble)


@pytest.mark.parametrize("settings", [{"shards": 2}, {"slices": 2}, {"patience": 3}])
def test_a_training_without_one_schedule_is_refused_in_words(settings):
    recipe, network = small.training(**settings), architectures()["mlp"]()
    assert "squeezed" in unlearners()["partial_retrain"]().misfit(recipe, network)
    assert unlearners()["partial_retrain"](schedule="squeezed").misfit(recipe, network) is None
