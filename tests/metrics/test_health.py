"""Diverged models are named, healthy ones never."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.metrics.health import diverged, small_n_warning


def healthy(kind: str, models: int, points: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, models, points])
    if kind == "gaussian":
        return rng.normal(3, 2, size=(models, points))
    if kind == "heavy tails":
        return rng.standard_t(3, size=(models, points))
    # Models that differ as a whole, as those of different learning luck do.
    return rng.normal(5, 1, size=(models, 1)) * rng.uniform(0.2, 2, size=points) + rng.standard_t(3, (models, points))


def test_healthy_ensembles_name_nobody():
    sizes = [(100, 1), (100, 5), (100, 300), (10, 40), (4, 40), (3, 10), (2, 5)]
    for kind, (models, points), seed in itertools.product(["gaussian", "heavy tails", "alike"], sizes, range(20)):
        assert diverged(healthy(kind, models, points, seed)).tolist() == [], (kind, models, points, seed)


def test_one_exploded_model_among_100_is_named():
    margins = healthy("gaussian", 100, 300, 0)
    for wild in (30.0, -30.0, 1e6, -100.0):
        broken = margins.copy()
        broken[41] += wild * np.random.default_rng(1).choice([-1, 1], 300)
        assert diverged(broken).tolist() == [41]
        broken[3] = wild
        assert diverged(broken).tolist() == [3, 41]


def test_a_shifted_ensemble_is_not_diverged():
    margins = healthy("gaussian", 100, 300, 0)
    margins[:50] += 8  # half of the models answer differently: that is what KLOM must see
    assert diverged(margins).size == 0
    margins = healthy("gaussian", 100, 300, 0)
    margins[10, 7] = 90  # one odd point of a sound model
    assert diverged(margins).size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("models", [2, 3, 50])
def test_margins_that_are_not_finite_are_named_even_among_few(bad, models):
    margins = healthy("gaussian", models, 20, 0).astype(np.float32)
    margins[1, 4] = bad
    assert diverged(margins).tolist() == [1]
    assert diverged(np.full((models, 20), bad)).tolist() == list(range(models))


def test_identical_models_are_fine():
    assert diverged(np.full((20, 30), 2.5)).size == 0
    almost = np.full((20, 30), 2.5)
    almost[4] += 1e-3
    assert diverged(almost).size == 0


def test_the_argument_is_left_alone():
    margins = healthy("gaussian", 20, 30, 0)
    before = margins.copy()
    diverged(margins)
    assert (margins == before).all()


def test_small_ensembles_are_warned_about():
    assert small_n_warning(50) is None
    assert "49 models" in small_n_warning(49)
    assert "1 model " in small_n_warning(1)
