"""Architectures: shapes, feature and convolution names, and batch norm that means the same under vmap."""

import pytest
import small
import torch
from torch import nn
from torch.func import functional_call

from engine.descent import Stepper
from engine.ensemble import Ensemble, margins
from engine.losses import cross_entropy
from engine.models import architectures

SMALL = {"resnet9": {"width": 4}, "mlp": {"hidden": 8}, "cnn": {"channels": 4}}


def make(key):
    return architectures()[key](**SMALL.get(key, {}))


@pytest.mark.parametrize("key", architectures())
@pytest.mark.parametrize("side", [0, 28, 32])
def test_every_architecture_builds_and_answers(key, side):
    architecture = make(key)
    shape = (3, side or architecture.smallest, side or architecture.smallest)
    network = architecture.build(shape, 5).eval()
    x = torch.randn(2, *shape)
    assert network(x).shape == (2, 5)
    assert network.head(network.body(x)).equal(network(x)), "the body must end in the penultimate features"
    if architecture.last_convolution is not None:
        assert isinstance(network.get_submodule(architecture.last_convolution), nn.Conv2d)
    assert architecture.misfit(shape) is None


@pytest.mark.parametrize("key", ["lenet5", "resnet9", "cnn"])
def test_too_small_pictures_are_refused_in_words(key):
    architecture = make(key)
    said = architecture.misfit((1, architecture.smallest - 1, 64))
    assert str(architecture.smallest) in said
    assert architecture.card.name in said


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_batch_norm_equals_a_plain_module(strategy):
    """Catches statistics shared between models, left behind, or updated in place in the original."""
    source = small.data(side=12, channels=3)
    net = small.net(make("resnet9"), source)
    start = Ensemble.initial(net, seed=1, role="r", ids=[0, 1, 2], device=small.CPU, strategy=strategy)
    before = start.clone()
    x, y = small.images(source).batch(torch.stack([torch.randperm(48)[:16] for _ in range(3)]))
    stepper = Stepper(start, total=1, lr=0.1)
    stepper.step(cross_entropy, x, y, seen=16, cost=48.0)
    assert small.same(start, before)
    for m in range(3):
        plain = net.initial(0).train()
        plain.load_state_dict({k: v[m] for k, v in {**start.params, **start.buffers}.items()})
        nn.functional.cross_entropy(plain(x[m]), y[m]).backward()
        for name, weight in plain.named_parameters():
            moved = stepper.ensemble.params[name][m]
            assert torch.allclose(moved, (weight - 0.1 * weight.grad).detach(), atol=1e-5), name
        for name, value in plain.named_buffers():
            assert torch.allclose(stepper.ensemble.buffers[name][m].double(), value.double(), atol=1e-6), name


def test_evaluation_moves_no_statistics():
    source = small.data(side=12, channels=3)
    ensemble = Ensemble.initial(
        small.net(make("resnet9"), source), seed=1, role="r", ids=[0, 1], device=small.CPU, strategy="stacked"
    )
    before = ensemble.clone()
    ensemble.logits_shared(small.images(source).pictures(slice(None)))
    assert small.same(ensemble, before)


@pytest.mark.parametrize("key", architectures())
def test_logits_equal_a_plain_network(key):
    source = small.data(side=12)
    net = small.net(make(key), source)
    x = small.images(source).pictures(slice(0, 5))
    for strategy in ("stacked", "looped"):
        ensemble = Ensemble.initial(net, seed=4, role="r", ids=[0, 1, 2], device=small.CPU, strategy=strategy)
        plain = net.initial(0).eval()
        for m in range(3):
            state = {k: v[m] for k, v in {**ensemble.params, **ensemble.buffers}.items()}
            expected = functional_call(plain, state, (x,))
            assert torch.allclose(ensemble.logits_shared(x)[m], expected, atol=1e-5)
            assert torch.allclose(ensemble.logits(x.expand(3, *x.shape))[m], expected, atol=1e-5)
            assert torch.allclose(
                ensemble.features_shared(x)[m].flatten(1),
                functional_call(
                    plain.body, {k[5:]: v for k, v in state.items() if k.startswith("body.")}, (x,)
                ).flatten(1),
                atol=1e-5,
            )


def test_margin_is_the_logit_of_the_true_class_probability():
    logits = torch.randn(2, 7, 4, dtype=torch.float64) * 3
    y = torch.randint(4, (7,))
    p = logits.softmax(-1).gather(-1, y.expand(2, 7).unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(margins(logits, y), torch.log(p / (1 - p)))
    assert torch.isfinite(margins(torch.tensor([[500.0, -500.0]]), torch.tensor([0]))).all()


def test_margin_of_two_classes_is_the_difference():
    assert margins(torch.tensor([[1.0, 4.0]]), torch.tensor([1])).item() == 3.0


def test_wrong_weights_are_refused():
    ensemble = Ensemble.initial(small.net(), seed=0, role="r", ids=[0, 1], device=small.CPU, strategy="stacked")
    assert small.same(Ensemble.from_tensors(small.net(), ensemble.tensors(), ids=[0, 1], strategy="stacked"), ensemble)
    with pytest.raises(ValueError, match="another shape"):
        Ensemble.from_tensors(small.net(), ensemble.tensors(), ids=[0, 1, 2], strategy="stacked")
    with pytest.raises(ValueError, match="other layers"):
        Ensemble.from_tensors(small.net(make("logistic")), ensemble.tensors(), ids=[0, 1], strategy="stacked")
