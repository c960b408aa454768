"""The point inspector, as panel and as dialog."""

import base64
import json

import numpy as np
import pytest
import toy
from streamlit.testing.v1 import AppTest

from engine.data.digits import Digits
from engine.store import Store
from pages.ui import runs

DIALOG = """
import streamlit as st
from pages.ui import inspector, runs, workspace

run = runs.find(st.query_params.get("run", ""))
if st.button("open", key="open-it"):
    inspector.pick(3)
    inspector.linked(run, st.query_params["data"])
elif st.query_params.get("linked"):
    inspector.linked(run, st.query_params["data"])
"""


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html])


def charts(app):
    return {chart.key: json.loads(chart.proto.spec) for chart in app.get("plotly_chart")}


def grids(app):
    found = [json.loads(part.proto.json) for part in app.get("bidi_component")]
    return [data["tiles"] for data in found if "tiles" in data]


def keys(app):
    return {button.key for button in app.button}


@pytest.fixture
def data(store):
    return Digits().load(store.data_cache, lambda _share, _said: None)


@pytest.fixture
def dialog(filled, data, monkeypatch):
    monkeypatch.setattr(runs, "exists", lambda page: False)  # the script below is no app with pages to link to

    def go(**query):
        app = AppTest.from_string(DIALOG, default_timeout=60)
        for name, value in {"data": data.hash, **query}.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, [e.value for e in app.exception]
        return app

    return go


@pytest.fixture
def alike(store, data):
    """Neighbours in the store: those of picture n are the six numbers after it."""
    n = len(data.y_train)
    with toy.explored(store, data.hash, key="columns").write("whole") as out:
        out.arrays("neighbours", ((np.arange(n)[:, None] + np.arange(1, 9)) % n).astype(np.int32))
        out.arrays("distance", np.tile(np.linspace(0.01, 0.3, 8, dtype=np.float32), (n, 1)))
        out.json("facts", {"typical": 0.2, "near": 0.1})


def asked(queue):
    return [(name, request) for name, request in queue.questions() if request["kind"] == "analysis"]


def forget(queue, run):
    return sorted(toy.removed(Store.open(queue.path.parent), queue.results(run)[0].payload)[0])


def test_a_point_shows_its_margins_its_methods_and_its_way(visit, filled, queue):
    number = forget(queue, filled[0])[0]
    app = visit("klom", run=filled[0], method="SCRUB", point=str(number))
    said, drawn = text(app), charts(app)
    assert f"{number}, forget set, label" in said
    assert "original 100%, unlearned" in said, "how many networks answer right"
    assert [t["name"] for t in drawn["margins"]["data"]] == ["original", "unlearned", "oracle"]
    assert len(drawn["every-method"]["data"][0]["customdata"]) == 4
    assert [t["name"] for t in drawn["way"]["data"]][-1] == "SCRUB", "the chosen one is drawn over the others"
    assert len(drawn["way"]["data"]) == 4


def test_the_way_ends_at_the_margins_the_histogram_shows(visit, filled, queue, store):
    number = forget(queue, filled[0])[0]
    app = visit("klom", run=filled[0], method="SCRUB", point=str(number))
    payload = next(r.payload for r in queue.results(filled[0]) if r.method_id == "scrub")
    part = store.artefact("unlearned", payload["spec"]["unlearned"]).read(payload["parts"][0])
    way = np.frombuffer(base64.b64decode(charts(app)["way"]["data"][-1]["y"]["bdata"]))
    assert way[-1] == pytest.approx(part.array("margins")[:, number].mean(), abs=1e-4)


def test_a_point_that_was_not_followed_says_so(visit, filled, queue, data):
    late = max(set(range(len(data.y_train))) - set(forget(queue, filled[0])))
    app = visit("klom", run=filled[0], point=str(late))
    assert "This picture was not followed while the methods ran" in text(app)
    assert "way" not in charts(app)


def test_previous_and_next_walk_in_the_order_of_the_pictures(visit, filled, queue):
    app = visit("klom", run=filled[0])
    order = [tile["point"] for tile in grids(app)[0]]
    assert app.button("previous").disabled
    app.button("next").click().run()
    assert f"{order[1]}, forget set" in text(app)
    app.button("next").click().run()
    app.button("previous").click().run()
    assert app.query_params["point"] == str(order[1])


def test_neighbours_are_asked_for_when_wanted_and_shown_when_found(visit, filled, queue, data, alike, store):
    toy.explored(store, data.hash, key="columns").discard("whole")
    number = forget(queue, filled[0])[0]
    app = visit("klom", run=filled[0], point=str(number))
    assert not asked(queue), "nothing is asked before somebody wants to know"
    app.button("alike-find").click().run()
    ((question, request),) = asked(queue)
    assert request["analysis"] == {"key": "columns", "through": "pixels"}
    assert request["recipe"] == {"dataset": {"key": "digits"}}
    assert len(charts(app)) == 7, "the rest is there while the question is open"
    queue.answer(question, {"error": "the pictures are gone"})
    app.run()
    assert "cannot be found: the pictures are gone" in text(app)


def test_neighbours_in_the_store_are_shown_at_once_with_their_split_and_can_be_looked_at(visit, filled, queue, alike):
    number = forget(queue, filled[0])[0]
    app = visit("klom", run=filled[0], point=str(number))
    assert not asked(queue)
    near = grids(app)[1]
    assert [tile["point"] for tile in near] == [number + i for i in range(1, 7)]
    known = set(forget(queue, filled[0]))
    assert [tile["label"] for tile in near] == ["forget" if tile["point"] in known else "retain" for tile in near]
    assert "nearly the same" in near[0]["title"]
    assert "nearly the same" not in near[5]["title"]


def test_a_test_picture_has_no_neighbours_and_cannot_be_forgotten(visit, filled, data, alike):
    app = visit("klom", run=filled[0], point=str(len(data.y_train)))
    assert f"{len(data.y_train)}, test set" in text(app)
    assert len(grids(app)) == 1, "the gallery alone"
    assert not {"add", "like"} & keys(app)


def test_the_dialog_opens_walks_and_closes_with_the_url(dialog, filled):
    app = dialog(run=filled[0])
    assert "fs-point" not in text(app)
    app.button("open-it").click().run()
    assert app.query_params["point"] == ["3"] or app.query_params["point"] == "3"
    said = text(app)
    assert "3, " in said
    assert {"inspector-margins", "inspector-every-method"} <= set(charts(app))


def test_a_link_opens_the_dialog_and_a_bad_one_does_not(dialog, filled):
    assert "fs-point" in text(dialog(run=filled[0], linked="1", point="5"))
    for bad in ("-1", "1e3", "99999999", "x", "²"):
        assert "fs-point" not in text(dialog(run=filled[0], linked="1", point=bad)), bad


def test_without_a_run_there_are_picture_label_and_kind(dialog, filled):
    app = dialog(linked="1", point="5")
    assert "5, training picture, label" in text(app)
    assert not charts(app)
    run_without_results = dialog(run=filled[2], linked="1", point="5")
    assert "5, training picture, label" in text(run_without_results)


def test_the_method_looked_at_in_the_dialog_can_be_changed(dialog, filled):
    app = dialog(run=filled[0], linked="1", point="5")
    app.selectbox("inspector-method").select("scrub").run()
    assert "inspector-margins" in charts(app)
    labels = charts(app)["inspector-every-method"]["layout"]["yaxis"]["ticktext"]
    assert [label for label in labels if "<b>" in label] == [label for label in labels if "SCRUB" in label]
