"""Facts of relabelling, masking, dampening, thinning and bad teaching that only right implementations satisfy."""

import pytest
import small
import torch
import torch.nn.functional as F

from engine.curvature import flatten
from engine.descent import Stepper
from engine.ensemble import Ensemble, margins
from engine.gradients import mean_gradient, mean_square_gradient
from engine.losses import cross_entropy
from engine.models import architectures
from engine.seeds import derive
from engine.streams import Streams
from engine.train import last, train
from engine.unlearners import unlearners
from engine.unlearners.relabel import salient


def originals(models=2, net=None, images=None):
    return last(
        train(
            net or small.net(),
            images or small.images(),
            small.training(epochs=10),
            seed=0,
            role="original",
            ids=range(models),
            strategy="stacked",
        )
    ).ensemble


def run(method, original, images=None):
    task = small.task(original.net, images or small.images(), method.card.reads)
    return list(method.unlearn(original, task, seed=0))[-1].ensemble


def logits(ensemble, images):
    return ensemble.logits_shared(images.pictures(slice(None)))  # (M, n, C)


def reference(original, m):
    """Model m as a plain module in evaluation mode."""
    module = original.net.initial(0).eval()
    module.load_state_dict({k: v[m] for k, v in {**original.params, **original.buffers}.items()})
    return module


@pytest.mark.parametrize("model", ["mlp", "resnet9"])
def test_gradients_without_a_step_are_autograds(model):
    source = small.data(side=12)
    images = small.images(source)
    net = small.net(architectures()[model](**{"mlp": {"hidden": 8}, "resnet9": {"width": 4}}[model]), source)
    original = originals(net=net, images=images)
    some = images.take(torch.arange(7))
    mean, square = (measure(original, cross_entropy, some) for measure in (mean_gradient, mean_square_gradient))
    module = reference(original, 1)
    x, y = some.pictures(slice(None)), some.y
    whole = torch.autograd.grad(F.cross_entropy(module(x), y), list(module.parameters()))
    single = [
        torch.autograd.grad(F.cross_entropy(module(x[i : i + 1]), y[i : i + 1]), list(module.parameters()))
        for i in range(7)
    ]
    for j, (name, _) in enumerate(module.named_parameters()):
        assert torch.allclose(mean[name][1], whole[j], atol=1e-5)
        assert torch.allclose(square[name][1], sum(g[j] ** 2 for g in single) / 7, atol=1e-5)


def test_gradients_do_not_depend_on_batches(monkeypatch):
    original, images = originals(), small.images()
    whole = [measure(original, cross_entropy, images) for measure in (mean_gradient, mean_square_gradient)]
    monkeypatch.setattr("engine.gradients._BATCH", 5)
    parts = [measure(original, cross_entropy, images) for measure in (mean_gradient, mean_square_gradient)]
    for a, b in zip(whole, parts, strict=True):
        assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)


def test_a_wrong_label_is_never_the_right_one_and_every_other_is_as_likely():
    y = torch.arange(5).repeat(400)[None]  # (1, 2000)
    drawn = Streams(0, "test", [0], small.CPU).wrong_labels(y, 5)
    assert not (drawn == y).any()
    counts = torch.stack([torch.bincount(drawn[0][y[0] == c], minlength=5) for c in range(5)])  # (true, drawn)
    others = counts[~torch.eye(5, dtype=torch.bool)]
    assert others.min() > 60  # 100 expected, deviation 9
    assert others.max() < 140
    assert torch.equal(Streams(0, "test", [0], small.CPU).wrong_labels(y[0], 5), drawn), "labels all models share"


@pytest.mark.parametrize("key", ["random_labels", "amnesiac", "salun"])
def test_relabelling_lowers_the_true_label_on_the_forget_set_and_keeps_the_rest(key):
    original = originals()
    after = run(unlearners()[key](lr=5e-3, epochs=30), original)
    images = small.images()
    forget = images.take(small.FORGET)
    kept = torch.ones(len(images), dtype=torch.bool)
    kept[small.FORGET] = False
    retain = images.take(kept.nonzero()[:, 0])

    def margin(ensemble, split):
        return margins(logits(ensemble, split), split.y).mean()

    fallen = margin(original, forget) - margin(after, forget)
    assert fallen > 0.5
    assert margin(original, retain) - margin(after, retain) < 0.5 * fallen


