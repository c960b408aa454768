"""The best of each method's settings: which one is named, beside what, and what counts as gentle."""

import known
import numpy as np
import pandas as pd
import pytest
from measured import scores

from engine.theme import LIGHT
from engine.views import best

NAMES = {"scrub": "SCRUB", "iau": "IAU"}


def rows(forget, retain, floor=0.5):
    shared = {"klom_p95_floor": floor, "compute": 0.25, "seconds": 1.0}
    splits = (("forget", forget), ("retain", retain), ("test", 0.7))
    return scores(*({"split": split, "klom_p95": value, **shared} for split, value in splits))


def measured(forget_set, *, scrub=((4.0, 0.9), (2.0, 1.1)), iau=((3.0, 0.6),), nothing=8.0):
    parts = [("do_nothing", "Do nothing", rows(nothing, 0.5)), ("retrain", "Retrain", rows(0.4, 0.4))]
    keys = {"do_nothing": "do_nothing", "retrain": "retrain"}
    for key, several in (("scrub", scrub), ("iau", iau)):
        for i, (forget, retain) in enumerate(several):
            method = f"{key}-{i}"
            parts.append((method, f"{NAMES[key]}, setting {i}", rows(forget, retain)))
            keys[method] = key
    return forget_set, known.table(parts), keys


def test_the_setting_lowest_on_the_forget_set_is_the_best_and_the_order_follows():
    table = best.frame([measured("random 50"), measured("class 3", scrub=((1.0, 0.6), (5.0, 0.6)))], NAMES)
    assert table["forget_set"].tolist() == ["random 50"] * 2 + ["class 3"] * 2
    assert table["setting"].tolist()[0] == "SCRUB, setting 1"
    assert table["setting"].tolist()[2] == "SCRUB, setting 0", "another forget set, another setting"
    assert table["tried"].tolist() == [2, 1, 2, 1]
    assert (table["nothing"] == 8.0).all()
    assert not table["method"].isin(known.REFERENCES).any()
    assert best.swept(table)
    assert not best.swept(best.frame([measured("x", scrub=((1.0, 0.6),))], NAMES))


def test_gentle_means_within_twice_the_floor_of_the_retain_set():
    table = best.frame([measured("random 50")], NAMES).set_index("method")
    assert not table.at["scrub", "gentle"], "1.1 against 2 x 0.5"
    assert table.at["iau", "gentle"]


def test_settings_without_numbers_are_left_out_and_without_doing_nothing_there_is_no_line():
    name, table, keys = measured("random 50")
    table.loc[table["method"] == "scrub-1", "klom_p95"] = np.nan
    table = table[table["method"] != "do_nothing"]
    found = best.frame([(name, table, keys)], NAMES)
    assert found.loc[found["method"] == "scrub", "setting"].item() == "SCRUB, setting 0"
    assert found["nothing"].isna().all()
    figure = best.figure(found, LIGHT)
    assert not [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert best.frame([], NAMES).empty


def test_the_figure_has_a_panel_per_forget_set_and_hollow_dots_for_what_is_not_gentle():
    table = best.frame([measured(f"set {i}") for i in range(6)], NAMES)
    figure = best.figure(table, LIGHT)
    assert len(figure.data) == best.MOST
    first = figure.data[0]
    kinds = [shape.type for shape in figure.layout.shapes]
    assert (kinds.count("rect"), kinds.count("line")) == (best.MOST, best.MOST), "a floor and a line in every panel"
    assert list(first.x) == pytest.approx([2.0, 3.0])
    assert list(first.marker.color) == [LIGHT.paper, LIGHT.unlearned]
    assert [list(one) for one in first.customdata] == [["scrub-1", "forget"], ["iau-0", "forget"]]
    assert isinstance(table, pd.DataFrame)
