"""Look further, on the KLOM page: any analysis of the method in focus, by a press or by a link."""

import numpy as np

from engine.measurement import Measurement
from engine.store.measurements import save


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [w.value for w in app.warning])


def questions(queue, key, *, price):
    """Return the open questions about an analysis, as (id, request)."""
    asked = [(name, request) for name, request in queue.questions() if request["kind"] == "analysis"]
    return [(n, r) for n, r in asked if r["analysis"]["key"] == key and bool(r.get("price")) == price]


def membership(store, shift=0.0):
    """Write a membership attack of 20 networks and return the answer that names it."""
    rng = np.random.default_rng(0)
    roles = ["original", "unlearned", "oracle", "second oracle"]
    arrays = {name: rng.uniform(0.4, 0.5, (20, 4)) + shift for name in ("auc", "tpr")}
    artefact = store.artefact("analysis", {"toy": shift})
    with artefact.write("00000-00020") as out:
        save(out, Measurement(arrays, {"roles": roles, "fpr": 0.01, "members": 50, "others": 360}))
    return {"kind": "analysis", "spec": artefact.spec, "parts": ["00000-00020"], "models": 20}


def charts(app):
    return [chart.key for chart in app.get("plotly_chart")]


def test_every_analysis_of_a_method_is_offered_and_none_is_asked_before_it_is_chosen(visit, filled, queue, words):
    app = visit("klom", run=filled[0])
    names = {e["card"]["name"] for e in words["analyses"] if e["about"] == "method" and not e["requires"]}
    assert set(app.segmented_control("look").options) == names
    assert "What it makes on its way" not in names, "no method here makes pictures"
    assert not [request for _, request in queue.questions() if request["kind"] == "analysis"]


def test_a_chosen_analysis_has_a_price_and_is_measured_at_a_press(visit, filled, queue, store):
    app = visit("klom", run=filled[0], method="SCRUB")
    app.segmented_control("look").select("membership").run()
    assert "Privacy Risk in Machine Learning" in text(app)
    ((price, request),) = questions(queue, "membership", price=True)
    assert (request["method"], request["models"]) == ("scrub", 20)
    assert request["analysis"]["fpr"] == 0.01
    assert not questions(queue, "membership", price=False)
    queue.answer(price, {"seconds": 4.2, "cached": False})
    app.run()
    assert "About **4 s**" in text(app)
    app.button("look-membership-go").click().run()
    ((question, request),) = questions(queue, "membership", price=False)
    assert request["recipe"]["forget"] == {"key": "random", "n": 50}
    queue.answer(question, membership(store))
    app.run()
    assert not app.exception
    assert "look-membership-chart" in charts(app)
    assert "Do the networks give away" in text(app)
    app.segmented_control("behind-membership").select("Table").run()
    table = next(d.value for d in app.dataframe if "auc" in d.value.columns)
    assert list(table["role"]) == ["original", "unlearned", "oracle", "second oracle"]
    assert set(table["networks"]) == {20}


def test_what_was_measured_before_is_shown_by_its_link(visit, filled, queue, store):
    app = visit("klom", run=filled[0], look="Membership by threshold")
    ((price, _),) = questions(queue, "membership", price=True)
    queue.answer(price, {"seconds": 0.0, "cached": True})
    app.run()
    ((question, _),) = questions(queue, "membership", price=False)
    queue.answer(question, membership(store))
    app.run()
    assert "look-membership-chart" in charts(app)
    assert not [b for b in app.button if b.key == "look-membership-go"], "nothing is left to press"


def test_a_knob_makes_another_question(visit, filled, queue):
    app = visit("klom", run=filled[0], look="Membership by threshold")
    app.number_input("look-membership-fpr").set_value(0.1).run()
    asked = [request["analysis"]["fpr"] for _, request in questions(queue, "membership", price=True)]
    assert asked == [0.01, 0.1]
    assert not questions(queue, "membership", price=False)


def test_what_cannot_be_measured_is_said(visit, filled, queue):
    app = visit("klom", run=filled[0], look="Linear CKA")
    ((price, _),) = questions(queue, "cka", price=True)
    queue.answer(price, {"error": "CKA compares <b>points</b>"})
    app.run()
    assert "CKA compares" in text(app)
    assert not [b for b in app.button if b.key == "look-cka-go"]


def test_a_measurement_that_is_gone_is_said(visit, filled, queue, store):
    app = visit("klom", run=filled[0], look="Membership by threshold")
    app.button("look-membership-go").click().run()
    ((question, _),) = questions(queue, "membership", price=False)
    answer = membership(store, shift=0.1)
    store.artefact("analysis", answer["spec"]).discard("00000-00020")
    queue.answer(question, answer)
    app.run()
    assert not app.exception
    assert "look-membership-chart" not in charts(app)
