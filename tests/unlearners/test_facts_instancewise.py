"""Facts of instance-wise unlearning: its attacks, its weight importance, its penalty, its stopping, what it buys."""

import dataclasses
from pathlib import Path

import pytest
import small
import torch
import torch.nn.functional as F

from engine.data import datasets
from engine.images import Images
from engine.knobs import BadSetting
from engine.models import architectures
from engine.models.base import Net
from engine.streams import Streams
from engine.task import ForgetTask
from engine.train import last, train
from engine.training import Training
from engine.unlearners import unlearners
from engine.unlearners.instancewise import attack, unimportance

METHOD = unlearners()["adv_imp"]


def train_small(net=None, images=None, models=2):
    recipe = small.training(epochs=10)
    images = images or small.images()
    return last(
        train(net or small.net(), images, recipe, seed=0, role="original", ids=range(models), strategy="stacked")
    ).ensemble


@pytest.fixture(scope="module")
def digits():
    """Three networks on real digits, and a task that offers only 20 of them to forget."""
    data = datasets()["digits"]().load(Path(), lambda *_: None)
    images, test = (Images.of(data, part, small.CPU) for part in ("train", "test"))
    net = Net(architectures()["mlp"](hidden=32), data.shape, len(data.classes))
    recipe = Training(epochs=8)
    original = last(
        train(net, images, recipe, seed=0, role="original", ids=range(3), strategy="stacked")
    ).ensemble.clone()
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))[:20]
    task = ForgetTask(net, recipe, ("forget",), images.take(chosen), images.take(chosen[:0]))
    return original, task, test


def accuracy(ensemble, images):
    return (ensemble.logits_shared(images.pictures(slice(None))).argmax(-1) == images.y).float().mean(1)  # (M,)


def attacked(original, images, **settings):
    streams = Streams(0, "test", original.ids, small.CPU)
    targets = (images.y + 1 + streams.integers(9, len(images))) % 10  # (M, n)
    noise = streams.normal(len(images), *original.net.shape)
    return targets, attack(original, images, targets, noise, **settings)


def test_attacks_hit_their_targets_and_are_valid_pictures_within_the_radius(digits):
    original, task, _ = digits
    targets, found = attacked(original, task.forget, radius=1.5, steps=10, rate=0.3)
    assert (original.logits(found).argmax(-1) == targets).float().mean() > 0.8
    pixels = found * task.forget.std + task.forget.mean  # (M, n, c, h, w)
    assert pixels.min() > -1e-5
    assert pixels.max() < 1 + 1e-5
    source = task.forget.x.float() / task.forget.top
    away = (pixels - source).flatten(2).norm(dim=2)  # (M, n)
    assert away.max() < 1.5 + 1e-4
    targets, timid = attacked(original, task.forget, radius=0.05, steps=10, rate=0.3)
    assert (original.logits(timid).argmax(-1) == task.forget.y).all(), "a short attack crosses no border"


def test_an_attack_step_is_normalised_descent_in_pixels(digits):
    """Catches the gradient of the normalised picture, a step up, or a step that is not of the asked length."""
    original, task, _ = digits
    images = task.forget.take(torch.tensor([4]))
    noise = torch.full((3, 1, *original.net.shape), 1e-6)
    noise[..., 0, 0] = 1.0  # the start is as good as one pixel away
    target = torch.tensor([[7], [7], [7]])
    found = attack(original, images, target, noise, radius=0.2, steps=1, rate=0.05)
    for m in range(3):
        module = original.net.initial(0).eval()
        module.load_state_dict({k: v[m] for k, v in original.params.items()})
        source = images.x.float() / images.top  # (1, c, h, w)
        x = (source + 0.2 * noise[m] / noise[m].norm()).clamp(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(module((x - images.mean) / images.std), target[m]), [x])
        moved = (x.detach() - 0.05 * gradient / gradient.norm()).clamp(0, 1)
        apart = moved - source
        wanted = source + apart * min(1.0, 0.2 / apart.norm().item())
        assert torch.allclose(found[m] * images.std + images.mean, wanted, atol=1e-5)


def test_importance_is_the_mean_size_of_the_squared_lengths_gradient():
    """On f(x) = W x + b it is mean |2 f_i x_j| and mean |2 f_i|; means of signed gradients would cancel."""
    net = small.net(architectures()["logistic"]())
    original = train_small(net)
    images = small.images().take(small.FORGET)
    found = unimportance(original, images)
    x = images.pictures(slice(None)).flatten(1)  # (n, d)
    for m in range(2):
        names = {v[m].ndim: k for k, v in original.params.items()}
        weight, bias = original.params[names[2]][m], original.params[names[1]][m]
        f = x @ weight.t() + bias  # (n, C)
        for name, size in (
            (names[2], (2 * f[:, :, None] * x[:, None, :]).abs().mean(0)),  # (C, d)
            (names[1], (2 * f).abs().mean(0)),  # (C,)
        ):
            wanted = 1 - (size - size.min()) / (size.max() - size.min())
            assert torch.allclose(found[name][m], wanted, atol=1e-5)
            assert found[name][m].min() == 0
            assert found[name][m].max() == 1


