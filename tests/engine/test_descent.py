"""The stepper: M independent optimisers in one, in both strategies, and losses with their closed forms."""

import itertools
import math

import pytest
import small
import torch
import torch.nn.functional as F
from torch.func import functional_call

from engine.descent import Stepper, learning_rate
from engine.ensemble import Ensemble
from engine.losses import cross_entropy, kl_divergence, squared_error
from engine.models import architectures
from engine.training import Training

STRATEGIES = pytest.mark.parametrize("strategy", ["stacked", "looped"])


def start(strategy="stacked", models=3, key="mlp", **knobs):
    knobs = knobs or {"hidden": 8}
    return Ensemble.initial(
        small.net(architectures()[key](**knobs)), seed=2, role="r", ids=range(models), device=small.CPU,
        strategy=strategy,
    )  # fmt: skip


def batches(models=3, count=4):
    generator = torch.Generator().manual_seed(0)
    images = small.images()
    return [images.batch(torch.randint(48, (models, 16), generator=generator)) for _ in range(count)]


def plain(ensemble, m, make_optimizer, loss, lrs):
    """Train model m as a plain module on its own batches and return its weights."""
    model = ensemble.net.initial(0).train()
    model.load_state_dict({k: v[m] for k, v in {**ensemble.params, **ensemble.buffers}.items()})
    optimizer = make_optimizer(model.parameters())
    for (x, y), lr in zip(batches(), lrs, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss(model(x[m]), y[m]).backward()
        optimizer.step()
    return dict(model.named_parameters())


@STRATEGIES
@pytest.mark.parametrize(
    ("settings", "make_optimizer"),
    [
        ({}, lambda p: torch.optim.SGD(p, lr=1.0)),
        ({"momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9)),
        ({"weight_decay": 0.1}, lambda p: torch.optim.SGD(p, lr=1.0, weight_decay=0.1)),
        ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, lr=1.0)),
        ({"optimizer": "adam", "weight_decay": 0.1}, lambda p: torch.optim.Adam(p, lr=1.0, weight_decay=0.1)),
    ],
)
def test_every_model_has_an_optimiser_of_its_own(strategy, settings, make_optimizer):
    """Catches state shared between models, a forgotten option, and a learning rate that is not passed on."""
    ensemble = start(strategy)
    lrs = [0.05, 0.02, 0.02, 0.01]
    stepper = Stepper(ensemble, total=4, lr=0.05, **settings)
    for (x, y), lr in zip(batches(), [None, 0.02, None, 0.01], strict=True):
        stepper.step(cross_entropy, x, y, seen=16, cost=48.0, lr=lr)
    for m in range(3):
        expected = plain(ensemble, m, make_optimizer, F.cross_entropy, lrs)
        for name, weight in expected.items():
            assert torch.allclose(stepper.ensemble.params[name][m], weight, atol=1e-5), name


@STRATEGIES
def test_counters_and_losses(strategy):
    ensemble = start(strategy)
    stepper = Stepper(ensemble, total=9, lr=0.1)
    first = stepper.snapshot()
    assert (first.step, first.total, first.seen, first.cost, dict(first.losses)) == (0, 9, 0, 0.0, {})
    (x, y), (x2, y2) = batches(count=2)
    expected = [F.cross_entropy(ensemble[m : m + 1].logits_shared(x[m])[0], y[m]).item() for m in range(3)]
    stepper.step(cross_entropy, x, y, seen=16, cost=48.0, name="one")
    stepper.step(cross_entropy, x2, y2, seen=5, cost=2.5, name="two")
    second = stepper.snapshot()
    assert (second.step, second.seen, second.cost) == (2, 21, 50.5)
    assert second.losses["one"].tolist() == pytest.approx(expected, abs=1e-5)
    assert set(second.losses) == {"one", "two"}
    assert not second.losses["one"].requires_grad


@STRATEGIES
def test_the_ensemble_given_is_never_touched(strategy):
    ensemble = start(strategy)
    before = ensemble.clone()
    stepper = Stepper(ensemble, total=1, lr=0.5)
    stepper.step(cross_entropy, *batches()[0], seen=16, cost=48.0)
    assert small.same(ensemble, before)
    assert not small.same(stepper.ensemble, before)
    assert not any(weight.requires_grad for weight in stepper.ensemble.params.values())


@STRATEGIES
def test_a_step_works_where_gradients_are_switched_off(strategy):
    stepper, quiet = Stepper(start(strategy), total=1, lr=0.5), Stepper(start(strategy), total=1, lr=0.5)
    stepper.step(cross_entropy, *batches()[0], seen=16, cost=48.0)
    with torch.no_grad():
        quiet.step(cross_entropy, *batches()[0], seen=16, cost=48.0)
    assert small.same(stepper.ensemble, quiet.ensemble)


@STRATEGIES
def test_a_penalty_may_read_the_weights(strategy):
    """A loss may use ``student.params``; the gradient of half the squared norm shrinks every weight by lr."""

    def penalty(student, x):
        return sum(w.square().sum() for w in student.params.values()) / 2 + 0 * student(x).sum()

    ensemble = start(strategy)
    stepper = Stepper(ensemble, total=1, lr=0.25)
    stepper.step(penalty, batches()[0][0], seen=0, cost=0.0)
    for name, weight in stepper.ensemble.params.items():
        assert torch.allclose(weight, 0.75 * ensemble.params[name], atol=1e-6)


@STRATEGIES
def test_one_models_nan_stays_its_own(strategy):
    """Catches a sum or a norm over models: one diverged model must not take the others with it."""
    ensemble = start(strategy)
    x, y = batches()[0]
    x[1] = float("nan")
    stepper = Stepper(ensemble, total=1, lr=0.1, momentum=0.9, weight_decay=0.1)
    stepper.step(cross_entropy, x, y, seen=16, cost=48.0)
    finite = [all(bool(w[m].isfinite().all()) for w in stepper.ensemble.params.values()) for m in range(3)]
    assert finite == [True, False, True]
    assert stepper.snapshot().losses["loss"].isfinite().tolist() == [True, False, True]


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="unknown optimizer 'lion': sgd, adam or signsgd"):
        Stepper(start(), total=1, lr=0.1, optimizer="lion")


