"""Facts of the one-step influence approximation that only a right implementation satisfies."""

import dataclasses

import pytest
import small
import torch
import torch.nn.functional as F

from engine.models import architectures
from engine.train import last, train
from engine.training import Training
from engine.unlearners import unlearners


def originals(net, images):
    recipe = small.training(epochs=3)
    return last(train(net, images, recipe, seed=0, role="original", ids=range(2), strategy="stacked")).ensemble


def logistic():
    net = small.net(architectures()["logistic"]())
    return originals(net, small.images())


def run(original, images=None, task=None, **settings):
    method = unlearners()["iau"](**settings)
    task = task or small.task(original.net, images or small.images(), method.card.reads)
    return last(method.unlearn(original, task, seed=0)).ensemble


def by_hand(original, m, images, reduction):
    """The cross-entropy's gradient of logistic regression, written out: (p - e_y) x^T over the examples."""
    x = images.pictures(slice(None)).flatten(1)  # (n, pixels)
    weight, bias = original.params["head.weight"][m], original.params["head.bias"][m]
    error = (x @ weight.T + bias).softmax(-1) - F.one_hot(images.y, len(bias))  # (n, C)
    count = len(x) if reduction == "mean" else 1
    return {"head.weight": error.T @ x / count, "head.bias": error.sum(0) / count}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("correction", [True, False])
def test_the_plain_step_is_the_formula_worked_out_by_hand(reduction, correction):
    original = logistic()
    task = small.task(original.net, small.images(), ("forget", "retain"))
    lr = 0.3
    after = run(original, lr=lr, optimizer="sgd", reduction=reduction, correction=correction)
    for m in range(2):
        forget = by_hand(original, m, task.forget, reduction)
        retain = by_hand(original, m, task.retain, reduction)
        for k, weight in original.params.items():
            wanted = weight[m] - lr * ((retain[k] if correction else 0) - forget[k])
            assert torch.allclose(after.params[k][m], wanted, atol=1e-5)


def test_adams_step_is_torchs_first_one_and_as_long_as_the_learning_rate():
    original = logistic()
    task = small.task(original.net, small.images(), ("forget", "retain"))
    after = run(original, lr=0.02)
    for m in range(2):
        forget, retain = (by_hand(original, m, part, "mean") for part in (task.forget, task.retain))
        weights = {k: v[m].clone().requires_grad_() for k, v in original.params.items()}
        for k, weight in weights.items():
            weight.grad = retain[k] - forget[k]
        torch.optim.Adam(weights.values(), lr=0.02).step()
        for k, weight in weights.items():
            assert torch.allclose(after.params[k][m], weight, atol=1e-6)
            step = after.params[k][m] - original.params[k][m]
            assert torch.allclose(step, -0.02 * weight.grad.sign(), atol=1e-5), "every weight, whatever it matters"


def test_the_size_of_the_forget_set_does_not_count_with_means_and_does_with_sums():
    original = logistic()
    task = small.task(original.net, small.images(), ("forget", "retain"))
    twice = dataclasses.replace(task, _forget=task.forget.join(task.forget))
    for optimizer in ("sgd", "adam"):
        settings = {"lr": 0.1, "optimizer": optimizer}
        assert small.close(run(original, task=task, **settings), run(original, task=twice, **settings), 1e-6)
    settings = {"lr": 0.1, "optimizer": "sgd", "reduction": "sum", "correction": False}
    once, double = (run(original, task=t, **settings) for t in (task, twice))
    for k, before in original.params.items():
        assert torch.allclose(double.params[k] - before, 2 * (once.params[k] - before), atol=1e-5)


def test_without_correction_the_retain_set_is_not_read_and_the_forget_loss_rises():
    original = logistic()
    task = small.task(original.net, small.images(), ("forget",))
    method = unlearners()["iau"](correction=False)
    snapshot = last(method.unlearn(original, task, seed=0))
    planned = method.planned_cost(forget=len(small.FORGET), retain=42, training=small.training())
    assert snapshot.cost == planned == 3 * len(small.FORGET)

    def loss(ensemble):
        logits = ensemble.logits_shared(task.forget.pictures(slice(None)))  # (M, n, C)
        return torch.stack([F.cross_entropy(row, task.forget.y) for row in logits])  # (M,)

    assert (loss(snapshot.ensemble) > loss(original)).all()


def test_batch_norms_statistics_do_not_move():
    source = small.data(side=15)
    images = small.images(source)
    original = originals(small.net(architectures()["resnet9"](width=4), source), images)
    after = run(original, images)
    assert original.buffers
    assert all(torch.equal(after.buffers[k], v) for k, v in original.buffers.items())


def test_it_costs_less_than_a_tenth_of_a_retrain_on_the_digits():
    method, training = unlearners()["iau"](), Training()
    retrain = unlearners()["retrain"]()
    sizes = {"forget": 150, "retain": 1287, "training": training}
    assert method.planned_cost(**sizes) < 0.1 * retrain.planned_cost(**sizes)
