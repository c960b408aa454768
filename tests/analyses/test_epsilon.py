"""A lower bound of epsilon: never above the truth but by chance, and near it where it can be."""

import benches
import numpy as np
import pytest
from scipy.stats import norm

from engine.analyses.base import Subject
from engine.analyses.epsilon import Epsilon, lower_bound


def draws(seed, shift=0.0, models=400, points=300):
    return np.random.default_rng(seed).normal(shift, 1, (models, points))


def bound(shift, models=400, delta=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values = lower_bound(draws([seed, 1], 0.0, models), draws([seed, 2], shift, models), delta=delta, rng=rng)
    return np.maximum(0, values)


def test_equal_distributions_prove_nothing_but_by_the_chance_that_is_allowed():
    assert (bound(0.0) > 0).mean() < 0.05


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_it_stays_below_the_epsilon_that_thresholds_can_show_and_comes_near_it(shift):
    """Of two Gaussians a threshold t shows ln(P[x >= t + shift] / P[x >= t]), and as much the other way round."""
    cuts = np.linspace(-1.2, 1.2 + shift, 60)
    shown = np.log(norm.sf(cuts - shift) / norm.sf(cuts)).max()
    values = bound(shift, models=2000)
    assert (values > shown + 0.25).mean() < 0.05
    assert np.median(values) > 0.3 * shown
    assert np.median(bound(shift, models=100)) <= np.median(values), "fewer networks prove less"


def test_more_delta_leaves_less_to_prove():
    assert (bound(2.0, delta=0.3) <= bound(2.0)).all()


def test_which_side_differs_does_not_matter():
    rng = [np.random.default_rng(5) for _ in range(2)]
    oracle, other = draws(1), draws(2, 3.0)
    first, second = (
        lower_bound(a, b, delta=0.0, rng=r) for (a, b), r in zip(((oracle, other), (other, oracle)), rng, strict=True)
    )
    assert np.median(first) == pytest.approx(np.median(second), rel=0.2)


def test_disjoint_answers_prove_what_so_many_networks_can():
    values = lower_bound(draws(1, models=100), draws(2, 50.0, 100), delta=0.0, rng=np.random.default_rng(0))
    # 50 of 50 against 0 of 50, by Clopper and Pearson: the textbook's 0.025^(1 / 50) and its complement.
    low, high = 0.025 ** (1 / 50), 1 - 0.025 ** (1 / 50)
    assert values == pytest.approx(np.log(low / high), rel=1e-6)


def test_points_and_roles_are_in_their_places():
    plugin = Epsilon()
    bench = benches.bench(plugin)
    measured = plugin.measure(bench, seed=0, progress=benches.quiet)
    assert measured.arrays["epsilon"].shape == (3, 60)
    assert measured.facts["ends"] == [6, 48, 60]


def test_a_single_network_is_refused_in_words():
    few = Subject(models=1, forget=1, train=48, test=12, net=benches.SUBJECT.net)
    assert "only one" in Epsilon().misfit(few)