def test_amnesiac_labels_are_drawn_once_and_random_labels_each_time(monkeypatch):
    seen = []

    draw = Streams.wrong_labels

    def note(streams, y, classes):
        seen.append(y.shape[-1])
        return draw(streams, y, classes)

    monkeypatch.setattr(Streams, "wrong_labels", note)
    run(unlearners()["amnesiac"](epochs=2, copies=4, batch_size=16), originals())
    assert seen == [4 * len(small.FORGET)]
    seen.clear()
    run(unlearners()["random_labels"](epochs=2, batch_size=16), originals())
    assert seen == [16, 16, 16] * 2, "once per batch"


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_salun_moves_only_the_most_salient_share_of_each_model(optimizer):
    original = originals()
    task = small.task(original.net, small.images(), ("forget", "retain"))
    mask = salient(original, task.forget, 0.25)
    after = run(unlearners()["salun"](share=0.25, lr=1e-2, optimizer=optimizer), original)
    gradient = mean_gradient(original, cross_entropy, task.forget)
    for m in range(2):
        inside = torch.cat([mask[k][m].flatten() for k in mask])
        size = torch.cat([gradient[k][m].abs().flatten() for k in mask])
        assert inside.sum() == round(0.25 * len(inside))
        assert size[inside].min() >= size[~inside].max()
    for k, before in original.params.items():
        assert torch.equal(after.params[k][~mask[k]], before[~mask[k]]), "bit for bit"
    assert any((after.params[k][mask[k]] != original.params[k][mask[k]]).any() for k in mask)


@pytest.mark.parametrize("depth", [1, 3])
def test_salun_lets_no_more_than_its_share_move_where_most_gradients_are_zero(depth):
    """One picture leaves most ReLU units off: more gradients are exactly 0 than the share leaves out."""
    original = originals(net=small.net(architectures()["mlp"](hidden=64, depth=depth)))
    one = small.images().take(small.FORGET[:1])
    size = flatten(mean_gradient(original, cross_entropy, one)).abs()  # (M, P)
    share = 0.9
    assert ((size == 0).float().mean(dim=1) > 1 - share).all(), "the case this is about"
    inside = flatten(salient(original, one, share))  # (M, P)
    assert (inside.sum(dim=1) == round(share * size.shape[1])).all()
    assert (inside | (size == 0)).all(), "every weight with a gradient may move"
    for m in range(2):
        alone = salient(original[m : m + 1], one, share)
        assert torch.equal(flatten(alone)[0], inside[m]), "ties fall alike for one network and for many"


def test_ssd_is_its_formula_and_leaves_everything_at_a_huge_alpha():
    original = originals()
    assert small.same(run(unlearners()["ssd"](alpha=1000.0), original), original)
    after = run(unlearners()["ssd"](alpha=1.0, strength=0.7), original)
    images = small.images()
    kept = torch.ones(len(images), dtype=torch.bool)
    kept[small.FORGET] = False
    module, moved = reference(original, 0), 0

    def importance(split):
        total = [torch.zeros_like(p) for p in module.parameters()]
        x, y = split.pictures(slice(None)), split.y
        for i in range(len(split)):
            loss = F.cross_entropy(module(x[i : i + 1]), y[i : i + 1])
            total = [t + g**2 for t, g in zip(total, torch.autograd.grad(loss, list(module.parameters())), strict=True)]
        return [t / len(split) for t in total]

    on_forget, on_all = importance(images.take(small.FORGET)), importance(images)
    for (name, weight), f, d in zip(module.named_parameters(), on_forget, on_all, strict=True):
        wanted = torch.where(f > d, (0.7 * d / f).clamp(max=1) * weight, weight)
        assert torch.allclose(after.params[name][0], wanted, atol=1e-6)
        moved += int((after.params[name][0] != original.params[name][0]).sum())
    assert moved > 0


def test_one_step_of_l1_sparse_subtracts_the_sign_and_the_last_steps_do_not():
    original = originals()
    lr, gamma = 0.01, 0.05
    settings = {"lr": lr, "epochs": 1, "batch_size": 64, "momentum": 0.0}
    pressed = run(unlearners()["l1_sparse"](**settings, gamma=gamma), original)
    plain = run(unlearners()["l1_sparse"](**settings, gamma=0.0), original)
    for k, weight in original.params.items():
        assert torch.allclose(plain.params[k] - pressed.params[k], lr * gamma * weight.sign(), atol=1e-6)
    method = unlearners()["l1_sparse"](lr=1e-7, epochs=10, batch_size=64, gamma=0.1, free=0.5)
    task = small.task(original.net, small.images(), method.card.reads)
    losses = [s.losses["penalised loss"][0].item() for s in method.unlearn(original, task, seed=0) if s.step]
    norm = sum(w[0].abs().sum().item() for w in original.params.values())
    penalties = [loss - losses[-1] for loss in losses]  # lr is nothing, so the rest of the loss stays
    assert penalties[0] == pytest.approx(0.1 * norm, rel=1e-3)
    assert penalties[1] == pytest.approx(0.08 * norm, rel=1e-3), "falling linearly over the first half"
    assert penalties[5:] == pytest.approx([0] * 5, abs=1e-3)


