"""Facts of UNSIR: what its noise is, under which name it is taught, and what the method never looks at."""

import dataclasses

import pytest
import small
import torch
import torch.nn.functional as F

from engine.data import datasets
from engine.descent import Stepper
from engine.images import Images
from engine.knobs import BadSetting
from engine.models import architectures
from engine.streams import Streams
from engine.task import ForgetTask
from engine.train import last, train
from engine.unlearners import unlearners
from engine.unlearners.unsir import learn_noise


def originals(models=2, net=None, images=None, epochs=10):
    recipe = small.training(epochs=epochs)
    images = images or small.images()
    parts = {"seed": 0, "role": "original", "ids": range(models), "strategy": "stacked"}
    return last(train(net or small.net(), images, recipe, **parts)).ensemble


def convolutional():
    source = small.data(side=15, channels=2)
    images = small.images(source)
    net = small.net(architectures()["resnet9"](width=4), source)
    return originals(net=net, images=images, epochs=2), images


def reference(original, m):
    """Model m as a plain module in evaluation mode."""
    module = original.net.initial(0).eval()
    module.load_state_dict({k: v[m] for k, v in {**original.params, **original.buffers}.items()})
    return module


def task_of(original, images, chosen):
    kept = torch.ones(len(images), dtype=torch.bool)
    kept[chosen] = False
    return ForgetTask(
        net=original.net,
        training=small.training(),
        reads=("forget", "retain"),
        _forget=images.take(chosen),
        _retain=images.take(kept.nonzero()[:, 0]),
    )


def spy(monkeypatch):
    """Return a list that fills with (loss name, pictures, labels) of every update."""
    seen, step = [], Stepper.step

    def noted(self, loss, x, y, **settings):
        seen.append((settings["name"], x.clone(), y.clone()))
        step(self, loss, x, y, **settings)

    monkeypatch.setattr(Stepper, "step", noted)
    return seen


@pytest.mark.parametrize("model", ["mlp", "resnet9"])
@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_noise_is_the_papers_loop_class_by_class_on_a_frozen_network(model, strategy):
    original, _ = (originals(), None) if model == "mlp" else convolutional()
    original = dataclasses.replace(original, strategy=strategy)
    before = original.clone()
    y = torch.tensor([2, 2, 2, 0, 0, 0])
    noise = learn_noise(original, y, seed=4, steps=5, lr=0.1, penalty=0.1)
    assert small.same(original, before), "batch norm statistics and weights, bit for bit"
    start = Streams(4, "unsir noise", original.ids, small.CPU).normal(len(y), *original.net.shape)
    for m in range(2):
        module = reference(original, m)
        for label in (2, 0):
            x = start[m, y == label].clone().requires_grad_()
            optimizer = torch.optim.Adam([x], lr=0.1)
            for _ in range(5):
                penalty = 0.1 * x.square().sum(dim=(1, 2, 3)).mean()
                loss = -F.cross_entropy(module(x), torch.full((3,), label)) + penalty
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            assert torch.allclose(noise[m, y == label], x, atol=1e-3)


def test_noise_maximises_the_loss_of_its_class_and_the_penalty_keeps_it_small():
    original = originals()
    y = torch.tensor([0, 1, 2]).repeat_interleave(8)
    start = Streams(0, "unsir noise", original.ids, small.CPU).normal(len(y), *original.net.shape)
    free, held = (learn_noise(original, y, seed=0, steps=40, lr=0.1, penalty=p) for p in (0.0, 1.0))

    def loss(x):
        return torch.stack([F.cross_entropy(reference(original, m)(x[m]), y, reduction="none") for m in range(2)])

    assert (loss(free) > loss(start)).all()
    assert (loss(free).exp().reciprocal() < 0.05).all(), "no network takes a picture for its class"
    assert (held.square().sum(dim=(2, 3, 4)) < free.square().sum(dim=(2, 3, 4))).all()


def test_noise_does_not_depend_on_how_much_fits_in_memory(monkeypatch):
    original, y = originals(), torch.tensor([0, 1, 1, 2, 2])
    whole = learn_noise(original, y, seed=0, steps=6, lr=0.1, penalty=0.1)
    monkeypatch.setattr("engine.ensemble.EVALUATION_FLOATS", original.net.width * 2 * len(original))
    assert torch.allclose(whole, learn_noise(original, y, seed=0, steps=6, lr=0.1, penalty=0.1), atol=1e-4)


