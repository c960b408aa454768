"""Training: one meaning for both strategies and every chunking, and nobody sees what they should not."""

import itertools
import math

import pytest
import small
import torch
import torch.nn.functional as F
from torch import nn

from engine.demo import demo_recipe
from engine.descent import learning_rate
from engine.ensemble import Ensemble
from engine.experiment import resolve
from engine.models import architectures
from engine.records import Recipe
from engine.seeds import derive
from engine.streams import Streams
from engine.train import last, train
from engine.training import Training

TINY = {
    "logistic": {},
    "mlp": {"hidden": 8},
    "cnn": {"channels": 4},
    "lenet5": {},
    "resnet9": {"width": 4},
}


def trained(net, images, ids, *, strategy="stacked", subset=None, recipe=None, seed=0, role="original"):
    recipe = recipe or small.training()
    return last(train(net, images, recipe, seed=seed, role=role, ids=ids, strategy=strategy, subset=subset)).ensemble


@pytest.mark.parametrize("key", TINY)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_stacked_equals_looped(key, optimizer):
    """Catches an optimiser or a statistic that couples models in one strategy only."""
    source = small.data(side=12)
    net = small.net(architectures()[key](**TINY[key]), source)
    recipe = small.training(optimizer=optimizer, lr=0.003 if optimizer == "adam" else 0.02)
    a = trained(net, small.images(source), range(3), recipe=recipe)
    b = trained(net, small.images(source), range(3), recipe=recipe, strategy="looped")
    assert small.close(a, b, 2e-3)
    assert not small.close(
        a, Ensemble.initial(net, seed=0, role="original", ids=range(3), device=small.CPU, strategy="stacked"), 2e-3
    )


@pytest.mark.parametrize("key", ["mlp", "resnet9"])
def test_chunking_does_not_matter(key):
    """Catches streams or initialisations that depend on a model's position instead of its number."""
    source = small.data(side=12)
    net = small.net(architectures()[key](**TINY[key]), source)
    images = small.images(source)
    whole = trained(net, images, range(4))
    parts = Ensemble.join([trained(net, images, range(2)), trained(net, images, range(2, 4))])
    assert small.close(whole, parts)
    assert small.close(whole[2:3], trained(net, images, [2]))


def test_a_recipe_repeats_to_the_bit():
    net, images = small.net(), small.images()
    assert small.same(trained(net, images, range(3)), trained(net, images, range(3)))
    assert not small.same(trained(net, images, range(3)), trained(net, images, range(3), seed=1))
    assert not small.same(trained(net, images, range(3)), trained(net, images, range(3), role="oracle"))


def test_an_oracle_never_sees_the_forget_set():
    """Catches an oracle that draws forget examples: poisoned pictures and labels must not move one bit."""
    source = small.data()
    images = small.images(source)
    kept = torch.tensor([i for i in range(len(images)) if i not in small.FORGET.tolist()])
    clean = trained(small.net(), images, range(2), subset=kept)
    images.x[small.FORGET] = 255
    images.y[small.FORGET] = (images.y[small.FORGET] + 1) % 3
    assert small.same(clean, trained(small.net(), images, range(2), subset=kept))
    assert not small.same(trained(small.net(), small.images(source), range(2)), trained(small.net(), images, range(2)))


def test_subsets_of_different_sizes_equal_training_each_alone():
    """Catches padding, and a shared number of steps, in ensembles of shards and halves."""
    images = small.images()
    mask = torch.zeros(3, len(images), dtype=torch.bool)
    mask[0, :20] = True
    mask[1, 5:45] = True
    mask[2, 10:30] = True
    snapshots = list(
        train(small.net(), images, small.training(), seed=0, role="r", ids=[4, 5, 6], strategy="stacked", subset=mask)
    )
    assert snapshots[-1].step == snapshots[-1].total
    assert [s.step for s in snapshots] == [*range(11), 10], "groups one after the other, then all models together"
    assert (snapshots[-1].seen, snapshots[-1].cost) == (80, 240.0), "of the model with the largest subset"
    assert snapshots[-1].losses["loss"].shape == (3,)
    for before, after in itertools.pairwise(snapshots):
        assert (after.seen, after.cost) >= (before.seen, before.cost)
    for m, number in enumerate([4, 5, 6]):
        alone = trained(small.net(), images, [number], role="r", subset=mask[m].nonzero()[:, 0])
        assert small.close(snapshots[-1].ensemble[m : m + 1], alone)


def test_impossible_subsets_are_refused():
    """Catches a fresh network handed back as trained, and mask rows that belong to no model."""
    mask = torch.zeros(2, 48, dtype=torch.bool)
    mask[0] = True
    with pytest.raises(ValueError, match="model 8 has an empty training subset"):
        trained(small.net(), small.images(), [7, 8], subset=mask)
    with pytest.raises(ValueError, match="nothing to train on"):
        trained(small.net(), small.images(), [0], subset=torch.empty(0, dtype=torch.int64))
    for wrong in (mask[:1], mask[:, :47], mask[0]):
        with pytest.raises(ValueError, match=r"the mask must be \(2, 48\)"):
            trained(small.net(), small.images(), [7, 8], subset=wrong)