def test_bad_teaching_moves_forget_outputs_to_the_random_teacher_and_the_rest_nowhere():
    original = originals()
    after = run(unlearners()["bad_teaching"](epochs=60, share=1.0, lr=3e-3), original)
    random = Ensemble.initial(
        original.net,
        seed=derive(0, "bad teacher"),
        role="bad teacher",
        ids=original.ids,
        device=small.CPU,
        strategy="stacked",
    )
    images = small.images()
    forget = images.take(small.FORGET)

    def apart(a, b, split):
        return (logits(a, split).softmax(-1) - logits(b, split).softmax(-1)).abs().mean().item()

    assert apart(after, random, forget) < 0.6 * apart(original, random, forget)
    kept = torch.ones(len(images), dtype=torch.bool)
    kept[small.FORGET] = False
    assert apart(after, original, images.take(kept.nonzero()[:, 0])) < 0.1


def steps_of(method, original, monkeypatch):
    """Return the pictures (M, n, ...) and targets (M, n, ...) of every update, in order."""
    seen, step = [], Stepper.step

    def noted(self, loss, x, *rest, **settings):
        seen.append((x.clone(), rest[0].clone()))
        step(self, loss, x, *rest, **settings)

    monkeypatch.setattr(Stepper, "step", noted)
    run(method, original)
    return tuple(torch.cat(parts, dim=1) for parts in zip(*seen, strict=True))


def numbers(x):
    """Return which training pictures these (n, c, h, w) are: int64 (n,)."""
    known = {tuple(p.flatten().tolist()): i for i, p in enumerate(small.images().pictures(slice(None)))}
    return torch.tensor([known[tuple(p.flatten().tolist())] for p in x])


@pytest.mark.parametrize(("key", "copies"), [("random_labels", 1), ("amnesiac", 3), ("salun", 1)])
def test_only_forget_examples_have_wrong_labels_and_all_of_them_do(key, copies, monkeypatch):
    """Catches labels that slip to the next example: a kept one taught wrongly, a forgotten one taught rightly."""
    settings = {"copies": copies} if key == "amnesiac" else {}
    x, y = steps_of(unlearners()[key](epochs=2, batch_size=7, **settings), originals(), monkeypatch)
    true = small.images().y
    for m in range(2):
        which = numbers(x[m])
        forgotten = torch.isin(which, small.FORGET)
        assert (y[m, forgotten] != true[which[forgotten]]).all()
        assert (y[m, ~forgotten] == true[which[~forgotten]]).all()
        visits = torch.bincount(which, minlength=48)
        assert (visits[small.FORGET] == 2 * copies).all()
        assert visits.sum() == 2 * (42 + 6 * copies)
        assert visits.max() == 2 * copies
        if key == "amnesiac":  # drawn once: each epoch shows an example with the same labels
            half = len(which) // 2
            for i in small.FORGET:
                first, second = y[m, :half][which[:half] == i], y[m, half:][which[half:] == i]
                assert first.sort().values.equal(second.sort().values)


def test_each_bad_teacher_teaches_its_own_examples(monkeypatch):
    """Catches a sample that is drawn from the wrong set, and teachers that are swapped or not the model's own."""
    original = originals()
    x, teacher = steps_of(unlearners()["bad_teaching"](epochs=2, share=0.5, batch_size=7), original, monkeypatch)
    random = Ensemble.initial(
        original.net,
        seed=derive(0, "bad teacher"),
        role="bad teacher",
        ids=original.ids,
        device=small.CPU,
        strategy="stacked",
    )
    bad, good = random.logits(x), original.logits(x)  # (M, n, C)
    for m in range(2):
        which = numbers(x[m])
        forgotten = torch.isin(which, small.FORGET)
        assert torch.allclose(teacher[m, forgotten], bad[m, forgotten], atol=1e-5)
        assert torch.allclose(teacher[m, ~forgotten], good[m, ~forgotten], atol=1e-5)
        visits = torch.bincount(which, minlength=48)
        assert (visits[small.FORGET] == 2).all()
        assert (visits > 0).sum() == 6 + 21, "half of what is kept, the same in both epochs"
        assert visits.max() == 2
