"""Views that lay methods side by side: two at every point, all at one point, one in all runs."""

import numpy as np
import pytest
from measured import scores

from engine.theme import LIGHT
from engine.views import methods, onepoint, versus

POINTS = {"forget": np.array([3, 1]), "retain": np.array([0, 2]), "test": np.array([4])}
FIRST = np.array([0.5, 3.0, 1.0, 9.0, 0.2])
SECOND = np.array([0.6, 1.0, 1.0, 10.0, 0.4])
FLOOR = np.array([0.3, 0.4, 0.2, 0.6, 0.1])


def compared():
    return versus.frame(first=FIRST, second=SECOND, floor=FLOOR, points=POINTS)


def test_two_methods_are_laid_side_by_side_at_every_point():
    table = compared()
    assert table["point"].tolist() == [1, 3, 0, 2, 4]
    forget = table[table["split"] == "forget"]
    assert (forget["first"].tolist(), forget["second"].tolist()) == ([3.0, 9.0], [1.0, 10.0])
    assert forget["difference"].tolist() == [-2.0, 1.0]


def test_which_method_is_closer_on_how_many_pictures_is_said():
    assert versus.sentence(compared(), ("A", "B"), split="forget") == (
        "A is closer on 1 of 2 pictures of the forget set, B on 1."
    )
    assert versus.sentence(compared(), ("A", "B"), split="retain") == (
        "A is closer on 1 of 2 pictures of the retain set, B on 0; 1 score the same."
    )


def test_the_scatter_shows_one_split_with_the_floor_corner_and_rings_the_chosen_point():
    drawn = versus.figure(compared(), LIGHT, names=("A", "<b>B"), split="forget", point=3)
    assert [list(c) for c in drawn.data[0].customdata] == [[1, "forget"], [3, "forget"]]
    assert list(drawn.data[0].marker.line.width) == [0, 2]
    (corner,) = [s for s in drawn.layout.shapes if s.type == "rect"]
    assert corner.x1 == corner.y1 == pytest.approx(np.quantile([0.4, 0.6], 0.95))
    assert "<" not in drawn.layout.yaxis.title.text


def test_many_points_are_thinned_keeping_the_most_different_and_the_chosen_one():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 9000))
    second[77] = 9.0
    ids = {"forget": np.arange(8000), "retain": np.arange(8000, 8999), "test": np.array([8999])}
    table = versus.frame(first=first, second=second, floor=first, points=ids)
    calm = int(np.argmin(np.abs(first - second)[:8000]))
    drawn = versus.figure(table, LIGHT, names=("A", "B"), split="forget", point=calm)
    shown = [c[0] for c in drawn.data[0].customdata]
    assert len(shown) <= 1501
    assert {77, calm} <= set(shown)
    assert len(set(shown)) == len(shown)


def one(method, **change):
    rng = np.random.default_rng(0)
    given = {
        "method": method,
        "name": method.upper(),
        "klom": 2.0,
        "floor": 0.5,
        "unlearned": rng.normal(5, 1, 50),
        "oracle": rng.normal(0, 1, 50),
    }
    return onepoint.Measured(**{**given, **change})


def test_every_method_has_klom_floor_and_both_tests_at_a_point():
    table = onepoint.frame([one("scrub"), one("ascent", unlearned=np.array([1.0]))])
    scrub, ascent = table.iloc[0], table.iloc[1]
    assert scrub["ks"] > 0.9
    assert scrub["t"] > 10
    assert scrub["ks_p"] < 0.001
    assert scrub["margin"] == pytest.approx(5, abs=0.5)
    assert np.isnan(ascent["ks"])
    assert np.isnan(ascent["t_p"])
    assert onepoint.with_p(scrub["ks"], scrub["ks_p"]).endswith("p < 0.001")
    assert onepoint.with_p(0.25, 0.5) == "0.25, p = 0.500"
    assert onepoint.with_p(ascent["t"], ascent["t_p"]) == "not measured"


def test_each_dot_stands_at_its_klom_beside_its_own_floor():
    table = onepoint.frame([one("do_nothing", klom=9.0, floor=1.0, reference="do nothing"), one("scrub", floor=np.nan)])
    drawn = onepoint.figure(table, LIGHT, chosen="scrub")
    assert list(drawn.data[0].x) == [9.0, 2.0]
    assert list(drawn.data[0].marker.color) == [LIGHT.original, LIGHT.unlearned]
    assert [(s.y0 + s.y1) / 2 for s in drawn.layout.shapes if s.type == "rect"] == [1], "an unknown floor has no band"
    assert ["<b>" in label for label in drawn.layout.yaxis.ticktext] == [False, True]


def measured(run, klom, floor, key="scrub", models=100):
    rows = [
        {"split": "forget", "klom_p95": klom, "klom_p95_floor": floor},
        {"split": "retain", "klom_p95": 1.0, "klom_p95_floor": 0.7},
    ]
    about = {"name": "SCRUB, epochs 3", "data": "Digits <b>", "model": "MLP", "forget": "random 50"}
    return {"run": run, "method": key, "key": key, **about, "scores": scores(*rows, models=models)}


def test_runs_are_ranked_by_how_far_above_their_own_floor_they_are():
    table = methods.frame([measured("a", 3.0, 0.6), measured("b", 4.0, 3.5, models=20), measured("c", None, None)])
    assert table["run"].tolist() == ["b", "a"], "what was not measured is not listed"
    assert methods.best(table)["scrub"]["run"] == "b"
    assert table["retain_klom"].tolist() == [1.0, 1.0]


def test_a_run_row_names_data_and_number_of_models_and_leads_to_the_run():
    drawn = methods.figure(methods.frame([measured("a", 3.0, 0.6)]), LIGHT)
    assert drawn.layout.yaxis.ticktext == ("Digits b, MLP, random 50, 100 models, epochs 3",)
    assert [list(c) for c in drawn.data[0].customdata] == [["a", "scrub"]]
    (band,) = [s for s in drawn.layout.shapes if s.type == "rect"]
    assert band.x1 == 0.6


def test_a_store_without_runs_makes_an_empty_table():
    table = methods.frame([])
    assert table.empty
    assert methods.best(table) == {}
