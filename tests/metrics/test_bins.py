"""Bins: the edges are those of ``np.linspace``, and counts land between them as ``np.histogram`` and digitize say."""

from __future__ import annotations

import numpy as np
import pytest

from engine.metrics._bins import compared_edges, counts_at_least, histogram, joint_edges


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [1, 7, 20])
def test_edges_are_linspace_bit_for_bit(kind, bins):
    rng = np.random.default_rng(0)
    oracle, unlearned = rng.normal(size=(2, 12, 50)).astype(kind)
    unlearned[:, 0] = oracle[:, 0] = 3.5  # all equal: the range gets width 1
    unlearned[:, 1] = oracle[:, 1] = 0
    oracle[0, 1] = np.nextafter(kind(0), kind(1))  # a range whose twentieth is not a number any more
    edges = joint_edges(oracle=oracle, unlearned=unlearned, bins=bins)
    assert edges.dtype == kind
    assert edges[[0, -1], 0].tolist() == [3.5, 4.5]
    both = np.concatenate([oracle, unlearned])
    for j in range(1, 50):
        assert (edges[:, j] == np.linspace(both[:, j].min(), both[:, j].max(), bins + 1)).all()


@pytest.mark.parametrize("models", [3, 255, 256, 600])
def test_histograms_are_those_of_numpy(models):
    rng = np.random.default_rng(1)
    sample = rng.integers(0, 41, size=(models, 9)) / 4  # (models, P), many on the edges of [0, 10]
    sample[0], sample[1] = 0, 10
    edges = joint_edges(oracle=sample, unlearned=sample, bins=20)
    for convention in ("paper", "easydub"):
        counts = counts_at_least(sample, compared_edges(edges, convention))
        found = histogram(counts, models, convention)
        assert found.shape == (20, 9)
        assert found.sum(axis=0) == pytest.approx(np.ones(9))
        for j in range(9):
            kept = sample[:, j] if convention == "paper" else sample[sample[:, j] < 10, j]
            assert found[:, j] == pytest.approx(np.histogram(kept, bins=edges[:, j])[0] / len(kept))
