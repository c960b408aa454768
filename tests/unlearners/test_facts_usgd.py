"""Facts of unrolling SGD that only a right implementation satisfies."""

import dataclasses

import pytest
import small
import torch
import torch.nn.functional as F

from engine.descent import learning_rate
from engine.gradients import mean_gradient, weighted_gradient
from engine.losses import cross_entropy
from engine.models import architectures
from engine.record import uses
from engine.streams import Streams
from engine.train import last, train
from engine.unlearners import unlearners

LINEAR = architectures()["logistic"]()


def trained(recipe, strategy="stacked", models=2):
    net = small.net(LINEAR)
    images = small.images()
    found = train(net, images, recipe, seed=0, role="original", ids=range(models), strategy=strategy)
    return images, last(found).ensemble


def unlearn(original, images, recipe, **settings):
    method = unlearners()["usgd"](**settings)
    task = small.task(original.net, images, method.card.reads, recipe=recipe)
    return last(method.unlearn(original, task, seed=0)).ensemble


@pytest.mark.parametrize(
    ("strategy", "smoothing", "deviation"), [("stacked", 0.0, 0.0), ("looped", 0.0, 0.0), ("stacked", 0.2, 0.5)]
)
def test_one_step_of_training_is_undone_exactly(strategy, smoothing, deviation):
    """After a single step all gradients *were* taken at the initial weights: what is left is that step without F.

    Catches the plain cross-entropy's gradient after a training with the paper's SD loss.
    """
    settings = {"label_smoothing": smoothing, "deviation": deviation}
    recipe = small.training(
        epochs=1, batch_size=48, momentum=0.0, weight_decay=0.0, schedule="constant", lr=0.3, **settings
    )
    images, original = trained(recipe, strategy)
    result = unlearn(original, images, recipe, scale=1.0)
    keep = torch.ones(48, dtype=torch.bool)
    keep[small.FORGET] = False
    for m in range(2):
        start = original.net.initial(0)
        record = small.record(original, images, recipe)
        start.load_state_dict({k: v[m] for k, v in record.initial.params.items()})
        x, y = images.pictures(slice(None)), images.y
        logits = start(x[keep])
        loss = F.cross_entropy(logits, y[keep], reduction="sum", label_smoothing=smoothing)
        loss = (loss + deviation * logits.std(dim=-1).sum()) / 48
        gradient = torch.autograd.grad(loss, list(start.parameters()))
        for (name, weight), g in zip(start.named_parameters(), gradient, strict=True):
            assert torch.allclose(result.params[name][m], weight - 0.3 * g, atol=1e-6)


@pytest.mark.parametrize("settings", [
    {"momentum": 0.0, "schedule": "constant"},
    {"momentum": 0.9, "schedule": "cosine"},
    {"momentum": 0.5, "schedule": "one_cycle", "batch_size": 13},
    {"optimizer": "adam", "momentum": 0.7},
])  # fmt: skip
def test_uses_are_what_a_constant_gradient_leaves_in_the_weights(settings):
    """Push one unit gradient through the optimiser whenever the example is visited, and see how far the weight goes."""
    recipe = small.training(epochs=3, **settings)
    found = uses(recipe, 48, small.FORGET, seed=5, role="original", ids=[4, 7])
    steps = -(-48 // recipe.batch_size)
    for m, model in enumerate([4, 7]):
        streams = Streams(5, "original:batches", [model], small.CPU)
        batches = [batch[0].tolist() for _ in range(3) for batch in streams.epoch(48, recipe.batch_size)]
        for f, example in enumerate(small.FORGET.tolist()):
            weight = velocity = 0.0
            for step, batch in enumerate(batches):
                gradient = (example in batch) / len(batch)
                velocity = (recipe.momentum if recipe.optimizer == "sgd" else 0.0) * velocity + gradient
                weight += learning_rate(recipe, step, 3 * steps) * velocity
            assert float(found[m, f]) == pytest.approx(weight, rel=1e-5)


def test_the_replayed_batches_are_those_of_training():
    """Catches a record from other streams: one epoch of one-picture steps ends in a known order of step lengths."""
    recipe = small.training(epochs=1, batch_size=1, momentum=0.0, weight_decay=0.0, lr=0.2)
    images, original = trained(recipe, models=1)
    net = original.net.initial(0)
    record = small.record(original, images, recipe)
    net.load_state_dict({k: v[0] for k, v in record.initial.params.items()})
    everything = uses(recipe, 48, torch.arange(48), seed=0, role="original", ids=[0])[0]  # (48,)
    weights = dict(net.named_parameters())
    for i in everything.argsort(descending=True).tolist():  # a cosine falls: the longest step came first
        x, y = images.pictures(slice(i, i + 1)), images.y[i : i + 1]
        gradient = torch.autograd.grad(F.cross_entropy(net(x), y), list(weights.values()))
        with torch.no_grad():
            for weight, g in zip(weights.values(), gradient, strict=True):
                weight -= float(everything[i]) * g
    assert all(torch.allclose(original.params[k][0], v, atol=1e-5) for k, v in weights.items())


def test_equal_weights_make_the_mean_gradient(monkeypatch):
    images, original = trained(small.training())
    mean = mean_gradient(original, cross_entropy, images)
    even = torch.full((2, 48), 1 / 48)
    for batch in (512, 7):
        monkeypatch.setattr("engine.gradients._BATCH", batch)
        weighted = weighted_gradient(original, images, even)
        assert all(torch.allclose(weighted[k], mean[k], atol=1e-6) for k in mean)


def test_each_model_has_its_own_weights():
    images, original = trained(small.training())
    weights = torch.zeros(2, 48)
    weights[0, 3] = 1.0
    found = weighted_gradient(original, images, weights)
    assert all((v[1] == 0).all() for v in found.values())
    single = mean_gradient(original, cross_entropy, images.take(torch.tensor([3])))
    assert all(torch.allclose(found[k][0], single[k][0], atol=1e-6) for k in found)


def test_models_one_after_the_other_have_the_same_loss():
    """Catches a loop over models that leaves out label smoothing and SD loss."""
    images, original = trained(small.training())
    weights = torch.rand(2, 48, generator=torch.Generator().manual_seed(0))
    stacked, looped = (
        weighted_gradient(
            dataclasses.replace(original, strategy=s), images, weights, label_smoothing=0.3, deviation=0.5
        )
        for s in ("stacked", "looped")
    )
    assert all(torch.allclose(stacked[k], looped[k], atol=1e-5) for k in stacked)


def test_scale_zero_leaves_everything():
    recipe = small.training()
    images, original = trained(recipe)
    assert small.same(unlearn(original, images, recipe, scale=0.0), original)
