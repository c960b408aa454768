"""Attention: Captum's own maps, each of sum one, and a check that falls where the map is right."""

import benches
import numpy as np
import pytest
import small
import torch

from engine.analyses import make_analysis
from engine.analyses.attention import KINDS, attribution
from engine.data.glyphs import Glyphs
from engine.ensemble import Ensemble
from engine.images import Images
from engine.models import make_architecture
from engine.models.base import Net
from engine.train import last, train
from engine.training import Training
from engine.views import attention, deletion


def measured(**settings):
    plugin = make_analysis({"key": "attention", **settings})
    return plugin.measure(benches.bench(plugin), seed=0, progress=benches.quiet)


def test_gradcam_is_the_formula_and_captum_s_per_network():
    """relu(sum_k w_k A_k) with w_k the mean gradient of the class's logit, by hand and from the analysis."""
    measurement = measured(kind="gradcam")
    points = torch.tensor(measurement.facts["points"])
    plugin = make_analysis({"key": "attention", "kind": "gradcam"})
    bench = benches.bench(plugin)
    x, y = bench.images.pictures(points), bench.images.y[points]
    for m in range(3):
        network = bench.network("oracle", m)
        deep = network.body.conv2(network.body.relu1(network.body.pool1(network.body.conv1(x))))  # (n, k, h, w)
        answer = network.head(network.body.flat(network.body.relu2(network.body.pool2(deep))))
        assert torch.allclose(answer, network(x))
        (slope,) = torch.autograd.grad(answer.gather(1, y[:, None]).sum(), deep)
        by_hand = (slope.mean(dim=(2, 3), keepdim=True) * deep).sum(dim=1).relu().detach()
        ours = attribution(network, bench.net, "gradcam", x, y)
        assert torch.allclose(ours, by_hand, atol=1e-6)
        total = by_hand.sum(dim=(1, 2), keepdim=True)
        shared = torch.where(total > 0, by_hand / total, 0)
        stored = torch.from_numpy(measurement.arrays["maps"][m, benches.ROLES.index("oracle")])
        assert torch.allclose(stored, shared, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_map_is_shared_out_or_empty(kind):
    maps = measured(kind=kind).arrays["maps"]
    assert (maps >= 0).all()
    sums = maps.sum(axis=(-2, -1))
    assert (np.isclose(sums, 1, atol=1e-4) | (sums == 0)).all()


def test_networks_without_a_convolution_are_asked_otherwise_and_gradcam_says_so():
    assert measured().facts["kind"] == "integrated gradients"
    assert "convolution" in make_analysis({"key": "attention", "kind": "gradcam"}).misfit(benches.SUBJECT)


def test_forgotten_pictures_stand_beside_kept_ones_of_their_class():
    facts = measured(pictures=4, also="59 9999 x ² 7").facts
    assert facts["splits"][:2] == ["forget", "forget"]
    assert facts["splits"][2:4] != ["forget", "forget"]
    assert set(facts["labels"][2:4]) <= set(facts["labels"][:2])
    assert {59, 7} <= set(facts["points"])
    assert 9999 not in facts["points"]


def test_alike_maps_correlate_and_mirrored_ones_do_not():
    heat = np.arange(12.0).reshape(3, 4)
    assert attention.correlation(heat, np.exp(heat)) == pytest.approx(1), "ranks, not values"
    assert attention.correlation(heat, -heat) == pytest.approx(-1)
    assert np.isnan(attention.correlation(heat, np.ones((3, 4))))
    corner = np.zeros((4, 4))
    corner[0, 2] = 2.0
    assert attention.centre(corner).tolist() == [0, 0.5]


def test_a_trained_network_looks_at_the_thing_and_the_check_knows():
    """A CNN that reads drawn shapes: more of its map lies on them than their area, and its pixels matter most."""
    data = Glyphs(each=60).load(None, lambda *_: None)
    net = Net(make_architecture({"key": "cnn", "channels": 8}), data.shape, 10)
    images = Images.of(data, "train", small.CPU)
    recipe = Training(epochs=12, batch_size=32)
    trained = last(train(net, images, recipe, seed=0, role="original", ids=[0, 1], strategy="looped")).ensemble
    fresh = Ensemble.initial(net, seed=0, role="fresh", ids=[0, 1], device=small.CPU, strategy="looped")
    plugin = make_analysis({"key": "attention", "pictures": 24})
    splits = {"forget": np.arange(0, 600, 20), "retain": np.setdiff1d(np.arange(600), np.arange(0, 600, 20))}
    bench = benches.bench(
        plugin,
        ids=(0, 1),
        splits={**splits, "test": np.arange(600, data.points)},
        labels=np.concatenate([data.y_train, data.y_test]),
        classes=data.classes,
        train=600,
        _data=data,
        _ensemble=lambda role: trained if role == "oracle" else fresh,
    )
    measurement = plugin.measure(bench, seed=0, progress=benches.quiet)
    area = data.masks[measurement.facts["points"]].mean()
    mass = measurement.arrays["mass"].mean(axis=(0, 2))
    oracle, other = benches.ROLES.index("oracle"), benches.ROLES.index("unlearned")
    assert mass[oracle] > 1.3 * area, "the map lies on the thing more than chance"
    assert mass[oracle] > mass[other]
    curves = deletion.frame(measurement).set_index(["role", "order", "gone"])["probability"]
    assert curves["oracle", "attended", 0.2] < curves["oracle", "random", 0.2] + 0.05
    assert curves["oracle", "attended", 0.0] == curves["oracle", "random", 0.0]
