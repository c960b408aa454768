"""The trade-off of forgetting, keeping and compute."""

import known
import numpy as np
from measured import scores

from engine.theme import LIGHT
from engine.views import tradeoff


def rows(forget, retain, compute, floor=0.5):
    shared = {"klom_p95_floor": floor, "compute": compute, "seconds": 1.0}
    splits = (("forget", forget), ("retain", retain), ("test", retain))
    return scores(*({"split": split, "klom_p95": value, **shared} for split, value in splits), models=40)


METHODS = {
    "do_nothing": rows(9.0, 0.5, 0.0),
    "partial_retrain-2": rows(3.0, 2.0, 0.5),
    "partial_retrain-1": rows(6.0, 4.0, 0.1),
    "cheap": rows(5.0, 0.8, 0.01),
    "good": rows(1.0, 3.0, 0.2),
    "beaten": rows(5.5, 0.9, 0.02),
    "twin": rows(5.0, 0.8, 0.01),
}


def table(methods=METHODS):
    return known.table([(key, key.title(), found) for key, found in methods.items()])


def test_the_front_is_what_nothing_beats_in_all_three():
    found = tradeoff.frame(table()).set_index("method")
    assert found.index[found["front"]].tolist() == ["cheap", "good", "twin"], "equal ones do not beat each other"
    assert not found.loc["do_nothing", "front"], "a point of reference is no candidate"


def test_unmeasured_methods_are_left_out():
    assert "late" not in set(tradeoff.frame(table(METHODS | {"late": None}))["method"])
    nothing = tradeoff.frame(table({"late": None}))
    assert nothing.empty
    assert tradeoff.sentence(nothing) == ""


def test_the_best_and_the_best_that_keeps_are_named():
    said = tradeoff.sentence(tradeoff.frame(table()))
    assert "Closest on the forget set: Good, 1.00 for 20.0% of a retrain, retain set 3.00." in said
    assert "within twice its floor: Cheap, 5.00" in said
    only = tradeoff.sentence(tradeoff.frame(table({"good": METHODS["good"]})))
    assert "None leaves the retain set" in only


def test_references_are_lines_and_methods_dots():
    drawn = tradeoff.figure(tradeoff.frame(table()), LIGHT, chosen="good")
    line, dots = drawn.data
    assert list(line.x) == [0.1, 0.5], "in the order of compute, not of the recipe"
    assert [data[0] for data in dots.customdata] == ["cheap", "good", "beaten", "twin"]
    assert [width > 0 for width in dots.marker.line.width] == [True, True, False, True]
    shade = np.asarray(dots.marker.color, float)
    assert shade[1] > shade[0], "damage is darker"
    assert any(shape.y0 == shape.y1 == 9.0 for shape in drawn.layout.shapes), "doing nothing is a line"


def test_a_run_without_references_or_compute_is_drawn_too():
    found = tradeoff.frame(table({"good": METHODS["good"], "free": rows(2.0, 1.0, 0.0)}))
    drawn = tradeoff.figure(found, LIGHT)
    assert all(np.isfinite(drawn.layout.xaxis.range))
