"""Facts that only a right implementation satisfies, method by method."""

import dataclasses

import pytest
import small
import torch
import torch.nn.functional as F

from engine.ensemble import Ensemble, margins
from engine.losses import cross_entropy, kl_divergence, squared_error
from engine.models import architectures
from engine.train import last, train
from engine.unlearners import unlearners


def originals(net=None, models=2):
    recipe = small.training(epochs=10)
    return last(
        train(
            net or small.net(), small.images(), recipe, seed=0, role="original", ids=range(models), strategy="stacked"
        )
    ).ensemble


def run(method, original, oracle=None, recipe=None):
    task = small.task(original.net, small.images(), method.card.reads, oracle, recipe)
    return method.unlearn(original, task, seed=0)


def forget_loss(ensemble):
    split = small.images().take(small.FORGET)
    logits = ensemble.logits_shared(split.pictures(slice(None)))
    return F.cross_entropy(logits.flatten(0, 1), split.y.repeat(len(ensemble))).item()


def test_kl_has_a_direction():
    """KL(p || q) of p = (0.9, 0.1), q = (0.5, 0.5) is 0.368; swapped it is 0.511."""
    p, q = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    assert kl_divergence(teacher=p, student=q).item() == pytest.approx(0.36806, abs=1e-5)
    assert kl_divergence(teacher=q, student=p).item() == pytest.approx(0.51083, abs=1e-5)
    assert kl_divergence(teacher=p, student=p).item() == pytest.approx(0, abs=1e-7)
    four = kl_divergence(teacher=p.repeat(4, 1), student=q.repeat(4, 1)).item()
    assert four == pytest.approx(0.36806, abs=1e-5), "mean over the batch, sum over classes"
    soft = F.kl_div(F.log_softmax(q / 3, -1), F.softmax(p / 3, -1), reduction="batchmean") * 9
    assert kl_divergence(teacher=p, student=q, temperature=3.0).item() == pytest.approx(soft.item())


def test_squared_error_sums_over_classes_and_averages_over_the_batch():
    assert squared_error(teacher=torch.zeros(4, 3), student=torch.full((4, 3), 2.0)).item() == 12.0


def test_ascent_climbs_the_loss_that_descent_would_lower():
    original = originals()
    climbed = last(run(unlearners()["gradient_ascent"](lr=0.01, epochs=3), original)).ensemble
    assert forget_loss(climbed) > forget_loss(original) * 1.05


def test_one_ascent_step_is_the_reversed_gradient():
    original = originals()
    method = unlearners()["gradient_ascent"](lr=0.1, epochs=1)
    moved = last(run(method, original)).ensemble
    split = small.images().take(small.FORGET)
    for m in range(2):
        params = {k: v[m].clone().requires_grad_() for k, v in original.params.items()}
        logits = torch.func.functional_call(original.net.initial(0), params, (split.pictures(slice(None)),))
        grads = torch.autograd.grad(F.cross_entropy(logits, split.y), list(params.values()))
        for (name, weight), grad in zip(params.items(), grads, strict=True):
            assert torch.allclose(moved.params[name][m], weight + 0.1 * grad, atol=1e-6), name


def test_neg_grad_plus_with_all_weight_on_retain_never_climbs():
    original = originals()
    gentle = last(run(unlearners()["neg_grad_plus"](forget_weight=0.0, epochs=2, lr=0.1), original)).ensemble
    harsh = last(
        run(unlearners()["neg_grad_plus"](retain_weight=0.2, forget_weight=0.8, epochs=2, lr=0.1), original)
    ).ensemble
    assert forget_loss(harsh) > 1.5 * forget_loss(gentle)


def test_scrub_maximises_first_and_only_in_the_first_epochs():
    method = unlearners()["scrub"](epochs=3, maximise_epochs=2, forget_batch_size=3, batch_size=14)
    names = [next(reversed(s.losses)) for s in _fresh(run(method, originals()))]
    # 6 forget examples in batches of 3, 42 retain examples in batches of 14.
    assert names == (["maximise objective"] * 2 + ["minimise objective"] * 3) * 2 + ["minimise objective"] * 3