def test_every_noise_picture_carries_its_own_class_and_the_rest_is_retain(monkeypatch):
    original, images = originals(), small.images()
    chosen = (images.y > 0).nonzero()[:20, 0]
    task = task_of(original, images, chosen)
    expected = task.forget.y.unique()
    assert expected.tolist() == [1, 2]

    def marked(_original, y, **_settings):
        return (1000.0 + y)[None, :, None, None, None].expand(2, -1, *original.net.shape)

    monkeypatch.setattr("engine.unlearners.unsir.learn_noise", marked)
    seen = spy(monkeypatch)
    method = unlearners()["unsir"](batch_size=7, noise=3, shown=1.5, share=0.5, impair_epochs=2, repair_epochs=3)
    last(method.unlearn(original, task, seed=0))
    phases = {"impair loss": ([], []), "repair loss": ([], [])}
    for name, x, y in seen:
        phases[name][0].append(x)
        phases[name][1].append(y)
    assert [name for name, _, _ in seen] == sorted(name for name, _, _ in seen), "impair, then repair"
    x, y = (torch.cat(part, dim=1) for part in phases["impair loss"])
    rx, ry = (torch.cat(part, dim=1) for part in phases["repair loss"])
    known = {
        tuple(p.flatten().tolist()): int(t)
        for p, t in zip(task.retain.pictures(slice(None)), task.retain.y, strict=True)
    }
    for m in range(2):
        made = x[m, :, 0, 0, 0] >= 1000
        assert torch.equal(x[m, made, 0, 0, 0], 1000.0 + y[m, made])
        assert torch.bincount(y[m, made]).tolist() == [0, 30, 30], "1.5 x 20 pictures, two epochs, both classes alike"
        impaired = [(tuple(p.flatten().tolist()), int(t)) for p, t in zip(x[m, ~made], y[m, ~made], strict=True)]
        repaired = [(tuple(p.flatten().tolist()), int(t)) for p, t in zip(rx[m], ry[m], strict=True)]
        assert all(known[p] == t for p, t in impaired + repaired)
        sample = set(repaired)
        assert len(sample) == round(0.5 * len(task.retain))
        assert sorted(impaired) == sorted(2 * list(sample))
        assert sorted(repaired) == sorted(3 * list(sample))


def test_classes_are_shown_alike_when_the_noise_does_not_divide_what_is_shown(monkeypatch):
    original, images = originals(), small.images()
    task = task_of(original, images, (images.y > 0).nonzero()[:20, 0])
    seen = spy(monkeypatch)
    last(unlearners()["unsir"](noise=7, noise_steps=1, batch_size=100, share=0.01).unlearn(original, task, seed=0))
    _, _, y = seen[0]  # 20 noise pictures of 14 that were learned, 7 for each class, and one that is kept
    for m in range(2):
        count = torch.bincount(y[m], minlength=3)
        assert abs(int(count[1] - count[2])) <= 1, "10 and 10, one of them beside a picture that is kept"


def test_pictures_to_be_forgotten_are_never_looked_at_but_their_labels_are():
    original, images = originals(), small.images()
    task = task_of(original, images, small.FORGET)
    method = unlearners()["unsir"](batch_size=8, noise_steps=3)

    def run(forget):
        return last(method.unlearn(original, dataclasses.replace(task, _forget=forget), seed=0)).ensemble

    result = run(task.forget)
    assert small.same(result, run(dataclasses.replace(task.forget, x=255 - task.forget.x)))
    other = dataclasses.replace(task.forget, y=torch.zeros_like(task.forget.y))
    assert task.forget.y.unique().tolist() != [0]
    assert not small.same(result, run(other))


def test_the_pictures_a_page_shows_are_those_a_run_trains_on(monkeypatch):
    original, images = originals(), small.images()
    task = task_of(original, images, (images.y != 1).nonzero()[:20, 0])
    method = unlearners()["unsir"](noise=3, noise_steps=7, batch_size=100)
    shown = method.exhibit(original, task, seed=5, most=8)
    assert shown.classes.tolist() == [0, 2]
    assert shown.pictures.shape == (2, 3, *original.net.shape), "3 pictures for each of 2 classes"
    assert method.exhibit(original, task, seed=5, most=2).pictures.shape[1] == 2
    seen = spy(monkeypatch)
    last(method.unlearn(original, task, seed=5))
    _, x, y = seen[0]
    for k, label in enumerate((0, 2)):
        for picture in shown.pictures[k]:
            same = torch.isclose(x[0], picture, atol=1e-5).flatten(1).all(dim=1)  # one model alone, or stacked
            assert same.sum() in (3, 4), "20 pictures shown, 6 learned"
            assert (y[0, same] == label).all()


