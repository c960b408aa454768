"""Neighbours and maps on data small enough to compare with the obvious way."""

import numpy as np
import pytest

from engine.jobs import CURVE_POINTS, followed, summary
from engine.work.exploring import nearest


class Quiet:
    def progress(self, share, message):
        assert 0 <= share <= 1
        assert message


def by_hand(x, k):
    apart = np.sqrt(((x[:, None].astype(float) - x[None]) ** 2).mean(axis=2))
    np.fill_diagonal(apart, np.inf)
    ids = np.lexsort((np.broadcast_to(np.arange(len(x)), apart.shape), apart), axis=1)[:, :k]
    return ids, np.take_along_axis(apart, ids, axis=1)


def test_nearest_is_what_all_distances_say():
    x = np.random.default_rng(0).random((120, 6)).astype(np.float32)
    ids, distances = nearest(x, x, 5, Quiet())
    wanted, apart = by_hand(x, 5)
    assert np.array_equal(ids, wanted)
    assert np.allclose(distances, apart, atol=1e-6)
    assert not (ids == np.arange(120)[:, None]).any(), "nobody is its own neighbour"


def test_equal_pictures_are_at_distance_zero_exactly():
    x = np.random.default_rng(1).random((50, 8)).astype(np.float32)
    x[7] = x[31]
    rough = x[:, :4] + 0.1  # candidates by fewer numbers, distances by all
    ids, distances = nearest(x, rough, 3, Quiet())
    assert (ids[7, 0], distances[7, 0]) == (31, 0)
    assert (ids[31, 0], distances[31, 0]) == (7, 0)


def test_blocks_do_not_change_neighbours(monkeypatch):
    x = np.random.default_rng(2).random((90, 5)).astype(np.float32)
    whole = nearest(x, x, 4, Quiet())
    monkeypatch.setattr("engine.work.exploring._BLOCK", 7)
    assert all(np.array_equal(a, b) for a, b in zip(whole, nearest(x, x, 4, Quiet()), strict=True))


def test_curves_follow_the_same_points_for_everybody():
    ids = followed(forget=np.array([5, 2]), train=3000, points=3010)
    assert ids["forget"].tolist() == [2, 5]
    assert len(ids["retain"]) == CURVE_POINTS
    assert not {2, 5} & set(ids["retain"].tolist())
    assert ids["test"].tolist() == list(range(3000, 3010))
    again = followed(forget=np.array([2, 5]), train=3000, points=3010)
    assert all(np.array_equal(ids[k], again[k]) for k in ids)


def test_a_summary_spreads_over_models_and_not_over_points():
    margins = np.array([[0.0, 10.0], [2.0, 12.0]])  # (M, n)
    said = summary(margins=margins, correct=np.array([[True, True], [True, False]]))
    loss = np.log1p(np.exp(-margins)).mean(axis=1)  # (M,)
    assert said == pytest.approx(
        {
            "accuracy": 0.75,
            "accuracy_sd": 0.25,
            "margin": 6.0,
            "margin_sd": 1.0,
            "loss": loss.mean(),
            "loss_sd": loss.std(),
        }
    )
