"""Facts of DeltaGrad that only a right implementation satisfies."""

import dataclasses
import itertools

import numpy as np
import pytest
import small
import torch
import torch.nn.functional as F

from engine.curvature import QuasiHessian, flatten
from engine.data import datasets
from engine.descent import learning_rate
from engine.ensemble import Ensemble
from engine.images import Images
from engine.models import architectures
from engine.record import TrainingRecord
from engine.streams import Streams
from engine.task import ForgetTask
from engine.train import last, train
from engine.training import Training
from engine.unlearners import unlearners

LINEAR = architectures()["logistic"]()


def setting(recipe, *, models=2, net=None, images=None, forget=small.FORGET, strategy="stacked"):
    """Return originals whose trajectory was kept, and the request to forget ``forget``."""
    net, images = net or small.net(LINEAR), images or small.images()
    about = {"seed": 0, "role": "original", "ids": range(models)}
    steps = []
    trained = train(net, images, recipe, strategy=strategy, keep=lambda g: steps.append(g.numpy()), **about)
    original = last(trained).ensemble
    kept = torch.ones(len(images), dtype=torch.bool)
    kept[forget] = False
    gradients = np.stack(steps)

    def record(originals):
        where = {"seed": 0, "role": "original", "size": len(images), "forget": forget}
        return TrainingRecord(original=originals, training=recipe, _gradients=lambda: gradients, **where)

    task = ForgetTask(
        net=net,
        training=recipe,
        reads=unlearners()["deltagrad"].card.reads,
        _forget=images.take(forget),
        _retain=images.take(kept.nonzero()[:, 0]),
        _reads={"training record": record},
    )
    return original, task, images


def unlearn(original, task, **settings):
    return last(unlearners()["deltagrad"](**settings).unlearn(original, task, seed=0)).ensemble


def replayed(original, images, recipe, forget, number):
    """The exact answer by hand: model ``number`` trained with plain torch on its own batches without ``forget``."""
    about = {"seed": 0, "role": "original", "ids": [number], "device": small.CPU, "strategy": "stacked"}
    model = Ensemble.initial(original.net, **about)
    names = list(model.params)
    weights = [model.params[name][0].clone().requires_grad_() for name in names]
    skeleton = original.net.initial(0)
    optimizer = torch.optim.SGD(weights, lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    streams, step = Streams(0, "original:batches", [number], small.CPU), 0
    total = recipe.epochs * -(-len(images) // recipe.batch_size)
    gone = set(forget.tolist())
    for _ in range(recipe.epochs):
        for batch in streams.epoch(len(images), recipe.batch_size):
            left = torch.tensor([i for i in batch[0].tolist() if i not in gone], dtype=torch.int64)
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, step, total)
            step += 1
            if len(left):
                logits = torch.func.functional_call(
                    skeleton, dict(zip(names, weights, strict=True)), (images.pictures(left),)
                )
                loss = F.cross_entropy(logits, images.y[left], label_smoothing=recipe.label_smoothing)
                (loss + recipe.deviation * logits.std(dim=-1).mean()).backward()
            else:
                for weight in weights:
                    weight.grad = torch.zeros_like(weight)
            optimizer.step()
    return dict(zip(names, (w.detach() for w in weights), strict=True))


@pytest.mark.parametrize("model", ["logistic", "mlp"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"momentum": 0.0, "schedule": "constant"},
        {"label_smoothing": 0.1, "deviation": 0.2, "weight_decay": 0.01, "schedule": "one_cycle"},
        {"batch_size": 5},
    ],
)
def test_with_every_gradient_computed_it_is_the_exact_retrain(model, settings):
    """Catches a wrong sign, dropped momentum or decay, a mean over the wrong number, and another order of batches."""
    recipe = small.training(epochs=4, trajectory=True, **settings)
    net = small.net(LINEAR if model == "logistic" else architectures()["mlp"](hidden=8))
    original, task, images = setting(recipe, net=net)
    found = unlearn(original, task, period=1)
    for m in range(2):
        exact = replayed(original, images, recipe, small.FORGET, m)
        for name, weight in exact.items():
            assert torch.allclose(found.params[name][m], weight, atol=2e-5), name
            assert not torch.allclose(original.params[name][m], weight, atol=1e-3), name