@STRATEGIES
def test_bf16_rounds_the_arithmetic_and_keeps_the_weights(strategy):
    full, half = (Stepper(start(strategy), total=1, lr=0.1, bf16=bf16) for bf16 in (False, True))
    for stepper in (full, half):
        stepper.step(cross_entropy, *batches()[0], seen=16, cost=48.0)
        assert all(w.dtype == torch.float32 for w in stepper.ensemble.params.values())
        assert stepper.snapshot().losses["loss"].dtype == torch.float32
    assert not small.same(full.ensemble, half.ensemble)
    assert small.close(full.ensemble, half.ensemble, 0.02)


def test_cross_entropy_has_its_closed_form():
    """Smoothing 0.2 over 4 classes leaves 0.85 on the true class and 0.05 on each other."""
    logits = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    y = torch.tensor([0, 3])
    log_p = [[v - math.log(sum(math.exp(w) for w in row)) for v in row] for row in logits.tolist()]
    hard = -(log_p[0][0] + log_p[1][3]) / 2
    soft = (
        -sum((0.85 if c == label else 0.05) * log_p[i][c] for i, label in enumerate(y.tolist()) for c in range(4)) / 2
    )
    assert cross_entropy(lambda x: x, logits, y).item() == pytest.approx(hard, abs=1e-6)
    assert cross_entropy(lambda x: x, logits, y, label_smoothing=0.2).item() == pytest.approx(soft, abs=1e-6)


def test_arguments_of_one_shape_go_by_name():
    """Catches a signature in which teacher and student can be swapped unseen."""
    a, b = torch.zeros(2, 3), torch.ones(2, 3)
    for loss in (kl_divergence, squared_error):
        with pytest.raises(TypeError):
            loss(a, b)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_kl_equals_torchs_own(temperature):
    generator = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(6, 5, generator=generator) * 3 for _ in range(2))
    log_p, log_q = (F.log_softmax(v / temperature, dim=-1) for v in (teacher, student))
    expected = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * temperature**2
    found = kl_divergence(teacher=teacher, student=student, temperature=temperature)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    swapped = kl_divergence(teacher=student, student=teacher, temperature=temperature)
    assert swapped.item() != pytest.approx(expected.item(), rel=1e-2)


def test_kl_of_hopeless_logits_is_finite():
    found = kl_divergence(teacher=torch.tensor([[900.0, 0.0]]), student=torch.tensor([[0.0, 900.0]]))
    assert found.item() == pytest.approx(900.0)


def test_schedules_stay_within_their_peak():
    """Catches a schedule that divides by zero, turns negative or passes its peak at the edges."""
    cases = itertools.product([1, 2, 7, 460], ["constant", "cosine", "one_cycle"], [0.0, 0.05, 0.9])
    for total, schedule, warmup in cases:
        training = Training(lr=0.3, schedule=schedule, warmup=warmup)
        rates = [learning_rate(training, step, total) for step in range(total)]
        assert all(0 < rate <= 0.3 for rate in rates), (total, schedule, warmup)
        if warmup == 0 and schedule == "one_cycle":
            assert rates == [learning_rate(Training(lr=0.3, schedule="cosine"), step, total) for step in range(total)]


@STRATEGIES
def test_logits_inside_a_step_are_those_of_the_model(strategy):
    """Catches weights put in the wrong place: the student's answer equals a plain call of the network."""
    ensemble = start(strategy, key="cnn", channels=2)
    x, _ = batches()[0]
    stepper = Stepper(ensemble, total=1, lr=0.0)
    stepper.step(lambda student, x: student(x).square().mean(), x, seen=0, cost=0.0)
    for m in range(3):
        answer = functional_call(ensemble.net.initial(0), {k: v[m] for k, v in ensemble.params.items()}, (x[m],))
        assert stepper.snapshot().losses["loss"][m].item() == pytest.approx(answer.square().mean().item(), rel=1e-4)
