"""Distances of weights per layer: every weight is in one layer, and the lengths add up."""

import benches
import numpy as np
import pytest
import small

from engine.analyses.distance import PAIRS, Distance, parameters
from engine.models import architectures
from engine.models.sharded import net_for


@pytest.mark.parametrize(
    ("key", "settings", "expected"),
    [
        ("logistic", {}, {"logits": ["head.weight", "head.bias"]}),
        ("mlp", {"hidden": 4, "depth": 2}, {"hidden 1": ["body.1.weight", "body.1.bias"]}),
    ],
)
def test_a_layer_has_the_weights_that_make_its_output(key, settings, expected):
    net = small.net(architectures()[key](**settings))
    layers = {name: list(names) for name, names in parameters(net).items()}
    assert expected.items() <= layers.items()
    assert list(layers) == list(net.layers)


@pytest.mark.parametrize("key", architectures())
@pytest.mark.parametrize("shards", [1, 2])
def test_every_weight_is_in_exactly_one_layer(key, shards):
    architecture = architectures()[key]()
    source = small.data(side=32, channels=3)
    net = net_for(architecture, source.shape, 3, small.training(shards=shards))
    named = [name for names in parameters(net).values() for name in names]
    assert sorted(named) == sorted(name for name, _ in net.evaluation_skeleton.named_parameters())


def test_the_lengths_are_those_of_the_differences_and_add_up_to_the_whole():
    plugin = Distance()
    bench = benches.bench(plugin)
    measured = plugin.measure(bench, seed=0, progress=benches.quiet)
    values = measured.arrays["distance"].astype(np.float64)  # (M, pairs, layers)
    for m in range(3):
        for p, (role, against) in enumerate(PAIRS):
            first, second = (dict(bench.network(r, m).named_parameters()) for r in (role, against))
            whole = sum(float((first[k] - second[k]).detach().double().square().sum()) for k in first)
            assert (values[m, p] ** 2).sum() == pytest.approx(whole, rel=1e-5)
    head = measured.facts["layers"].index("logits")
    first, second = (bench.network(role, 1).head for role in ("unlearned", "original"))
    length = sum((a - b).detach().square().sum() for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert values[1, 0, head] == pytest.approx(float(length) ** 0.5, rel=1e-5)
