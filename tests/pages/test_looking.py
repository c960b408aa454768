"""The pages that look closer: one subject over pages, nothing measured unasked, and what was measured is drawn."""

from dataclasses import replace

import benches
import numpy as np
import pytest

from engine.analyses import make_analysis
from engine.data.digits import Digits
from engine.measurement import Measurement
from engine.records import Recipe
from engine.store.measurements import save
from pages.ui import runs

TITLES = {
    "missing": "Missing targets",
    "predictions": "Predictions",
    "attention": "Attention",
    "inversion": "Inversion",
    "layers": "Layers",
}
MEASURED = ("predictions", "attention", "inversion")


@pytest.fixture
def read(store):
    """The digits, which the toy run is on."""
    return Digits().load(store.data_cache, lambda *_: None)


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [w.value for w in app.warning])


def questions(queue, key, *, price):
    asked = [(name, request) for name, request in queue.questions() if request["kind"] == "analysis"]
    return [(n, r) for n, r in asked if r["analysis"]["key"] == key and bool(r.get("price")) == price]


def charts(app):
    return [chart.key for chart in app.get("plotly_chart")]


def toy_answers(data):
    """Return what 20 networks answer on the digits: forgotten ones are called 9 now."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([data.y_train, data.y_test])
    predicted = np.tile(labels, (20, 4, 1)).astype(np.int16)
    forget = np.arange(40)
    predicted[:, 1, forget] = 9
    sure = rng.uniform(0.5, 1, predicted.shape).astype(np.float32)
    arrays = {"predicted": predicted, "sure": sure, "entropy": 1 - sure}
    arrays |= {"mean": np.full((20, 4, 3, 10), 0.1, np.float32), "zrf": np.full((20, 4, 3), 0.7, np.float32)}
    facts = {
        "roles": list(benches.ROLES),
        "classes": list(data.classes),
        "splits": ["forget", "retain", "test"],
        "places": {"forget": forget.tolist()},
        "train": len(data.y_train),
        "labels": labels.tolist(),
    }
    return Measurement(arrays, facts)


def toy_measurement(key, data):
    """Return a measurement of small networks as an analysis makes it, of points that the digits have."""
    if key == "predictions":
        return toy_answers(data)
    plugin = make_analysis({"key": key, **({"steps": 3} if key == "inversion" else {"kind": "gradcam"})})
    return plugin.measure(benches.bench(plugin), seed=0, progress=lambda *_: None)


def answer(store, key, measurement):
    artefact = store.artefact("analysis", {"toy": key})
    with artefact.write("00000-00020") as out:
        save(out, measurement)
    return {"kind": "analysis", "spec": artefact.spec, "parts": ["00000-00020"], "models": 20}


@pytest.mark.parametrize("page", TITLES)
def test_without_a_run_a_page_invites_to_the_first(visit, page):
    app = visit(page)
    assert "Run the demo" in text(app)


@pytest.mark.parametrize("page", TITLES)
def test_a_page_is_about_the_run_and_the_method_of_its_address(visit, filled, page):
    app = visit(page, run=filled[0], method="SCRUB")
    assert app.title[0].value == TITLES[page]
    assert app.query_params["run"] in (filled[0], [filled[0]])
    assert app.segmented_control("method").value == "scrub"


@pytest.mark.parametrize("page", MEASURED)
def test_nothing_is_measured_before_the_press_and_then_it_is_drawn(visit, filled, queue, store, read, page):
    app = visit(page, run=filled[0], method="SCRUB")
    ((price, request),) = questions(queue, page, price=True)
    assert (request["method"], request["models"]) == ("scrub", 20)
    queue.answer(price, {"seconds": 4.2, "cached": False})
    app.run()
    assert "About **4 s**" in text(app)
    assert not questions(queue, page, price=False)
    app.button(f"look-{page}-go").click().run()
    ((question, _),) = questions(queue, page, price=False)
    queue.answer(question, answer(store, page, toy_measurement(page, read)))
    app.run()
    assert not app.exception, [e.value for e in app.exception]
    assert charts(app), "and is drawn"
    assert "20 networks of each kind" in text(app)


def test_predictions_say_what_became_of_the_pictures_and_where_it_shows(visit, filled, queue, store, read):
    app = visit("predictions", run=filled[0], method="SCRUB", point="3")
    app.button("look-predictions-go").click().run()
    ((question, _),) = questions(queue, "predictions", price=False)
    queue.answer(question, answer(store, "predictions", toy_answers(read)))
    app.run()
    own = read.classes[read.y_train[3]]
    assert f"Before: {own} (20 of 20 networks). Now: 9 (20 of 20 networks)." in text(app)
    assert "Streisand" in text(app)
    assert set(charts(app)) >= {f"answers-{name}" for name in ("predictions", "departure", "confusion", "confidence")}
    app.segmented_control("split").select("test").run()
    assert not app.exception


def test_missing_targets_are_drawn_at_once_and_move_with_the_slider(visit, filled):
    app = visit("missing", run=filled[0], method="SCRUB")
    assert set(charts(app)) >= {"missing-missing", "missing-passing", "missing-stopping", "moment-margins"}
    assert "pictures were right at some step" in text(app)
    slider = app.select_slider("moment")
    assert slider.value == 4, "the end of the run"
    slider.set_value(1).run()
    assert not app.exception
    assert "after 25% of SCRUB" in text(app)
    app.button("play").click().run()
    assert app.button("play").label == "Stop"
    app.button("missing-next").click().run()
    assert app.query_params["point"]


def test_a_run_is_looked_at_more_often_at_a_press(visit, filled, queue):
    app = visit("missing", run=filled[0], method="SCRUB")
    app.button("more-moments").click().run()
    row = queue.runs()[0]
    assert row.id != filled[0]
    before, after = (Recipe.from_json(runs.whole(one.recipe)) for one in (queue.run(filled[0]), row))
    assert (before.measuring.moments, after.measuring.moments) == (12, 60)
    assert replace(after, measuring=before.measuring) == before, "nothing else is another"


def test_layers_offer_every_analysis_of_layers(visit, filled, words):
    app = visit("layers", run=filled[0])
    names = [e["card"]["name"] for e in words["analyses"] if e["card"]["family"] == "representation"]
    assert len(names) >= 3
    assert all(name in text(app) for name in names)
    assert len([b for b in app.button if b.label == "Measure"]) == len(names)
