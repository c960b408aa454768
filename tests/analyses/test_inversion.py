"""Inversion: similarity is scikit-image's, and attacks find what is known to be there."""

import benches
import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

from engine.analyses import make_analysis
from engine.analyses.inversion import _data_free, _difference, _inverter, similarity
from engine.models.base import Network
from engine.views import inversion


def linear(classes=3, side=4, seed=0):
    """Return a linear network, whose surest picture of a class is along that class's weights."""
    torch.manual_seed(seed)
    return Network(nn.Flatten(), nn.Linear(side * side, classes)).eval().requires_grad_()


@pytest.mark.parametrize("side", [8, 28])
def test_similarity_is_scikit_image_s(side):
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, side, side))
    window = min(7, side - (side % 2 == 0))
    theirs = structural_similarity(first, second, data_range=1.0, channel_axis=0, win_size=window)
    assert similarity(first, second) == pytest.approx(theirs, abs=1e-9)
    assert similarity(first, first) == pytest.approx(1)
    assert np.isnan(similarity(first[:, :2, :2], second[:, :2, :2]))


def test_a_linear_network_gives_its_weights_away():
    """Without smoothness the surest picture of class c lies along w_c less the mean of the others' weights."""
    network, target = linear(), torch.arange(3)
    shape = torch.Size([3, 1, 4, 4])
    x = _data_free(network, shape, target, 400, 0.0, torch.Generator().manual_seed(0)).flatten(1)
    weight = network.head.weight.detach()
    for c in range(3):
        rest = weight[[o for o in range(3) if o != c]]
        best = weight[c] - rest.mean(dim=0)
        assert torch.cosine_similarity(x[c], best, dim=0) > 0.8
    assert (network(x.view(shape)).softmax(-1).diagonal() > 0.99).all()


def test_the_inverter_is_sure_of_its_class_and_flattered_by_training_pictures():
    network, target = linear(), torch.arange(3)
    scale = torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.25)
    true = [torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(c)) for c in range(3)]
    means = torch.stack([x.mean(dim=0) for x in true])
    made = {}
    for weight in (0.0, 50.0):
        draw = torch.Generator().manual_seed(0)
        x = _inverter(network, true, target, 400, weight, scale, draw)
        made[weight] = (x * 0.25 + 0.5 - means).square().mean()
        assert ((x * 0.25 + 0.5) >= 0).all()
        assert ((x * 0.25 + 0.5) <= 1).all()
    assert made[50.0] < made[0.0] / 3, "the term that sees training pictures draws them"


def test_the_difference_of_weights_gives_the_picture_away():
    """One step up on a single picture: its own gradient, so the attack finds it up to scale and sign."""
    before, after = linear(), linear()
    secret = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    loss = nn.functional.cross_entropy(before(secret), torch.tensor([1]))
    for weight, slope in zip(after.parameters(), torch.autograd.grad(loss, list(before.parameters())), strict=True):
        weight.data += 0.1 * slope
    x = _difference(before, after, secret.shape, torch.tensor([1]), 600, 0.0, torch.Generator().manual_seed(0))
    assert torch.cosine_similarity(x.flatten(), secret.flatten(), dim=0).abs() > 0.95


@pytest.mark.parametrize("attack", ["data-free", "inverter", "difference"])
def test_forgotten_classes_come_first_and_every_role_is_attacked(attack):
    plugin = make_analysis({"key": "inversion", "attack": attack, "steps": 3, "classes": 2})
    measurement = plugin.measure(benches.bench(plugin), seed=0, progress=benches.quiet)
    facts, arrays = measurement.facts, measurement.arrays
    assert arrays["pictures"].shape[:3] == (4, 3, 2)
    assert ((arrays["pictures"] >= 0) & (arrays["pictures"] <= 1)).all()
    assert facts["forgotten"][0] > 0
    table = inversion.frame(measurement)
    expected = set(benches.ROLES) - ({"original"} if attack == "difference" else set())
    assert set(table["role"]) == expected, "there is no difference of the original to itself"
    assert bool(facts["guessed"]) == (attack == "difference")


def test_clusters_cut_a_class_into_parts_that_are_each_drawn():
    """Catches parts that share pictures, and a part compared with another part's mean."""
    plugin = make_analysis({"key": "inversion", "attack": "inverter", "steps": 2, "classes": 2, "clusters": 3})
    bench = benches.bench(plugin)
    labels = bench.labels[: bench.train]
    measurement = plugin.measure(bench, seed=0, progress=benches.quiet)
    facts, arrays = measurement.facts, measurement.arrays
    names = facts["classes"]
    assert len(names) == 6
    assert names[0].endswith(", part 1")
    first = bench.classes.index(names[0].removesuffix(", part 1"))
    own, _, _ = plugin._parts(bench, [np.flatnonzero(labels == first)], [first], 0)
    assert sorted(np.concatenate(own).tolist()) == np.flatnonzero(labels == first).tolist(), "each once"
    assert len(own[0]) >= len(own[1]) >= len(own[2]), "the largest first"
    images = bench.images
    pixels = (images.pictures(torch.from_numpy(own[1])) * images.std + images.mean).clamp(0, 1)
    assert np.allclose(arrays["means"][1], pixels.mean(dim=0).numpy(), atol=1e-6)