def test_a_batch_of_nothing_but_forgotten_pictures_adds_no_gradient():
    """Catches a division by zero: with batches of two, F holds some whole."""
    recipe = small.training(epochs=2, batch_size=2, trajectory=True)
    forget = torch.arange(20)
    original, task, images = setting(recipe, forget=forget)
    orders = Streams(0, "original:batches", [0], small.CPU)
    whole = [set(b[0].tolist()) <= set(range(20)) for _ in range(2) for b in orders.epoch(48, 2)]
    assert any(whole), "the test is about something"
    exact = replayed(original, images, recipe, forget, 0)
    found = unlearn(original, task, period=1)
    assert all(torch.allclose(found.params[name][0], weight, atol=2e-5) for name, weight in exact.items())


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_without_anything_to_forget_it_retraces_the_training(strategy):
    """Catches drift of the replay itself: no estimate may add what the path does not have."""
    recipe = small.training(epochs=3, trajectory=True)
    original, task, _ = setting(recipe, forget=torch.arange(0), strategy=strategy)
    assert small.close(unlearn(original, task, period=5, burn_in=1), original, 1e-5)


def digits(batch_size, epochs, models):
    data = datasets()["digits"]().load(None, lambda *_: None)
    images = Images.of(data, "train", small.CPU)
    net = small.net(LINEAR, data)
    forget = torch.from_numpy(np.sort(np.random.default_rng(0).choice(len(images), 50, replace=False)))
    recipe = Training(batch_size=batch_size, epochs=epochs, trajectory=True)
    return recipe, setting(recipe, models=models, net=net, images=images, forget=forget), forget


def test_digits_end_ten_times_nearer_to_the_exact_retrain_than_doing_nothing():
    """Catches a curvature that is no use: four of five gradients are estimated, on whole batches as in the paper."""
    recipe, (original, task, images), forget = digits(1437, 60, models=20)
    found = unlearn(original, task, period=5, burn_in=10)
    exact = unlearn(original, task, period=1)
    by_hand = replayed(original, images, recipe, forget, 3)
    assert all(torch.allclose(exact.params[name][3], weight, atol=1e-4) for name, weight in by_hand.items())
    truth, before, after = (flatten(e.params) for e in (exact, original, found))  # (M, P)
    nothing, distance = (before - truth).norm(dim=1), (after - truth).norm(dim=1)  # (M,)
    assert (distance < nothing / 10).all()
    # Without any curvature it is as far as doing nothing, or farther: the estimate is what brings it there.
    flat = unlearn(original, task, period=1000, burn_in=1)
    assert ((flatten(flat.params) - truth).norm(dim=1) > 3 * distance).all()


def dense(changes, bent):
    """The textbook BFGS matrix of one model in float64."""
    s, y = changes[-1], bent[-1]
    found = (s @ y) / (s @ s) * torch.eye(len(s), dtype=torch.float64)
    for s, y in zip(changes, bent, strict=True):
        pulled = found @ s
        found = found - torch.outer(pulled, pulled) / (s @ pulled) + torch.outer(y, y) / (s @ y)
    return found


