"""Linear probes against closed forms, and what a probe must not have seen."""

import itertools
from dataclasses import replace

import benches
import numpy as np
import pytest
import torch

from engine.analyses.base import Subject
from engine.analyses.probe import Probe, answers, ridge
from engine.seeds import derive


def features(n, width, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "width"), [(40, 6), (6, 40)])
def test_it_is_ridge_regression_in_either_dimension(n, width):
    x, y = features(n, width), torch.arange(n) % 3
    penalty = 0.1
    added = penalty * float((x - x.mean(0)).square().sum()) / min(n, width)
    whole = torch.cat([x, torch.ones(n, 1, dtype=x.dtype)], dim=1)  # a free bias: its own column without a penalty
    inner = whole.t() @ whole + added * torch.diag(torch.tensor([1.0] * width + [0.0], dtype=x.dtype))
    target = torch.nn.functional.one_hot(y, 3).double()
    assert torch.allclose(ridge(x, y, 3, penalty), torch.linalg.solve(inner, whole.t() @ target), atol=1e-8)


def test_classes_on_a_line_are_read_and_shuffled_ones_are_chance():
    y = torch.arange(600) % 3
    x = features(600, 20) + 6 * torch.nn.functional.one_hot(y, 20)
    weights = ridge(x[:300], y[:300], 3, 1e-3)
    assert (answers(x[300:], weights) == y[300:]).double().mean() == 1
    shuffled = y[torch.randperm(600, generator=torch.Generator().manual_seed(1))]
    chance = (answers(x[300:], ridge(x[:300], shuffled[:300], 3, 1e-3)) == shuffled[300:]).double().mean()
    assert abs(float(chance) - 1 / 3) < 0.1


def test_each_number_is_what_a_probe_of_plain_networks_gives():
    plugin = Probe(penalty=0.01)
    bench = benches.bench(plugin)
    measured = plugin.measure(bench, seed=0, progress=benches.quiet)
    facts, values = measured.facts, measured.arrays["accuracy"]
    assert facts["layers"] == ["hidden 1", "hidden 2", "logits"]
    assert facts["learned"] == 42 + 6
    assert facts["points"] == {"forget": 6, "test": 6}
    assert values.shape == (3, 4, 3, 2)
    rng = np.random.default_rng(derive(0, "probe", "halves"))
    test = rng.permutation(bench.splits["test"])
    learned = np.concatenate([bench.splits["retain"], test[::2]])
    for m, (r, role) in itertools.product(range(3), enumerate(plugin.roles())):
        network = bench.network(role, m)
        with torch.no_grad():
            first, trial = (
                network(bench._points.pictures(torch.from_numpy(points))) for points in (learned, benches.FORGET)
            )
        weights = ridge(first, torch.from_numpy(bench.labels[learned]), 3, 0.01)
        right = (answers(trial, weights).numpy() == bench.labels[benches.FORGET]).mean()
        assert values[m, r, 2, 0] == pytest.approx(right)


def test_a_probe_never_learns_from_a_forgotten_point():
    """Other labels and other places of the forgotten points move nothing but what is tried on them."""
    plugin = Probe()
    bench = benches.bench(plugin)
    first = plugin.measure(bench, seed=0, progress=benches.quiet).arrays["accuracy"]
    labels = bench.labels.copy()
    labels[benches.FORGET] = (labels[benches.FORGET] + 1) % 3
    other = plugin.measure(replace(bench, labels=labels), seed=0, progress=benches.quiet).arrays["accuracy"]
    assert np.array_equal(first[..., 1], other[..., 1])
    assert not np.array_equal(first[..., 0], other[..., 0])


def test_labels_of_learned_points_matter():
    plugin = Probe()
    bench = benches.bench(plugin)
    labels = np.roll(bench.labels, 1)
    first, other = (
        plugin.measure(one, seed=0, progress=benches.quiet).arrays["accuracy"]
        for one in (bench, replace(bench, labels=labels))
    )
    assert not np.array_equal(first, other)


def test_too_few_points_are_refused_in_words():
    few = Subject(models=3, forget=1, train=48, test=3, net=benches.SUBJECT.net)
    assert "fewer than four" in Probe().misfit(few)
