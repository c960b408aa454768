"""Drawn shapes: the same from the same seed, and what is said of each picture is true of its pixels."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.glyphs import SHAPES, STYLES, Glyphs
from engine.forget import parse
from engine.forget.base import Scene, forget_set

NOWHERE = Path("/nonexistent")


def quiet(share, message):
    assert 0 <= share <= 1


@pytest.fixture(scope="module")
def data():
    return Glyphs(each=40).load(NOWHERE, quiet)


def test_a_seed_decides_every_pixel(data):
    assert data.hash == Glyphs(each=40).load(NOWHERE, quiet).hash
    assert data.hash != Glyphs(each=40, seed=1).load(NOWHERE, quiet).hash
    assert data.shape == (3, 32, 32)
    assert (len(data.y_train), len(data.y_test)) == (400, 100)


def test_styles_cut_each_class_in_three(data):
    kinds = [data.subsets[f"{shape}/{style}"] for shape in SHAPES for style in STYLES]
    assert sorted(np.concatenate(kinds)) == list(range(400))
    assert all(len(ids) > 2 for ids in kinds)


def test_wrong_labels_and_repeats_are_listed(data):
    wrong, near = data.subsets["mislabelled"], data.subsets["repeated"]
    assert len(wrong) == len(near) == round(0.03 * 400)
    assert not set(wrong) & set(near)
    drawn = np.repeat(np.arange(10), 40)
    assert np.array_equal(np.flatnonzero(data.y_train != drawn), wrong)
    flat = data.x_train.reshape(400, -1).astype(float)
    for one in near:
        distance = np.abs(flat - flat[one]).mean(axis=1)
        distance[one] = np.inf
        assert distance.min() < 4, "another picture with a little noise"
        assert data.y_train[distance.argmin()] == data.y_train[one]


def test_a_mask_holds_the_thing_and_nothing_else(data):
    """The ground is a smooth wave with grain; across a filled thing's edge the colour jumps."""
    filled = np.concatenate([data.subsets[f"{shape}/filled"] for shape in SHAPES])
    sizes = data.masks.mean(axis=(1, 2))
    assert data.masks.shape == (500, 32, 32)
    assert 0.03 < sizes.min() < sizes.max() < 0.6
    apart = []
    for i in np.setdiff1d(filled, data.subsets["repeated"]):
        x, mask = data.x_train[i].astype(float), data.masks[i]
        apart.append(np.abs(x[:, mask].mean(axis=1) - x[:, ~mask].mean(axis=1)).max())
    assert np.mean(np.array(apart) > 30) > 0.95


def test_a_kind_within_a_class_can_be_forgotten(data):
    chosen = forget_set(parse("listed:heart/outline"), Scene(data), seed=0)
    assert np.array_equal(chosen.indices, data.subsets["heart/outline"])