def test_a_whole_class_of_real_digits_is_forgotten_and_the_others_are_kept(tmp_path):
    source = datasets()["digits"]().load(tmp_path, lambda *_: None)
    train_on, test = (Images.of(source, part, small.CPU) for part in ("train", "test"))
    original = originals(3, small.net(architectures()["mlp"](hidden=64), source), train_on)
    task = task_of(original, train_on, (train_on.y == 3).nonzero()[:, 0])
    after = last(unlearners()["unsir"]().unlearn(original, task, seed=0)).ensemble

    def accuracy(ensemble, split):
        return (ensemble.logits_shared(split.pictures(slice(None))).argmax(-1) == split.y).float().mean().item()

    assert accuracy(original, task.forget) > 0.98
    assert accuracy(after, task.forget) < 0.02
    assert accuracy(after, test.take((test.y != 3).nonzero()[:, 0])) > 0.93


def test_the_papers_cifar_setting_costs_a_fraction_of_an_epoch_and_too_few_pictures_are_refused():
    method = unlearners()["unsir"](share=0.2, repair_epochs=1)
    # One class of 5,000: a batch of 256 learned in 40 steps, shown 5,000 times beside 1,000 pictures of 9 classes.
    planned = method.planned_cost(forget=5_000, retain=45_000, training=small.training())
    assert planned == 256 * 40 * 2 + 3 * (5_000 + 9_000 + 9_000)
    original, images = originals(), small.images()
    task = task_of(original, images, torch.arange(20))
    with pytest.raises(BadSetting, match="unsir: 2 noise pictures are too few for 3 classes"):
        last(unlearners()["unsir"](shown=0.1).unlearn(original, task, seed=0))


def test_each_class_to_forget_has_as_much_noise_of_its_own():
    original, images = originals(), small.images()
    for count in (1, 2):
        task = task_of(original, images, (images.y < count).nonzero()[:, 0])
        shown = unlearners()["unsir"](noise=4, noise_steps=1).exhibit(original, task, seed=0, most=9)
        assert shown.pictures.shape[:2] == (count, 4)
    one = task_of(original, images, (images.y == 0).nonzero()[:, 0])
    method = unlearners()["unsir"](noise=4, noise_steps=2)
    planned = method.planned_cost(forget=len(one.forget), retain=len(one.retain), training=small.training())
    assert last(method.unlearn(original, one, seed=0)).cost == planned


def test_every_class_of_the_retain_set_is_in_the_sample_by_its_share():
    y = torch.tensor([0] * 40 + [1] * 20 + [2] * 5)
    drawn = Streams(0, "sample", range(3), small.CPU).stratified(y, 13)  # (M, 13): a fifth
    for row in drawn:
        assert len(row.unique()) == 13
        assert torch.bincount(y[row], minlength=3).tolist() == [8, 4, 1]
    assert len({tuple(sorted(row.tolist())) for row in drawn}) == 3, "each model draws its own"


def test_layers_below_the_last_move_by_their_own_share_of_the_rate():
    original, images = originals(net=small.net(architectures()["mlp"](hidden=8, depth=2))), small.images()
    task = task_of(original, images, small.FORGET)
    base = {"impair_lr": 0.01, "repair_lr": 0.02, "share": 1.0, "optimizer": "sgd", "batch_size": 100}
    method = unlearners()["unsir"](**base, repair_epochs=1, impair_below=0.0, repair_below=0.0)
    after = last(method.unlearn(original, task, seed=0)).ensemble
    for name, weight in original.params.items():
        assert torch.equal(after.params[name], weight) == ("head" not in name), name
    # One step of each phase: below the last layer the second one moves a tenth as far.
    whole, tenth, impaired = (
        last(unlearners()["unsir"](**base, repair_epochs=epochs, repair_below=share).unlearn(original, task, seed=0))
        for epochs, share in ((1, 1.0), (1, 0.1), (0, 1.0))
    )
    whole, tenth, impaired = whole.ensemble, tenth.ensemble, impaired.ensemble
    for name, weight in impaired.params.items():
        factor = 1.0 if "head" in name else 0.1
        assert torch.allclose(tenth.params[name] - weight, factor * (whole.params[name] - weight), atol=1e-6), name
