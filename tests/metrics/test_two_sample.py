"""Two-sample tests of one point, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics.klom import MetricError
from engine.metrics.two_sample import TwoSample, kolmogorov_smirnov, welch


def test_ks_is_the_largest_gap_of_the_distribution_functions():
    rng = np.random.default_rng(0)
    oracle, unlearned = rng.normal(size=40), rng.normal(0.5, 2, size=60)
    grid = np.concatenate([oracle, unlearned])
    gaps = [abs((oracle <= x).mean() - (unlearned <= x).mean()) for x in grid]
    assert kolmogorov_smirnov(oracle=oracle, unlearned=unlearned).statistic == pytest.approx(max(gaps))
    assert kolmogorov_smirnov(oracle=oracle, unlearned=oracle) == TwoSample(0.0, 1.0)
    assert kolmogorov_smirnov(oracle=oracle, unlearned=oracle + 50).statistic == 1
    assert kolmogorov_smirnov(oracle=oracle, unlearned=oracle + 50).p < 1e-10


def test_welch_is_the_gap_of_means_in_standard_errors_and_keeps_its_sign():
    rng = np.random.default_rng(1)
    oracle, unlearned = rng.normal(size=40), rng.normal(1, 3, size=90)
    error = np.sqrt(oracle.var(ddof=1) / 40 + unlearned.var(ddof=1) / 90)
    found = welch(oracle=oracle, unlearned=unlearned)
    assert found.statistic == pytest.approx((unlearned.mean() - oracle.mean()) / error)
    assert welch(oracle=unlearned, unlearned=oracle).statistic == pytest.approx(-found.statistic)
    assert 0 < found.p < 1


def test_p_values_are_uniform_when_nothing_differs():
    rng = np.random.default_rng(2)
    for test in (kolmogorov_smirnov, welch):
        small = [test(oracle=rng.normal(size=50), unlearned=rng.normal(size=50)).p < 0.1 for _ in range(400)]
        assert 0.04 < np.mean(small) < 0.16


def test_samples_without_spread_have_an_answer():
    same, other = np.full(5, 2.0), np.full(7, 1.0)
    assert welch(oracle=same, unlearned=same) == TwoSample(0.0, 1.0)
    assert welch(oracle=same, unlearned=other) == TwoSample(-np.inf, 0.0)
    assert kolmogorov_smirnov(oracle=same, unlearned=other).statistic == 1


@pytest.mark.parametrize("bad", [np.array([1.0]), np.zeros((3, 3)), np.array([1.0, np.nan])])
def test_bad_samples_get_a_sentence(bad):
    for test in (kolmogorov_smirnov, welch):
        with pytest.raises(MetricError, match="oracle sample"):
            test(oracle=bad, unlearned=np.arange(4.0))
