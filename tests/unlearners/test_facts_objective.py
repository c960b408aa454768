"""Methods that train on go on with the recipe's objective: where it is convex they stay at, or reach, the retrain."""

import itertools

import pytest
import small
import torch
import torch.nn.functional as F

from engine.ensemble import Ensemble
from engine.models import architectures
from engine.train import last
from engine.unlearners import unlearners

DECAY = 0.02
RETAIN = torch.ones(48, dtype=torch.bool).index_fill(0, small.FORGET, False)
FULL = {"batch_size": 64}


def recipe(smoothing=0.0):
    return small.training(weight_decay=DECAY, label_smoothing=smoothing)


def optimum(of, smoothing=0.0):
    """Logistic regression at the minimum of its recipe's objective on these examples, in an ensemble of two."""
    images = small.images()
    net = small.net(architectures()["logistic"]())
    x, y = images.pictures(of).double(), images.y[of]
    module = net.initial(0).double()
    search = torch.optim.LBFGS(
        module.parameters(), lr=1, max_iter=500, tolerance_grad=1e-11, tolerance_change=1e-14, history_size=50
    )

    def loss():
        search.zero_grad()
        length = sum(weight.square().sum() for weight in module.parameters())
        value = F.cross_entropy(module(x), y, label_smoothing=smoothing) + DECAY / 2 * length
        value.backward()
        return value

    search.step(loss)
    params = {k: v.detach().float().expand(2, *v.shape).clone() for k, v in module.named_parameters()}
    return Ensemble(net, params, {}, (0, 1), "stacked")


def distance(a, b):
    return torch.cat([(a.params[k] - b.params[k]).flatten() for k in a.params]).norm().item()


def run(method, original, smoothing=0.0):
    task = small.task(original.net, small.images(), method.card.reads, recipe=recipe(smoothing))
    return last(method.unlearn(original, task, seed=0)).ensemble


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_descent_reaches_the_exact_retrain(smoothing):
    """Without the weight decay it runs away from it, and without the smoothing it ends at another point."""
    original, retrained = optimum(torch.arange(48), smoothing), optimum(RETAIN, smoothing)
    method = unlearners()["gradient_descent"](lr=0.3, epochs=100, **FULL)
    once = run(method, original, smoothing)
    for _ in range(3):
        once = run(method, once, smoothing)
    before = distance(original, retrained)
    assert before > 0.05
    assert distance(once, retrained) < 0.002 * before


def test_gradient_descent_reaches_the_exact_ridge_retrain(monkeypatch):
    """Least squares with weight decay has a closed form."""
    monkeypatch.setattr("engine.objective.cross_entropy", squares)
    images = small.images()
    net = small.net(architectures()["logistic"]())

    def ridge(some):
        x = some.pictures(slice(None)).flatten(1)
        x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        matrix = 2 * x.T @ x / len(x) + DECAY * torch.eye(x.shape[1])
        both = torch.linalg.solve(matrix, 2 * x.T @ F.one_hot(some.y, 3).float() / len(x))  # (pixels + 1, C)
        weight, bias = both[:-1].T, both[-1]
        params = {"head.weight": weight.expand(2, -1, -1).clone(), "head.bias": bias.expand(2, -1).clone()}
        return Ensemble(net, params, {}, (0, 1), "stacked")

    original, retrained = ridge(images), ridge(images.take(RETAIN.nonzero()[:, 0]))
    here = original
    for _ in range(4):
        here = run(unlearners()["gradient_descent"](lr=0.03, epochs=100, **FULL), here)
    assert distance(here, retrained) < 0.002 * distance(original, retrained)


def squares(student, x, y, *, label_smoothing, deviation):
    assert label_smoothing == deviation == 0
    return (student(x) - F.one_hot(y, 3)).square().sum(dim=1).mean()


