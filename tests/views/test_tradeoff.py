"""The trade-off of forgetting, keeping and compute."""

import known
import numpy as np
import toy_frames
from measured import scores

from engine.records import SPLITS
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
    assert "hardly changed the pictures that were kept: Cheap, 5.00" in said
    only = tradeoff.sentence(tradeoff.frame(table({"good": METHODS["good"]})))
    assert "All of them changed the pictures that were kept" in only


def test_each_split_has_a_panel_with_its_references_as_lines_and_methods_as_dots():
    drawn = tradeoff.figure(tradeoff.frame(table()), LIGHT, chosen="good")
    assert len(drawn.data) == 6
    for panel, (line, dots) in enumerate(zip(drawn.data[::2], drawn.data[1::2], strict=True)):
        split = SPLITS[panel]
        assert list(line.x) == [0.1, 0.5], "in the order of compute, not of the recipe"
        assert [tuple(data) for data in dots.customdata] == [(m, split) for m in ("cheap", "good", "beaten", "twin")]
        assert list(dots.y) == ([5.0, 1.0, 5.5, 5.0] if split == "forget" else [0.8, 3.0, 0.9, 0.8])
        assert [width > 0 for width in dots.marker.line.width] == [True, True, False, True]
    levels = [shape.y0 for shape in drawn.layout.shapes if shape.y0 == shape.y1]
    assert levels == [9.0, 0.5, 0.5], "doing nothing is a line in each panel"


def test_the_course_of_a_retrain_is_the_line_where_there_is_one():
    way = toy_frames.courses()
    drawn = tradeoff.figure(tradeoff.frame(table()), LIGHT, course=way)
    assert len(drawn.data) == 9
    for split, line, partial in zip(SPLITS, drawn.data[::3], drawn.data[1::3], strict=True):
        assert list(line.x) == [0.2, 0.6, 1.0]
        assert list(line.y) == way.loc[way["split"] == split, "klom_p95"].tolist()
        assert partial.mode == "markers", "partial retrains of the run are dots beside it"


def test_a_run_without_references_or_compute_is_drawn_too():
    found = tradeoff.frame(table({"good": METHODS["good"], "free": rows(2.0, 1.0, 0.0)}))
    drawn = tradeoff.figure(found, LIGHT)
    assert all(np.isfinite(drawn.layout.xaxis.range))