def _fresh(snapshots):
    """Yield each snapshot with only the loss its own step computed."""
    before = {}
    for snapshot in snapshots:
        changed = {k: v for k, v in snapshot.losses.items() if before.get(k) is not v}
        before = dict(snapshot.losses)
        if changed:
            yield dataclasses.replace(snapshot, losses=changed)


def test_scrub_without_distillation_is_gradient_descent_on_the_same_batches():
    original = originals()
    scrub = unlearners()["scrub"](
        epochs=2, maximise_epochs=0, alpha=0.0, optimizer="sgd", lr=0.01, momentum=0.0, batch_size=16
    )
    descent = unlearners()["gradient_descent"](epochs=2, lr=0.01, momentum=0.0, batch_size=16)
    # The two draw their batches from streams of their own names: give descent SCRUB's name.
    renamed = type("Renamed", (type(descent),), {"key": "scrub"})(**descent.settings())
    assert small.close(last(run(scrub, original)).ensemble, last(run(renamed, original)).ensemble, 1e-5)


def test_scrub_moves_away_from_its_teacher_on_the_forget_set():
    """Catches a flipped sign: the maximise phase must raise KL to the original on F."""
    original = originals()
    method = unlearners()["scrub"](epochs=1, maximise_epochs=1, alpha=0.0, gamma=0.0, lr=1e-2, forget_batch_size=2)
    moved = last(run(method, original)).ensemble
    x = small.images().take(small.FORGET).pictures(slice(None))
    away = kl_divergence(teacher=original.logits_shared(x).flatten(0, 1), student=moved.logits_shared(x).flatten(0, 1))
    assert away.item() > 1e-3


def test_oracle_matching_reaches_the_oracle_of_its_own_number():
    """On a linear model the regression has an exact answer: the oracle's own logits, model by model."""
    net = small.net(architectures()["logistic"]())
    original = originals(net)
    oracle = Ensemble.initial(net, seed=3, role="oracle", ids=[0, 1], device=small.CPU, strategy="stacked")
    method = unlearners()["oracle_matching"](epochs=200, lr=0.1, retain_share=1.0, batch_size=48)
    matched = last(run(method, original, oracle.logits)).ensemble
    x = small.images().pictures(slice(None))
    targets, reached = oracle.logits_shared(x), matched.logits_shared(x)
    assert (reached - targets).abs().max() < 0.05
    assert (reached[0] - targets[1]).abs().max() > 0.5, "model 0 must match oracle 0, not oracle 1 or their mean"


def test_oracle_matching_without_oracles_says_so():
    with pytest.raises(ValueError, match="reads the oracle outputs"):
        last(run(unlearners()["oracle_matching"](), originals()))


def test_retrain_starts_fresh_and_equals_training_on_the_retain_set():
    original = originals()
    snapshots = run(unlearners()["retrain"](), original)
    first = next(snapshots).ensemble.clone()
    assert not any(torch.equal(first.params[k], original.params[k]) for k in first.params)
    kept = torch.tensor([i for i in range(48) if i not in small.FORGET.tolist()])
    expected = last(
        train(
            original.net,
            small.images(),
            small.training(),
            seed=0,
            role="retrain",
            ids=[0, 1],
            strategy="stacked",
            subset=kept,
        )
    ).ensemble
    assert small.close(last(snapshots).ensemble, expected)


def test_doing_nothing_returns_the_original():
    original = originals()
    assert small.same(last(run(unlearners()["do_nothing"](), original)).ensemble, original)


def test_descent_lowers_the_retain_loss():
    original = originals()
    kept = torch.tensor([i for i in range(48) if i not in small.FORGET.tolist()])
    split = small.images().take(kept)
    x = split.pictures(slice(None))
    moved = last(run(unlearners()["gradient_descent"](lr=0.02, epochs=3), original)).ensemble
    assert margins(moved.logits_shared(x), split.y).mean() > margins(original.logits_shared(x), split.y).mean()
    assert cross_entropy(lambda _x: moved.logits_shared(x)[0], x, split.y).item() > 0
