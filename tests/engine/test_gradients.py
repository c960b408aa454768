"""Gradients and losses measured on many models at once, each against a plain loop over torch's own."""

import pytest
import small
import torch
import torch.nn.functional as F

from engine.descent import Student
from engine.ensemble import Ensemble
from engine.gradients import input_gradient
from engine.losses import cross_entropy, mean_weighted_cross_entropy


def models(strategy="stacked", count=3):
    return Ensemble.initial(small.net(), seed=0, role="test", ids=range(count), device=small.CPU, strategy=strategy)


def student(ensemble, m):
    params = {k: v[m] for k, v in ensemble.params.items()}
    return Student(ensemble.net.evaluation_skeleton, params, {}, bf16=False)


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_the_gradient_to_the_inputs_is_each_model_s_own(strategy):
    ensemble, images = models(strategy), small.images()
    order = torch.arange(12).view(3, 4)  # (M, B)
    x, y = images.batch(order)
    gradient = input_gradient(ensemble, cross_entropy, x, y)
    assert not x.requires_grad
    for m in range(3):
        own = x[m].clone().requires_grad_()
        loss = F.cross_entropy(student(ensemble, m)(own), y[m])
        assert torch.allclose(gradient[m], torch.autograd.grad(loss, own)[0], atol=1e-7)


def test_the_mean_over_pictures_that_weigh_one_is_the_loss_of_those_alone():
    """Catches a mean over all pictures, and a batch of which nothing is left dividing by zero."""
    network, images = student(models(), 0), small.images()
    x, y = images.pictures(slice(0, 6)), images.y[:6]
    weight = torch.tensor([1.0, 0, 1, 1, 0, 0])
    options = {"label_smoothing": 0.2, "deviation": 0.3}
    left = cross_entropy(network, x[weight > 0], y[weight > 0], **options)
    assert torch.isclose(mean_weighted_cross_entropy(network, x, y, weight, **options), left)
    assert mean_weighted_cross_entropy(network, x, y, torch.zeros(6), **options) == 0
