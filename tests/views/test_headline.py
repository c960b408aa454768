import math

import known
import numpy as np
import pandas as pd
import pytest
from measured import scores

from engine.metrics import statistics
from engine.theme import DARK, LIGHT
from engine.views import headline
from engine.views.base import as_html


def row(split, p95, floor=0.7, **more):
    return {
        "split": split,
        "klom_p95": p95,
        "klom_p95_low": p95 - 0.2,
        "klom_p95_high": p95 + 0.3,
        "klom_p95_floor": floor,
        "klom_mean": p95 / 2,
        "klom_mean_floor": 0.3,
        "klom_median": p95 / 2,
        **more,
    }


def table():
    return known.table(
        [
            ("do_nothing", "Do nothing", scores(row("forget", 9.5), row("retain", 0.6), row("test", 0.6))),
            ("scrub", "SCRUB", scores(row("forget", 3.4), row("retain", 2.9), row("test", 1.0))),
            ("gradient_ascent", "Gradient ascent", scores(row("forget", 6.0), row("retain", 5.0), row("test", 5.0))),
        ]
    )


def test_frame_keeps_the_order_and_every_split():
    found = table()
    assert list(dict.fromkeys(found["method"])) == ["do_nothing", "scrub", "gradient_ascent"]
    assert found.groupby("method")["split"].apply(list).tolist() == [["forget", "retain", "test"]] * 3
    assert found["role"].tolist() == ["original"] * 3 + ["unlearned"] * 6


def test_what_was_not_measured_is_missing_and_not_zero():
    found = known.table([("scrub", "SCRUB", scores({"split": "forget"}))])
    assert math.isnan(found.loc[0, "klom_p95"])
    assert headline.verdict(found) == ""
    drawn = headline.figure(found, LIGHT)
    assert not drawn.data, "a method without numbers has no dot"
    assert "SCRUB" in drawn.layout.yaxis.ticktext[0], "but it has its row"


def test_verdict_names_the_closest_method_its_floor_and_what_it_costs():
    said = headline.verdict(table())
    assert "**SCRUB** comes closest on the forget set: 3.4, against a floor of 0.7" in said
    assert "doing nothing scores 9.5" in said
    assert "On the retain set it drifts to 2.9 (floor 0.7)." in said


def test_verdict_never_crowns_doing_nothing_or_the_retrain_itself():
    found = known.table(
        [("retrain", "Retrain", scores(row("forget", 0.6))), ("do_nothing", "Do nothing", scores(row("forget", 0.1)))]
    )
    assert headline.verdict(found) == ""


def test_verdict_says_when_doing_nothing_is_closer_still():
    found = known.table(
        [("do_nothing", "Do nothing", scores(row("forget", 2.0))), ("x", "X", scores(row("forget", 3.0)))]
    )
    assert "doing nothing scores 2.0, which is closer still." in headline.verdict(found)
    assert "closer still" not in headline.verdict(table())


def test_verdict_cannot_be_made_markup():
    found = known.table([("x", "a**b<script>[c](d)", scores(row("forget", 1.0)))])
    assert not set("<>[]") & set(headline.verdict(found))


def test_each_dot_stands_at_its_number_with_its_interval_and_names_its_method_and_split():
    drawn = headline.figure(table(), LIGHT, chosen="scrub")
    trace = next(t for t in drawn.data if t.customdata[0][0] == "scrub" and t.customdata[0][1] == "forget")
    assert trace.x[0] == 3.4
    np.testing.assert_allclose([trace.error_x.array[0], trace.error_x.arrayminus[0]], [0.3, 0.2])
    assert trace.marker.color == LIGHT.unlearned
    nothing = next(t for t in drawn.data if t.customdata[0][0] == "do_nothing")
    assert nothing.marker.color == LIGHT.original


def test_every_dot_has_the_floor_of_its_own_number_of_models_and_every_panel_the_ceiling():
    found = table()
    found.loc[found["method"] == "scrub", "klom_p95_floor"] = 5.0
    shapes = headline.figure(found, DARK).layout.shapes
    for axis in ("x", "x2", "x3"):
        mine = [s for s in shapes if s.xref == axis]
        bands = {(s.y0 + s.y1) / 2: s.x1 for s in mine if s.type == "rect"}
        assert bands == {2: 0.7, 1: 5.0, 0: 0.7}, axis
        assert any(s.type == "line" and math.isclose(s.x0, math.log(1e5), rel_tol=1e-6) for s in mine), axis


def test_downloaded_figure_needs_no_network_and_escapes_its_words():
    page = as_html(headline.figure(table(), LIGHT), headline.CARD, subject="data <script>alert(1)</script>").decode()
    assert "<script>alert(1)" not in page
    assert 'src="http' not in page
    assert 'showSendToCloud": false' in page.replace("'", '"') or '"showSendToCloud":false' in page
    assert len(page) > 1_000_000, "plotly.js lies inside"


def test_numbers_survive_a_trip_through_csv(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    back = pd.read_csv(tmp_path / "t.csv")
    np.testing.assert_allclose(back["klom_p95"], table()["klom_p95"])


@pytest.mark.parametrize(("statistic", "low", "high"), [("klom_mean", 1.0, 2.0), ("klom_median", 0.5, 3.0)])
def test_another_statistic_has_its_own_dot_interval_and_floor(statistic, low, high):
    more = {f"{statistic}_low": low, f"{statistic}_high": high, statistic: 1.5, f"{statistic}_floor": 0.25}
    found = known.table([("scrub", "SCRUB", scores(row("forget", 9.0, **more)))])
    drawn = headline.figure(found, LIGHT, statistic=statistic)
    (trace,) = drawn.data
    assert (trace.x[0], trace.error_x.array[0], trace.error_x.arrayminus[0]) == (1.5, high - 1.5, 1.5 - low)
    (band,) = [s for s in drawn.layout.shapes if s.type == "rect"]
    assert band.x1 == 0.25
    assert "1.5, against a floor of 0.2" in headline.verdict(found, statistic)
    assert statistics()[statistic].label.lower() in drawn.layout.xaxis2.title.text
    assert headline.card(statistic).how != headline.CARD.how


def test_an_interval_that_was_not_measured_is_not_drawn():
    found = known.table([("scrub", "SCRUB", scores(row("forget", 9.0)))])
    (trace,) = headline.figure(found, LIGHT, statistic="klom_mean").data
    assert (trace.x[0], trace.error_x.array[0], trace.error_x.arrayminus[0]) == (4.5, 0, 0)
    assert "(" not in trace.hovertext[0]


def test_a_figure_of_a_sweep_has_the_references_the_chosen_and_the_closest():
    many = [
        (f"scrub-{i}", f"SCRUB {i}", scores(row("forget", 9 - i / 10), row("retain", 1), row("test", 1)))
        for i in range(30)
    ]
    late = ("scrub-late", "late", None)
    found = known.table([("do_nothing", "Do nothing", scores(row("forget", 9.9))), late, *many])
    shown = headline.nearest(found, most=5, keep="scrub-1")
    assert list(dict.fromkeys(shown["method"])) == ["do_nothing", "scrub-1", "scrub-27", "scrub-28", "scrub-29"]
    assert headline.nearest(found, most=99) is found
