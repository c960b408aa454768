"""The picture of requests in a row: every number in its place, floors per request, gaps where nothing is measured."""

import math

import known
import pytest
from measured import scores

from engine.theme import DARK, LIGHT
from engine.views import requests
from engine.views.base import as_html
from engine.views.palette import hue, places

SPLITS = ("forget", "retain", "test", "earlier")


def rows(request, klom, floor=0.6, models=20, compute=0.25):
    shared = {
        "klom_p95_floor": floor + request, "accuracy": 0.9, "accuracy_oracle": 0.1 * request, "accuracy_gap": 5.0,
        "accuracy_gap_floor": -1.0, "compute": compute, "seconds": 3.0 * request,
    }  # fmt: skip
    here = {
        split: {"klom_p95": klom + i, "klom_p95_low": klom + i - 0.5, "klom_p95_high": klom + i + 0.25}
        for i, split in enumerate(SPLITS if request > 1 else SPLITS[:3])
    }
    return scores(*({"split": split, **own, **shared} for split, own in here.items()), models=models)


NAMES = {"do_nothing": "Do nothing", "scrub": "SCRUB", "unsir": "UNSIR <b>"}


@pytest.fixture
def table():
    found = []
    for request, asked in ((2, "class 5"), (1, "class 3"), (3, "class 8")):
        for method, klom in (("do_nothing", 0.1), ("scrub", 4.0), ("unsir", 2.0 * request)):
            if (request, method) != (3, "scrub"):
                found.append(
                    requests.Entry(
                        request, asked, method, NAMES[method], rows(request, klom), known.REFERENCES.get(method, "")
                    )
                )
    return requests.frame(found)


def at(table, request, method, split):
    return table[(table["request"] == request) & (table["method"] == method) & (table["split"] == split)]


def test_a_row_per_request_method_and_split_in_the_order_of_requests(table):
    assert table["request"].is_monotonic_increasing
    assert len(table) == 3 * 3 + 3 * 4 + 2 * 4
    assert at(table, 1, "scrub", "earlier").empty, "before the first request nothing was removed"
    (row,) = at(table, 2, "unsir", "earlier").to_dict("records")
    assert (row["klom_p95"], row["klom_p95_floor"], row["asked"], row["seconds"]) == (7.0, 2.6, "class 5", 6.0)


def test_what_was_not_measured_is_missing_and_never_zero():
    found = requests.frame([requests.Entry(1, "class 3", "scrub", "SCRUB", scores({"split": "forget"}, models=3))])
    assert math.isnan(found["klom_p95"].iloc[0])
    assert math.isnan(found["klom_p95_floor"].iloc[0])
    assert requests.sentence(found) == ""
    for quantity in requests.quantities():
        requests.figure(found, LIGHT, quantity=quantity)
        requests.figure(requests.frame([]), LIGHT, quantity=quantity, total=3)


def test_the_sentence_names_the_closest_of_the_newest_request_and_no_reference(table):
    assert requests.sentence(table) == (
        "After request 3, closest on its own pictures UNSIR <b>, 6.00, floor 3.60; "
        "on those of earlier requests UNSIR <b>, 9.00, floor 3.60."
    )
    first = table[table["request"] == 1]
    assert requests.sentence(first) == "After request 1, closest on its own pictures UNSIR <b>, 2.00, floor 1.60."


def lines(figure, name):
    return [t for t in figure.data if t.name == name]


def test_each_method_is_a_line_over_the_requests_in_each_panel(table):
    shades = places(known.facts(NAMES))
    figure = requests.figure(table, LIGHT, total=4, shades=shades)
    own, earlier, retain, test = lines(figure, "SCRUB")
    assert list(own.x) == list(retain.x) == list(test.x) == [1, 2]
    assert list(own.y) == [4.0, 4.0]
    assert list(earlier.x) == [2]
    assert list(earlier.y) == [7.0]
    assert list(own.error_y.array) == [0.25, 0.25]
    assert list(own.error_y.arrayminus) == [0.5, 0.5]
    assert [t.showlegend for t in lines(figure, "SCRUB")] == [True, False, False, False]
    assert own.line.color == hue(shades["scrub"], LIGHT)
    assert list(figure.layout.xaxis.tickvals) == [1, 2, 3, 4], "requests to come have their places"
    titles = [a.text for a in figure.layout.annotations]
    assert titles[:4] == ["This request", "All earlier requests", "Retain set", "Test set"]


def test_every_request_has_its_own_floor(table):
    figure = requests.figure(table, DARK)
    own, earlier, *_ = lines(figure, "noise floor")
    assert [v for v in own.y if v is not None and v > 0] == [1.6, 1.6, 2.6, 2.6, 3.6, 3.6]
    assert min(v for v in earlier.x if v is not None) > 1, "no floor where nothing is measured"


def test_the_floor_is_that_of_the_most_models():
    few, many = rows(1, 4.0, floor=3.0, models=20), rows(1, 4.0, floor=0.5, models=100)
    found = requests.frame([requests.Entry(1, "x", "a", "A", many), requests.Entry(1, "x", "b", "B", few)])
    assert max(v for v in lines(requests.figure(found, LIGHT), "noise floor")[0].y if v is not None) == 1.5


def test_accuracy_stands_beside_the_oracles(table):
    figure = requests.figure(table, LIGHT, quantity="accuracy")
    oracles = lines(figure, "oracles")[0]
    assert [v for v in oracles.y if v is not None] == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3])
    assert list(lines(figure, "SCRUB")[0].y) == [0.9, 0.9]


def test_another_metric_stands_beside_the_second_oracles_on_every_split(table):
    figure = requests.figure(table, LIGHT, quantity="accuracy_gap")
    assert len(lines(figure, "SCRUB")) == 4
    assert {v for v in lines(figure, "second oracles")[0].y if v is not None} == {-1.0}
    assert "points" in figure.layout.yaxis.title.text


@pytest.mark.parametrize(("quantity", "wanted"), [("compute", [0.25] * 3), ("seconds", [3.0, 6.0, 9.0])])
def test_what_a_request_takes_is_one_panel(table, quantity, wanted):
    figure = requests.figure(table, LIGHT, quantity=quantity)
    (line,) = lines(figure, "Do nothing")
    assert list(line.y) == wanted


def test_names_are_never_markup(table):
    figure = requests.figure(table, LIGHT)
    assert lines(figure, "UNSIR b")
    assert "<b>UNSIR b</b>" in lines(figure, "UNSIR b")[0].hovertext[0]
    page = as_html(figure, requests.CARD, subject="UNSIR <b>").decode()
    assert "UNSIR &lt;b&gt;" in page
