"""Paired differences: what both share cancels, and a claim needs an interval without 0."""

import numpy as np
import pytest

from engine.metrics.klom import klom
from engine.metrics.paired import Difference, difference


def networks(seed, shift=0.0, models=60, points=20):
    return np.random.default_rng(seed).normal(shift, 1, (models, points)).astype(np.float32)


def test_it_is_the_difference_of_the_two_values():
    oracle, first, second = networks(0), networks(1, 1.0), networks(2, 3.0)
    measured = difference(oracle=oracle, first=first, second=second)
    one, other = (np.quantile(klom(oracle=oracle, unlearned=side), 0.95) for side in (first, second))
    assert measured.value == pytest.approx(one - other)
    assert measured.nearer is True
    swapped = difference(oracle=oracle, first=second, second=first)
    assert swapped.value == pytest.approx(-measured.value)
    assert swapped.nearer is False
    mean = difference(oracle=oracle, first=first, second=second, quantile=None)
    assert mean.value == pytest.approx(
        klom(oracle=oracle, unlearned=first).mean() - klom(oracle=oracle, unlearned=second).mean()
    )


def test_the_same_networks_differ_by_nothing():
    oracle, first = networks(0), networks(1, 2.0)
    assert difference(oracle=oracle, first=first, second=first.copy()) == Difference(0.0, 0.0, 0.0)
    assert difference(oracle=oracle, first=first, second=first.copy()).nearer is None


def test_no_claim_where_both_come_from_one_distribution():
    """At most a few of many comparisons of equals may be claims."""
    claims = [
        difference(oracle=networks([s, 0], 2.0), first=networks([s, 1]), second=networks([s, 2]), resamples=60).nearer
        for s in range(40)
    ]
    assert sum(claim is not None for claim in claims) <= 4


def test_what_the_two_share_cancels():
    """A method that moves every network by a little is told apart although networks differ by much."""
    rng = np.random.default_rng(5)
    oracle, original = networks(0), networks(1, 4.0)
    moved = original - 0.8 + rng.normal(0, 0.05, original.shape).astype(np.float32)
    paired = difference(oracle=oracle, first=moved, second=original, quantile=None)
    unpaired = difference(oracle=oracle, first=moved[::-1].copy(), second=original, quantile=None)
    assert paired.high - paired.low < unpaired.high - unpaired.low
    assert paired.nearer is True


def test_networks_must_pair():
    with pytest.raises(ValueError, match="as many networks"):
        difference(oracle=networks(0), first=networks(1), second=networks(2, models=59))
