"""Linear CKA against closed forms and the formula written out."""

import benches
import numpy as np
import pytest
import torch

from engine.analyses.base import Subject
from engine.analyses.cka import CKA, PAIRS, cka


def features(n, width, seed):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_the_formula(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float((y.t() @ x).square().sum() / ((x.t() @ x).norm() * (y.t() @ y).norm()))


def test_a_rotation_a_scale_and_a_shift_change_nothing():
    x = features(60, 7, 0)
    rotation, _ = torch.linalg.qr(features(7, 7, 1))
    assert cka(x, x) == pytest.approx(1, abs=1e-12)
    assert cka(x, 3.5 * x @ rotation + 11) == pytest.approx(1, abs=1e-12)
    assert cka(x, x * torch.tensor([1.0, 1, 1, 1, 1, 1, 30])) < 0.7, "another shape is another representation"


def test_independent_features_are_not_alike():
    """Of D and E independent columns over n points CKA is about sqrt(D E) / n."""
    assert cka(features(2000, 5, 2), features(2000, 5, 3)) < 0.01


def test_it_is_the_formula_for_any_widths():
    for width, other in ((3, 3), (5, 90), (200, 20)):
        x, y = features(40, width, 4), features(40, other, 5)
        assert cka(x, y) == pytest.approx(by_the_formula(x, y), rel=1e-9)
        assert cka(x, y) == pytest.approx(cka(y, x), rel=1e-12)


def test_a_layer_that_says_the_same_of_every_point_has_none():
    constant = torch.full((30, 4), 0.1)
    assert np.isnan(cka(constant, features(30, 4, 6)))


def test_each_layer_split_and_pair_is_what_plain_networks_give():
    """Catches layers, splits or roles in the wrong place of the array."""
    plugin = CKA(sample=5000)
    bench = benches.bench(plugin)
    measured = plugin.measure(bench, seed=0, progress=benches.quiet)
    assert measured.facts["layers"] == ["hidden 1", "hidden 2", "logits"]
    assert measured.facts["points"] == {"forget": 6, "retain": 42, "test": 12}
    for m, (p, (role, against)) in ((m, pair) for m in range(3) for pair in enumerate(PAIRS)):
        for s, split in enumerate(measured.facts["splits"]):
            x, y = (outputs(bench, bench.network(r, m), bench.splits[split]) for r in (role, against))
            for number in range(3):
                wanted = by_the_formula(x[number], y[number])
                assert measured.arrays["cka"][m, p, number, s] == pytest.approx(wanted, abs=1e-5)


def outputs(bench, network, points):
    """Return what each layer of a network answers, by hand."""
    with torch.no_grad():
        h = bench._points.pictures(torch.from_numpy(points)).flatten(1)
        first = network.body[2](network.body[1](h))
        second = network.body[4](network.body[3](first))
        return [h.double() for h in (first, second, network.head(second))]


def test_the_sample_is_even_and_the_same_for_every_network():
    plugin = CKA(sample=4)
    whole, again = plugin._draw("retain", np.arange(100, 140), 1), plugin._draw("retain", np.arange(100, 140), 1)
    assert len(set(whole.tolist())) == 4
    assert np.array_equal(whole, again)
    assert not np.array_equal(whole, plugin._draw("retain", np.arange(100, 140), 2))


def test_a_single_forgotten_point_is_refused_in_words():
    one = Subject(models=3, forget=1, train=48, test=12, net=benches.SUBJECT.net)
    assert "at least two" in CKA().misfit(one)
