"""Twin maps: a map that was only turned falls onto its twin, and neighbours are counted in the features."""

import benches
import numpy as np
import pytest
import torch

from engine.analyses.twins import Twins, _own, turned
from engine.theme import LIGHT
from engine.views import views


def test_a_map_that_was_turned_mirrored_and_stretched_falls_onto_its_twin():
    rng = np.random.default_rng(0)
    onto = rng.normal(size=(40, 2))
    spin = np.array([[0.6, -0.8], [0.8, 0.6]]) @ np.diag([1.0, -1.0])
    moved = 3 * onto @ spin + 5
    by = np.arange(40) < 30
    assert np.allclose(turned(moved, onto, by), onto)
    assert not np.allclose(turned(rng.normal(size=(40, 2)), onto, by), onto, atol=0.3)


def test_neighbours_are_those_in_the_features_and_their_own_class_is_a_share():
    features = np.concatenate([np.zeros((12, 5)), np.full((12, 5), 9.0), np.full((1, 5), 0.1), np.full((1, 5), 8.0)])
    others, of = np.repeat([0, 1], 12), np.arange(26) >= 24
    assert _own(features, np.append(others, [0, 1]), of) == 1
    assert _own(features, np.append(others, [1, 0]), of) == 0
    assert _own(features, np.append(others, [0, 0]), of) == 0.5
    assert np.isnan(_own(features, np.append(others, [0, 0]), of & False))
    alone = _own(features[:13], np.append(others[:12], 1), np.arange(13) == 12)
    assert alone == 0, "a point is no neighbour of itself"


def test_the_features_are_the_first_networks_own_and_every_forgotten_point_is_there():
    plugin = Twins()
    bench = benches.bench(plugin)
    measured = plugin.measure(bench, seed=0, progress=benches.quiet)
    points, split = measured.arrays["points"], measured.arrays["split"]
    assert points[split == 0].tolist() == benches.FORGET.tolist()
    assert set(points) == set(range(60)), "few points are all drawn"
    features = bench.features("oracle", None, points)
    expected = []
    for m in range(3):
        away = torch.cdist(features[m].double(), features[m].double()).fill_diagonal_(torch.inf)
        near = away[split == 0].topk(10, largest=False).indices.numpy()
        expected.append((bench.labels[points][near] == bench.labels[points[split == 0]][:, None]).mean())
    assert measured.arrays["own"][:, 2] == pytest.approx(expected, abs=1e-6)
    assert np.abs(measured.arrays["xy"][0]).max() == pytest.approx(1)


def test_what_is_chosen_is_ringed_in_every_map_and_marks_carry_their_points():
    view = views()["twins"]
    plugin = Twins()
    table, draw = view.draw(plugin.measure(benches.bench(plugin), seed=0, progress=benches.quiet))
    assert view.chooses
    plain, ringed = draw(LIGHT), draw(LIGHT, chosen=(3, 7))
    rings = [trace for trace in ringed.data if trace.marker.symbol == "circle-open"]
    assert len(rings) == 4
    assert all(len(trace.x) == 2 for trace in rings)
    assert len(ringed.data) == len(plain.data) + 4
    numbers = {int(one) for trace in plain.data if trace.customdata is not None for (one,) in trace.customdata}
    assert numbers == set(table["point"])