def test_a_mask_and_a_list_of_one_subset_agree():
    kept = torch.tensor([i for i in range(48) if i not in small.FORGET.tolist()])
    mask = torch.zeros(2, 48, dtype=torch.bool)
    mask[:, kept] = True
    images = small.images()
    assert small.close(
        trained(small.net(), images, range(2), subset=kept), trained(small.net(), images, range(2), subset=mask)
    )


def test_masked_examples_are_never_drawn():
    """Catches padding: poisoned pictures outside each model's own subset must not move one bit."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(3, 48, generator=generator) < 0.5
    mask[:, 0] = False
    clean = trained(small.net(), small.images(), range(3), subset=mask)
    poisoned = small.images()
    outside = ~mask.any(dim=0)
    poisoned.x[outside], poisoned.y[outside] = 255, 0
    assert small.same(clean, trained(small.net(), poisoned, range(3), subset=mask))
    for m in range(3):
        poisoned = small.images()
        poisoned.x[~mask[m]] = 255
        assert small.same(clean[m : m + 1], trained(small.net(), poisoned, range(3), subset=mask)[m : m + 1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"schedule": "constant", "weight_decay": 0.01},
        {"schedule": "one_cycle", "warmup": 0.4},
        {"label_smoothing": 0.2},
        {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
    ],
)
def test_equals_a_plain_pytorch_loop(settings):
    recipe = small.training(**settings)
    net, images = small.net(), small.images()
    ours = trained(net, images, [5], recipe=recipe)
    model = net.initial(derive(0, "original", 5)).train()
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            model.parameters(), momentum=recipe.momentum, weight_decay=recipe.weight_decay, lr=1.0
        )
    else:
        optimizer = torch.optim.Adam(model.parameters(), weight_decay=recipe.weight_decay, lr=1.0)
    streams = Streams(0, "original:batches", [5], small.CPU)
    step, total = 0, recipe.epochs * 3
    for _ in range(recipe.epochs):
        for positions in streams.epoch(len(images), recipe.batch_size):
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, step, total)
            x, y = images.batch(positions[0])
            loss = nn.functional.cross_entropy(model(x), y, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    assert step == total
    for name, weight in model.named_parameters():
        assert torch.allclose(weight, ours.params[name][0], atol=1e-5), name


def test_schedules_have_their_closed_forms():
    def at(step, **settings):
        return learning_rate(Training(lr=2.0, **settings), step, 100)

    assert at(73, schedule="constant") == 2.0
    assert at(0, schedule="cosine") == 2.0
    assert at(50, schedule="cosine") == pytest.approx(1.0)
    assert at(99, schedule="cosine") == pytest.approx(1 + math.cos(0.99 * math.pi))
    peak = max(range(100), key=lambda s: at(s, schedule="one_cycle", warmup=0.2))
    assert peak == 20
    assert at(20, schedule="one_cycle", warmup=0.2) == 2.0
    assert at(60, schedule="one_cycle", warmup=0.2) == pytest.approx(1.0)
    rises = [at(s, schedule="one_cycle", warmup=0.2) for s in range(21)]
    assert rises == sorted(rises)
    assert rises[0] > 0


def test_bf16_trains_and_leaves_float32_weights():
    full = trained(small.net(), small.images(), range(2))
    half = trained(small.net(), small.images(), range(2), recipe=small.training(precision="bf16"))
    assert all(v.dtype == torch.float32 for v in half.params.values())
    assert not small.same(full, half)
    assert small.close(full, half, 0.1)


def test_global_state_is_left_alone():
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    trained(small.net(), small.images(), range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.is_grad_enabled()


def test_cost_counts_three_forwards_an_example():
    final = last(train(small.net(), small.images(), small.training(), seed=0, role="r", ids=[0], strategy="stacked"))
    assert (final.seen, final.cost, final.step, final.total) == (96, 288.0, 6, 6)


def reference_step(option, value, strategy="stacked", **more):
    """One step of one model, written with a plain module and plain autograd."""
    net, images = small.net(), small.images()
    recipe = small.training(epochs=1, batch_size=48, momentum=0.0, schedule="constant", **{option: value}, **more)
    first, trained = (s.ensemble.clone() for s in train(
        net, images, recipe, seed=0, role="r", ids=[0], strategy=strategy))  # fmt: skip
    module = net.initial(0)
    module.load_state_dict({k: v[0] for k, v in {**first.params, **first.buffers}.items()})
    logits = module(images.pictures(slice(None)))
    loss = torch.nn.functional.cross_entropy(logits, images.y)
    weights = list(module.parameters())
    if option == "deviation":
        loss = loss + value * torch.stack([row.std() for row in logits]).mean()
    elif recipe.restricts_examples:
        lengths = []
        for row, label in zip(logits, images.y, strict=True):
            own = torch.nn.functional.cross_entropy(row[None], label[None])
            gradient = torch.autograd.grad(own, weights, create_graph=True)
            lengths.append(torch.sqrt(sum((g**2).sum() for g in gradient)))
        loss = loss + value * torch.stack(lengths).mean()
    else:
        gradient = torch.autograd.grad(loss, weights, create_graph=True)
        loss = loss + value * torch.sqrt(sum((g**2).sum() for g in gradient))
    gradient = torch.autograd.grad(loss, weights)
    expected = {
        name: (w - recipe.lr * (g + recipe.weight_decay * w)).detach()
        for (name, w), g in zip(module.named_parameters(), gradient, strict=True)
    }
    return {k: v[0] for k, v in trained.params.items()}, expected


@pytest.mark.parametrize("option", ["restriction", "deviation"])
def test_gr_and_sd_losses_are_their_formulas(option):
    for value in (0.0, 0.3):
        trained, expected = reference_step(option, value)
        assert all(torch.allclose(trained[k], expected[k], atol=1e-6) for k in expected)
    assert any(not torch.allclose(trained[k], reference_step(option, 0.0)[0][k], atol=1e-6) for k in trained)


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_gr_loss_of_each_example_is_equation_7(strategy):
    """Catches the gradient of the batch in the place of its examples'."""
    trained, expected = reference_step("restriction", 0.3, strategy, restricted="example")
    assert all(torch.allclose(trained[k], expected[k], atol=1e-6) for k in expected)
    batch, _ = reference_step("restriction", 0.3, strategy)
    assert any(not torch.allclose(trained[k], batch[k], atol=1e-5) for k in trained)
    plain, _ = reference_step("restriction", 0.0, strategy, restricted="example")
    assert all(torch.equal(plain[k], reference_step("restriction", 0.0, strategy)[0][k]) for k in plain), "0 is off"