def test_the_quasi_hessian_is_the_textbooks():
    """Catches a product in the wrong order, a lost pair, and models that share theirs."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 7, 7, generator=generator, dtype=torch.float64)
    hessians = root @ root.transpose(1, 2) + torch.eye(7, dtype=torch.float64)  # (M, P, P)
    ours, pairs = QuasiHessian(torch.zeros(3, 7, dtype=torch.float64), 3), []
    vector = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    assert torch.equal(ours.times(vector), torch.zeros_like(vector)), "no pair, no curvature"
    for _ in range(5):
        change = torch.randn(3, 7, generator=generator, dtype=torch.float64)
        bent = torch.einsum("mpq,mq->mp", hessians, change)
        pairs = [*pairs, (change, bent)][-3:]
        ours.remember(change=change, bent=bent)
        assert torch.allclose(ours.times(change), bent), "the newest pair is met"
        for m in range(3):
            expected = dense([s[m] for s, _ in pairs], [y[m] for _, y in pairs]) @ vector[m]
            assert torch.allclose(ours.times(vector)[m], expected)


def test_a_full_history_of_conjugate_directions_is_the_hessian_itself():
    """On a quadratic, BFGS with as many conjugate pairs as weights has B = H, whatever the vector."""
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    hessian = root @ root.T + torch.eye(5, dtype=torch.float64)
    directions = torch.linalg.eigh(hessian).eigenvectors.T  # conjugate to each other
    ours = QuasiHessian(torch.zeros(1, 5, dtype=torch.float64), 5)
    for direction in directions:
        ours.remember(change=direction.unsqueeze(0), bent=(hessian @ direction).unsqueeze(0))
    vector = torch.randn(1, 5, generator=generator, dtype=torch.float64)
    assert torch.allclose(ours.times(vector), vector @ hessian)


def test_a_pair_without_positive_curvature_is_left_out_of_its_own_model_only():
    """Catches a matrix that turns negative on a network, and a guard that stops all models because of one."""
    one = torch.eye(4)[:2]  # (M, P)
    ours = QuasiHessian(torch.zeros(2, 4), 2)
    ours.remember(change=one, bent=2 * one)
    ours.remember(change=one, bent=one * torch.tensor([[-1.0], [3.0]]))
    assert torch.allclose(ours.times(one), one * torch.tensor([[2.0], [3.0]]))
    ours.remember(change=torch.zeros(2, 4), bent=torch.zeros(2, 4))
    assert torch.allclose(ours.times(one), one * torch.tensor([[2.0], [3.0]]))
    assert torch.isfinite(ours.times(torch.ones(2, 4))).all()


def test_it_computes_the_gradients_it_says_it_does():
    """Catches a period that starts elsewhere: cost grows by the batch at the computed steps and by F's share at all."""
    recipe = small.training(epochs=4, trajectory=True)
    original, task, _ = setting(recipe)
    costs = [s.cost for s in unlearners()["deltagrad"](period=4, burn_in=3).unlearn(original, task, seed=0)]
    share = 3 * len(small.FORGET) / 3  # three batches an epoch
    computed = [round((b - a - share) / (3 * 16)) for a, b in itertools.pairwise(costs)]
    assert computed == [1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_the_kept_gradients_retrace_the_training_to_the_bit():
    """Catches gradients taken after decay or momentum, or in another layout."""
    recipe = small.training(epochs=3, trajectory=True, weight_decay=0.01)
    original, task, _ = setting(recipe, net=small.net(architectures()["mlp"](hidden=8)))
    record = task.read("training record", original)
    weights = flatten(record.initial.params)
    optimizer = torch.optim.SGD([weights], lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    for step, gradient in enumerate(record.path().gradients):
        optimizer.param_groups[0]["lr"] = learning_rate(recipe, step, 9)
        weights.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    assert torch.equal(weights, flatten(original.params))


def test_what_cannot_be_replayed_is_refused_with_what_to_change():
    method = unlearners()["deltagrad"]()
    fits = Training(trajectory=True)
    mlp, resnet = architectures()["mlp"](), architectures()["resnet9"]()
    assert method.misfit(fits, mlp) is None
    for training, network, change in (
        (Training(), mlp, "turn on"),
        (dataclasses.replace(fits, optimizer="adam"), mlp, "choose sgd"),
        (dataclasses.replace(fits, restriction=0.1), mlp, "gradient restriction to 0"),
        (dataclasses.replace(fits, precision="bf16"), mlp, "float32"),
        (fits, resnet, "without batch norm"),
    ):
        assert change in method.misfit(training, network)


@pytest.mark.parametrize("key", architectures())
def test_architectures_say_whether_they_have_batch_norm(key):
    network = architectures()[key]()
    built = network.build((1, 32, 32), 10)
    assert network.batch_norm == any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in built.modules())
