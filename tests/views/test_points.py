import numpy as np
import pytest

from engine.theme import LIGHT
from engine.views import distribution, margins, points

KLOM = np.array([0.5, 3.0, 1.0, 9.0, 0.2, 4.0])
FLOOR = np.array([0.3, 0.4, 0.2, 0.5, 0.1, 0.6])
SPLITS = {"forget": np.array([1, 3]), "retain": np.array([0, 2]), "test": np.array([4, 5])}


def test_distribution_lists_every_point_once_in_its_split_sorted():
    table = distribution.frame(klom=KLOM, floor=FLOOR, points=SPLITS)
    assert sorted(table["point"]) == list(range(6))
    assert table[table["split"] == "forget"]["point"].tolist() == [1, 3]
    assert table[table["split"] == "forget"]["share"].tolist() == [0.5, 1.0]
    assert table["klom"].tolist() == [3.0, 9.0, 0.5, 1.0, 0.2, 4.0]


def test_floor_is_drawn_sorted_on_its_own_and_not_in_the_order_of_klom():
    table = distribution.frame(klom=KLOM, floor=-FLOOR, points=SPLITS)
    drawn = distribution.figure(table, LIGHT)
    floor = next(t for t in drawn.data if t.name == "noise floor")
    assert list(floor.x) == [-0.5, -0.4]
    assert floor.line.color == LIGHT.oracle


def test_clicked_dot_names_its_point_and_the_chosen_one_is_ringed():
    table = distribution.frame(klom=KLOM, floor=FLOOR, points=SPLITS)
    drawn = distribution.figure(table, LIGHT, point=3)
    dots = next(t for t in drawn.data if t.name == "unlearned" and t.customdata[0][1] == "forget")
    assert [list(c) for c in dots.customdata] == [[1, "forget"], [3, "forget"]]
    assert list(dots.marker.line.width) == [0, 2]


def test_many_points_are_thinned_but_the_chosen_one_stays():
    rng = np.random.default_rng(0)
    klom = rng.random(20_000)
    ids = {"forget": np.arange(10_000), "retain": np.arange(10_000, 19_000), "test": np.arange(19_000, 20_000)}
    table = distribution.frame(klom=klom, floor=klom, points=ids)
    drawn = distribution.figure(table, LIGHT, point=4321)
    dots = next(t for t in drawn.data if t.name == "unlearned")
    assert len(dots.x) <= 1501
    assert 4321 in [c[0] for c in dots.customdata]
    assert dots.x[0] == klom[:10_000].min(), "the ends of the line are exact"
    assert max(dots.x) == klom[:10_000].max()


def test_histogram_bars_sum_to_all_points_also_beyond_the_ceiling():
    table = distribution.frame(klom=KLOM + 20, floor=FLOOR, points=SPLITS)
    drawn = distribution.figure(table, LIGHT, shape="Histogram")
    assert [pytest.approx(1.0)] * 6 == [sum(t.y) for t in drawn.data]


def test_a_violin_has_a_half_for_the_floor_and_one_for_the_method_with_their_medians():
    table = distribution.frame(klom=KLOM, floor=FLOOR, points=SPLITS)
    drawn = distribution.figure(table, LIGHT, shape="Violin", point=1)
    left, right = [t for t in drawn.data if t.type == "violin"][:2]
    assert (left.side, list(left.y), left.line.color) == ("negative", [0.4, 0.5], LIGHT.oracle)
    assert (right.side, list(right.y), right.line.color) == ("positive", [3.0, 9.0], LIGHT.unlearned)
    medians = [t.y[0] for t in drawn.data if t.type == "scatter" and t.mode == "lines"]
    assert medians[:2] == [pytest.approx(0.45), 6.0]
    dots = next(t for t in drawn.data if t.customdata is not None)
    assert [list(c) for c in dots.customdata] == [[1, "forget"], [3, "forget"]]
    assert list(dots.marker.line.width) == [2, 0]


def test_a_violin_of_many_points_is_thinned_and_shows_its_worst_as_dots():
    rng = np.random.default_rng(0)
    klom = rng.random(20_000)
    ids = {"forget": np.arange(10_000), "retain": np.arange(10_000, 19_000), "test": np.arange(19_000, 20_000)}
    table = distribution.frame(klom=klom, floor=klom, points=ids)
    drawn = distribution.figure(table, LIGHT, shape="Violin", point=4321)
    half = next(t for t in drawn.data if t.type == "violin")
    assert len(half.y) <= 1500
    assert (min(half.y), max(half.y)) == (klom[:10_000].min(), klom[:10_000].max())
    dots = next(t for t in drawn.data if t.customdata is not None)
    shown = [c[0] for c in dots.customdata]
    assert set(np.argsort(klom[:10_000])[-40:]) <= set(shown)
    assert 4321 in shown


@pytest.mark.parametrize("shape", distribution.SHAPES)
def test_each_shape_says_how_to_read_it(shape):
    others = {distribution.card(other).how for other in distribution.SHAPES if other != shape}
    assert distribution.card(shape).how not in others


def test_worst_points_come_first_and_best_when_asked():
    labels = np.array([7, 1, 7, 3, 4, 5])
    whole = np.arange(6)
    worst = points.frame(klom=KLOM, floor=FLOOR, points=whole, labels=labels, most=3)
    assert worst["point"].tolist() == [3, 5, 1]
    assert worst["label"].tolist() == [3, 5, 1]
    best = points.frame(klom=KLOM, floor=FLOOR, points=whole, labels=None, most=2, worst=False)
    assert best["point"].tolist() == [4, 0]


def test_margin_bins_are_shared_and_lose_no_network():
    rng = np.random.default_rng(0)
    three = {"original": rng.normal(8, 1, 100), "unlearned": rng.normal(3, 1, 90), "oracle": rng.normal(2, 1, 80)}
    table = margins.frame(**three)
    assert table["original"].sum() == 100, "the largest value is counted, too"
    assert (table["unlearned"].sum(), table["oracle"].sum()) == (90, 80)
    everything = np.concatenate(list(three.values()))
    assert table["low"].iloc[0] == pytest.approx(everything.min())
    assert table["high"].iloc[-1] == pytest.approx(everything.max())


def test_networks_that_all_say_the_same_still_make_a_histogram():
    same = np.full(10, 2.0)
    table = margins.frame(original=same, unlearned=same, oracle=same)
    assert table["oracle"].sum() == 10


def test_margin_outlines_have_their_hues_and_heights():
    table = margins.frame(original=np.array([0.0, 1.0]), unlearned=np.array([0.0, 0.1]), oracle=np.array([1.0, 1.0]))
    drawn = margins.figure(table, LIGHT)
    assert [t.line.color for t in drawn.data] == [LIGHT.original, LIGHT.unlearned, LIGHT.oracle]
    assert [max(t.y) for t in drawn.data] == [1, 1, 2]