def run(method, original, images=None, **settings):
    images = images or small.images()
    task = small.task(original.net, images, method.card.reads)
    made = method(**{"epochs": 8, "batch_size": 12, "attacks": 4, "momentum": 0.0, "stop": False, **settings})
    return last(made.unlearn(original, task, seed=0)).ensemble


def test_a_great_strength_holds_what_does_not_matter_and_none_holds_nothing():
    original = train_small()
    held = unimportance(original, small.images().take(small.FORGET))
    strong = run(METHOD, original, strength=100.0, lr=0.01)
    free = run(METHOD, original, strength=0.0, lr=0.01)
    for name, weight in original.params.items():
        here, there = strong.params[name] - weight, free.params[name] - weight
        little, most = held[name] > 0.5, held[name] == 0  # of each layer and model
        assert here[little].norm() < 0.1 * there[little].norm()
        assert here[most].norm() > 0.5 * there[most].norm()


def test_without_penalty_a_step_is_the_weighted_sum_of_two_gradients(monkeypatch):
    """Catches a flipped sign of the ascent, unequal weights, and a penalty that acts at strength 0 or at theta_0."""
    monkeypatch.setattr("engine.unlearners.instancewise.attack", lambda _o, images, targets, *_a, **_k: (
        images.pictures(slice(None)).expand(len(targets), -1, -1, -1, -1)))  # fmt: skip
    monkeypatch.setattr("engine.streams.Streams.wrong_labels", lambda _s, y, classes: ((y + 1) % classes).expand(2, -1))
    original = train_small()
    split = small.images().take(small.FORGET)
    x = split.pictures(slice(None))
    for goal, strength in (("misclassify", 0.0), ("misclassify", 5.0), ("relabel", 5.0)):
        moved = run(METHOD, original, goal=goal, strength=strength, epochs=1, attacks=2, batch_size=12, lr=0.1)
        for m in range(2):
            module = original.net.initial(0)
            module.load_state_dict({k: v[m] for k, v in original.params.items()})
            logits = module(x)
            wrong = F.cross_entropy(logits, (split.y + 1) % 3)
            wanted = wrong if goal == "relabel" else -F.cross_entropy(logits, split.y)
            loss = 12 / 18 * wrong + 6 / 18 * wanted
            grads = torch.autograd.grad(loss, list(module.parameters()))
            for (name, weight), grad in zip(module.named_parameters(), grads, strict=True):
                assert torch.allclose(moved.params[name][m], weight - 0.1 * grad, atol=1e-6)


@pytest.mark.parametrize("goal", ["misclassify", "relabel"])
def test_a_model_stops_where_its_goal_is_reached_and_not_before(digits, goal, monkeypatch):
    original, task, _ = digits
    drawn = []

    def note(streams, y, classes):
        drawn.append((y + 1 + streams.integers(classes - 1, len(y))) % classes)
        return drawn[-1]

    monkeypatch.setattr("engine.streams.Streams.wrong_labels", note)
    settings = {"radius": 0.5, "attacks": 5, "strength": 0.0} if goal == "misclassify" else {}
    method = METHOD(goal=goal, epochs=60, **settings)
    x, y = task.forget.pictures(slice(None)), task.forget.y
    before, stopped = original, torch.zeros(3, dtype=torch.bool)
    snapshots = method.unlearn(original, task, seed=0)
    next(snapshots)
    for snapshot in snapshots:
        now = snapshot.ensemble.clone()
        same = torch.stack([(now.params[k] == v).flatten(1).all(1) for k, v in before.params.items()]).all(0)
        assert torch.equal(same, stopped)
        answers = now.logits_shared(x).argmax(-1)  # (M, n)
        stopped = (answers != y if goal == "misclassify" else answers == drawn[-1]).all(1)
        before = now
    assert stopped.all()
    goes_on = last(dataclasses.replace(method, stop=False).unlearn(original, task, seed=0)).ensemble
    assert not any(small.same(goes_on[m : m + 1], before[m : m + 1]) for m in range(3))


def test_it_forgets_single_pictures_and_keeps_more_than_ascent_that_forgets_as_much(digits):
    original, task, test = digits
    after = last(METHOD(epochs=40).unlearn(original, task, seed=0)).ensemble
    assert accuracy(after, task.forget).max() == 0
    climbed = None
    for snapshot in unlearners()["gradient_ascent"](lr=0.03, epochs=100, ceiling=0.0).unlearn(original, task, seed=0):
        climbed = snapshot.ensemble.clone()
        if accuracy(climbed, task.forget).mean() <= 0.2:
            break
    assert accuracy(climbed, task.forget).mean() <= 0.2
    assert (accuracy(after, test) > accuracy(climbed, test) + 0.2).all()


def test_a_rate_and_a_strength_that_together_overshoot_are_refused():
    with pytest.raises(BadSetting, match="adv_imp: learning rate times strength"):
        METHOD(lr=0.5, strength=4.0)


def test_too_many_adversarial_examples_are_refused(monkeypatch):
    monkeypatch.setattr("engine.unlearners.instancewise.FLOATS", 2 * 6 * 4 * 16 - 1)
    with pytest.raises(BadSetting, match="fewer attacks"):
        run(METHOD, train_small())