STAY = [
    ("gradient_descent", {"lr": 0.1}),
    ("neg_grad_plus", {"lr": 0.1, "forget_weight": 0.0, "retain_weight": 1.0}),
    ("l1_sparse", {"lr": 0.1, "gamma": 0.0}),
    ("scrub", {"lr": 0.1, "optimizer": "sgd", "maximise_epochs": 0}),
    ("synflow", {"lr": 1e-3, "ratio": 0.0, "rounds": 1}),
    ("distillation", {"start": "original", "lr": 1e-3}),
]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("key", "settings"), STAY, ids=[key for key, _ in STAY])
def test_the_exact_retrain_is_a_fixed_point(key, settings, smoothing):
    """Where nothing is left to unlearn and the retain loss is at its minimum, no step leads away from it."""
    retrained = optimum(RETAIN, smoothing)
    method = unlearners()[key](epochs=5, **FULL, **settings)
    task = small.task(retrained.net, small.images(), method.card.reads, recipe=recipe(smoothing))
    steps = [snapshot.ensemble.clone() for snapshot in method.unlearn(retrained, task, seed=0)]
    assert len(steps) >= 6
    if getattr(method, "optimizer", "adam") == "adam":
        # Adam's steps have a length of their own; what shows is the loss, which no step may lower.
        assert objective(steps[-1], smoothing) >= objective(retrained, smoothing) - 1e-6
        assert distance(steps[-1], retrained) < 0.05
    else:
        assert distance(steps[-1], retrained) < 1e-4


def objective(ensemble, smoothing):
    images = small.images()
    logits = ensemble.logits_shared(images.pictures(RETAIN))[0]
    length = sum(v[0].square().sum() for v in ensemble.params.values())
    return (F.cross_entropy(logits, images.y[RETAIN], label_smoothing=smoothing) + DECAY / 2 * length).item()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_repair_of_unsir_ends_at_the_exact_retrain(smoothing):
    original, retrained = optimum(torch.arange(48), smoothing), optimum(RETAIN, smoothing)
    method = unlearners()["unsir"](
        impair_lr=1e-6, share=1.0, repair_epochs=20, repair_lr=1.0, optimizer="sgd", noise_steps=1, **FULL
    )
    once = original
    for _ in range(16):
        once = run(method, once, smoothing)
    assert distance(once, retrained) < 0.02 * distance(original, retrained)


def test_a_step_of_scrub_before_anything_moved_is_not_rounding_blown_up():
    """Student and teacher agree at first, KL has no slope there, and what float32 leaves of it must not be a step."""
    original = optimum(torch.arange(48))
    method = unlearners()["scrub"](epochs=1, maximise_epochs=1, lr=1e-2, forget_batch_size=2, **FULL)
    task = small.task(original.net, small.images(), method.card.reads, recipe=small.training(weight_decay=0.0))
    steps = itertools.islice(method.unlearn(original, task, seed=0), 4)  # the start and three maximise steps
    for snapshot in steps:
        assert small.same(snapshot.ensemble, original)


def test_what_is_above_the_ceiling_is_left_alone_by_gradient_ascent():
    original = optimum(torch.arange(48))
    images = small.images().take(small.FORGET)
    each = F.cross_entropy(original.logits_shared(images.pictures(slice(None)))[0], images.y, reduction="none")
    ceiling = float(each.sort().values[2:4].mean())  # three are below and three above
    assert small.same(run(unlearners()["gradient_ascent"](ceiling=float(each.min()) * 0.99), original), original)
    moved = run(unlearners()["gradient_ascent"](ceiling=ceiling, epochs=1, lr=0.1), original)
    weights = {k: v[0].clone().requires_grad_() for k, v in original.params.items()}
    logits = torch.func.functional_call(original.net.initial(0), weights, (images.pictures(slice(None)),))
    below = F.cross_entropy(logits, images.y, reduction="none")[each < ceiling]
    assert len(below) == 3
    (below.sum() / 6).backward()
    for name, weight in weights.items():
        assert torch.allclose(moved.params[name][0], weight + 0.1 * weight.grad, atol=1e-6), name