def test_gr_loss_of_each_example_is_refused_with_batch_norm_and_priced():
    training = {"restriction": 0.1, "restricted": "example"}
    made = {**demo_recipe().to_json(), "model": {"key": "resnet9"}, "training": training}
    assert "batch norm" in resolve(Recipe.from_json(made)).misfit((1, 8, 8))
    fits = resolve(Recipe.from_json({**made, "model": {"key": "mlp"}}))
    assert fits.misfit((1, 8, 8)) is None
    assert fits.recipe.training.passes == 12.0


@pytest.mark.parametrize("model", ["mlp", "resnet9"])
def test_gr_loss_means_the_same_stacked_and_looped(model):
    source = small.data(side=12)
    net = small.net(architectures()[model](**{"mlp": {"hidden": 8}, "resnet9": {"width": 4}}[model]), source)
    recipe = small.training(epochs=1, restriction=0.1, deviation=0.1)
    runs = [
        last(train(net, small.images(source), recipe, seed=0, role="r", ids=[0, 1], strategy=strategy))
        for strategy in ("stacked", "looped")
    ]
    assert small.close(*(run.ensemble for run in runs), tolerance=1e-3)
    assert runs[0].cost == 9.0 * 48, "the price is known, and it is three times the plain one"


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
@pytest.mark.parametrize(
    "settings", [{"clip": 0.3}, {"optimizer": "signsgd", "lr": 2e-3}, {"clip": 0.3, "momentum": 0.0}]
)
def test_clipping_and_signs_are_torch_s_own_for_each_network_by_itself(settings, strategy):
    """A gradient of one network must not shorten another's."""
    recipe = small.training(epochs=3, **settings)
    images, net = small.images(), small.net()
    about = {"seed": 2, "role": "original", "ids": range(2), "strategy": strategy}
    ours = last(train(net, images, recipe, **about)).ensemble
    for m in range(2):
        model = net.initial(derive(2, "original", m)).train()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        streams, step, total = Streams(2, "original:batches", [m], small.CPU), 0, 3 * 3
        clipped = 0
        for _ in range(recipe.epochs):
            for positions in streams.epoch(48, recipe.batch_size):
                x, y = images.batch(positions[0])
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                if recipe.clip:
                    clipped += int(torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip) > recipe.clip)
                if recipe.optimizer == "signsgd":
                    for weight in model.parameters():
                        weight.grad.sign_()
                optimizer.param_groups[0]["lr"] = learning_rate(recipe, step, total)
                optimizer.step()
                step += 1
        assert clipped or not recipe.clip
        for name, weight in model.named_parameters():
            assert torch.allclose(ours.params[name][m], weight, atol=1e-5), name
