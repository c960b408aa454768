"""The spread of a result by its source: known variances come out, and a method without chance has no seed's."""

import benches
import numpy as np
import pytest

from engine.analyses import make_analysis
from engine.analyses.spread import components
from engine.views import views


def test_known_variances_come_out():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        starts, seeds = rng.normal(0, 2, (1, 8, 1)), rng.normal(0, 0.7, (4, 8, 1))
        found.append(components(starts + seeds + rng.normal(0, 1.5, (1, 1, 400))))
    mean = np.mean(found, axis=0)
    assert mean[:2] == pytest.approx([4.0, 0.49], rel=0.15)
    assert mean[2] == pytest.approx(1.5**2 / 400, rel=0.05)


def test_a_method_without_chance_varies_with_the_start_alone():
    plugin = make_analysis({"key": "spread", "networks": 3, "seeds": 3})

    def always(networks, run):
        del run
        return benches.again(networks, 0)

    measured = plugin.measure(benches.bench(plugin, _again=always), seed=0, progress=benches.quiet)
    table = views()["spread"].frame(measured).set_index(["measure", "split", "source"])
    assert (table.xs("seeds", level="source")["sd"] == 0).all()
    assert (table.xs("seeds", level="source")["needed"] == 1).all()
    starts = table.xs("starts", level="source")
    assert (starts.loc["margin"]["sd"] > 0.8).all(), "network m is m logits higher"
    assert (starts.loc["margin"]["needed"] > 60).all(), "one start says little"


def test_one_of_a_kind_has_no_variance():
    with pytest.raises(ValueError, match="two seeds"):
        components(np.zeros((1, 3, 4)))
