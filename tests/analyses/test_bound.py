"""The bound on the loss: nothing is ever above it, and its parts are the ones the theorem names."""

import math
from dataclasses import replace

import benches
import numpy as np
import pytest
import small
import torch

from engine.analyses.bound import LossBound
from engine.models import make_architecture
from engine.models.sharded import net_for
from engine.views import views

LOGISTIC = small.net(make_architecture({"key": "logistic"}))
DEEP = small.net(make_architecture({"key": "mlp", "hidden": 8, "depth": 2}))


def measured(net):
    bench = benches.bench(LossBound(), _ensemble=lambda role: benches.ensemble(role, net=net))
    return bench, LossBound().measure(bench, seed=0, progress=benches.quiet)


@pytest.mark.parametrize("net", [LOGISTIC, DEEP], ids=["logistic", "deep"])
def test_the_slope_is_at_least_the_gradient_of_every_example(net):
    """Catches a layer, an input or a bias that was left out of the product."""
    bench, measurement = measured(net)
    x, y = bench.images.pictures(slice(None)), bench.images.y
    for m in range(3):
        network = bench.network("oracle", m)
        longest = 0.0
        for i in range(len(y)):
            loss = torch.nn.functional.cross_entropy(network(x[i : i + 1]), y[i : i + 1])
            grads = torch.autograd.grad(loss, list(network.parameters()))
            longest = max(longest, float(sum(g.square().sum() for g in grads)) ** 0.5)
        assert longest <= measurement.arrays["slope"][m]


def test_logistic_regression_never_loses_more_than_its_bound_and_the_slope_is_the_theorems():
    bench, measurement = measured(LOGISTIC)
    x = bench.images.pictures(slice(None)).flatten(1)
    radius = float((x.square().sum(dim=1) + 1).max()) ** 0.5
    assert measurement.arrays["slope"] == pytest.approx([2 * radius] * 3, rel=1e-5)
    table, _ = views()["bound"].draw(measurement)
    assert (table["holds"] == 1).all()
    assert measurement.facts["everywhere"]
    row = table.iloc[0]
    network, oracle = bench.network("original", 0), bench.network("oracle", 0)
    pairs = zip(network.parameters(), oracle.parameters(), strict=True)
    length = float(sum((a - b).detach().square().sum() for a, b in pairs)) ** 0.5
    assert measurement.arrays["distance"][0, 0] == pytest.approx(length, rel=1e-5)
    assert row["guess"] == pytest.approx(math.log(3))


def test_losses_are_mean_cross_entropies_and_a_bound_above_a_guess_is_vacuous():
    bench, measurement = measured(DEEP)
    points = bench.splits["retain"]
    network = bench.network("unlearned", 2)
    x, y = bench.images.pictures(torch.from_numpy(points)), bench.images.y[points]
    expected = float(torch.nn.functional.cross_entropy(network(x), y).detach())
    r, s = measurement.facts["roles"].index("unlearned"), measurement.facts["splits"].index("retain")
    assert measurement.arrays["loss"][2, r, s] == pytest.approx(expected, rel=1e-5)
    table, _ = views()["bound"].draw(measurement)
    assert (table["vacuous"] == 1).all(), "random networks are far apart"
    assert not measurement.facts["everywhere"]
    near = type(measurement)({**measurement.arrays, "distance": np.zeros((3, 3), np.float32)}, measurement.facts)
    close, _ = views()["bound"].draw(near)
    assert np.allclose(close["bound"], close["oracle"])


def test_convolutions_and_shards_are_refused():
    subject = benches.SUBJECT
    assert LossBound().misfit(subject) is None
    assert "fully connected" in LossBound().misfit(replace(subject, net=benches.CONVOLUTIONS))
    sharded = net_for(benches.NET.architecture, benches.NET.shape, 3, small.training(shards=2))
    assert "without shards" in LossBound().misfit(replace(subject, net=sharded))
