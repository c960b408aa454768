"""Nearest neighbours on data small enough to compare with the obvious way."""

import numpy as np

from engine.analyses.columns import nearest


def progress(share, message):
    assert 0 <= share <= 1
    assert message


def by_hand(x, k):
    apart = np.sqrt(((x[:, None].astype(float) - x[None]) ** 2).mean(axis=2))
    np.fill_diagonal(apart, np.inf)
    ids = np.lexsort((np.broadcast_to(np.arange(len(x)), apart.shape), apart), axis=1)[:, :k]
    return ids, np.take_along_axis(apart, ids, axis=1)


def test_nearest_is_what_all_distances_say():
    x = np.random.default_rng(0).random((120, 6)).astype(np.float32)
    ids, distances = nearest(x, x, 5, progress)
    wanted, apart = by_hand(x, 5)
    assert np.array_equal(ids, wanted)
    assert np.allclose(distances, apart, atol=1e-6)
    assert not (ids == np.arange(120)[:, None]).any(), "nobody is its own neighbour"


def test_equal_pictures_are_at_distance_zero_exactly():
    x = np.random.default_rng(1).random((50, 8)).astype(np.float32)
    x[7] = x[31]
    rough = x[:, :4] + 0.1  # candidates by fewer numbers, distances by all
    ids, distances = nearest(x, rough, 3, progress)
    assert (ids[7, 0], distances[7, 0]) == (31, 0)
    assert (ids[31, 0], distances[31, 0]) == (7, 0)


def test_blocks_do_not_change_neighbours(monkeypatch):
    x = np.random.default_rng(2).random((90, 5)).astype(np.float32)
    whole = nearest(x, x, 4, progress)
    monkeypatch.setattr("engine.analyses.columns._BLOCK", 7)
    assert all(np.array_equal(a, b) for a, b in zip(whole, nearest(x, x, 4, progress), strict=True))
