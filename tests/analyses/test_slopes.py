"""Gradients per layer: autograd's own, one picture at a time and together."""

import benches
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.analyses import make_analysis
from engine.views import slopes


def test_lengths_are_those_of_autograd_picture_by_picture():
    plugin = make_analysis({"key": "slopes"})
    bench = benches.bench(plugin)
    measurement = plugin.measure(bench, seed=0, progress=benches.quiet)
    points = torch.from_numpy(np.sort(bench.splits["forget"]))
    x, y = bench.images.pictures(points), bench.images.y[points]
    network = bench.network("oracle", 1)
    role = benches.ROLES.index("oracle")
    single = []
    for one, label in zip(x, y, strict=True):
        parts = torch.autograd.grad(F.cross_entropy(network(one[None]), label[None]), list(network.parameters()))
        single.append(float(torch.cat([part.flatten() for part in parts]).norm()))
    assert measurement.arrays["examples"][1, role, 0] == pytest.approx(np.mean(single), rel=1e-4)
    together = torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters()))
    whole = float(torch.cat([part.flatten() for part in together]).norm())
    assert np.linalg.norm(measurement.arrays["layers"][1, role, 0]) == pytest.approx(whole, rel=1e-4)
    assert whole < np.mean(single), "a mean of vectors is no longer than the mean of their lengths"


def test_equal_sets_pull_alike():
    plugin = make_analysis({"key": "slopes"})
    same = {"forget": benches.FORGET, "retain": benches.FORGET, "test": np.arange(48, 60)}
    table = slopes.frame(plugin.measure(benches.bench(plugin, splits=same), seed=0, progress=benches.quiet))
    assert table["conflict"].abs().max() == pytest.approx(0, abs=1e-3)
    assert set(table["layer"]) >= {slopes.ALONE}
