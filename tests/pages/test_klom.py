import base64
import json
import re
import shutil

import numpy as np
import pytest
import toy

from engine.metrics import statistics
from engine.metrics.scores import Scores
from engine.queue import Queue
from engine.records import Recipe
from engine.store import StoreError
from pages.ui import results


def figure(app, key):
    return json.loads(next(c for c in app.get("plotly_chart") if c.key == key).proto.spec)


def decoded(values):
    """Numbers of a chart, which plotly writes as base64 when they come from an array."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"]))
    return np.asarray(values)


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def test_an_empty_store_invites_to_start(visit):
    app = visit("klom")
    assert "Nothing measured yet" in [s.value for s in app.subheader]
    app.button("to-start").click().run()
    assert "What does the network still remember?" in [t.value for t in app.title]


def test_a_finished_run_shows_its_verdict_models_and_convention(visit, filled):
    app = visit("klom", run=filled[0])
    said = text(app)
    assert "**Oracle matching** comes closest on the forget set" in said
    assert "KLOM, paper convention; 20 models of each kind." in said
    assert "KLOM rests on 20 models" in said, "warnings are said in words"
    charts = [chart.key for chart in app.get("plotly_chart")]
    assert charts == ["headline", "tradeoff", "distribution", "margins", "every-method", "way", "enough"]
    assert app.segmented_control("method").value == "oracle_matching"


def test_how_long_networks_were_trained_is_said_where_they_stop_by_themselves(visit, filled, store, monkeypatch):
    assert "stopped after" not in text(visit("klom", run=filled[0]))
    epochs = {"original": np.array([14, 16]), "oracle": np.array([10, 12])}
    monkeypatch.setattr(results.Result, "epochs", lambda _: epochs)
    assert "stopped after" not in text(visit("klom", run=filled[0])), "nothing is read without early stopping"
    queue = Queue(store.queue_path)
    change = "UPDATE runs SET recipe = json_set(recipe, '$.training', json('{\"patience\": 2}')) WHERE id = ?"
    queue._database.change(lambda connection: connection.execute(change, (filled[0],)))
    said = text(visit("klom", run=filled[0]))
    assert "Training stopped after 15.0 epochs (14 to 16), that of oracles stopped after 11.0 epochs (10 to 12)" in said


def test_a_point_is_called_by_names_before_now_and_by_oracles(visit, filled):
    """Catches a point's answers taken from another point, or from another ensemble."""
    app = visit("klom", run=filled[0], method="Do nothing", point="3")
    said = text(app)
    assert "Called before" in said
    assert "Called by oracles" in said
    before, now = (re.search(rf"<dt>{name}</dt><dd>([^<]*)</dd>", said)[1] for name in ("Called before", "Called now"))
    assert before == now, "nothing was done"
    assert re.fullmatch(r"\d \(\d+ of 20\)(, \d \(\d+\))?", before)


def test_a_link_to_a_run_that_is_gone_says_so(visit, filled):
    for bad in ("0123456789abcdef", "../../x", "<script>"):
        app = visit("klom", run=bad)
        assert "not in this store" in text(app)
        assert "<script>" not in text(app)


def test_method_split_point_and_shape_come_from_the_url(visit, filled):
    app = visit("klom", run=filled[0], method="SCRUB", split="Test set", point="3", shape="Histogram")
    assert app.segmented_control("method").value == "scrub"
    assert app.segmented_control("split").value == "test"
    assert app.segmented_control("shape").value == "Histogram"
    assert "3, forget set, label 3" in text(app)


def test_a_point_that_does_not_exist_falls_back_to_the_worst(visit, filled):
    worst = text(visit("klom", run=filled[0]))
    for bad in ("999999", "-1", "1e3", "²", "x"):
        app = visit("klom", run=filled[0], point=bad)
        assert worst.split("<dd>")[1] == text(app).split("<dd>")[1]


def test_results_are_parsed_once_per_change_and_name_their_forget_set(filled, queue, store, monkeypatch):
    from pages.ui import results

    run, parsed, read = queue.run(filled[0]), [], Queue.results

    def counted(self, run_id, **about):
        parsed.append(run_id)
        return read(self, run_id, **about)

    monkeypatch.setattr(Queue, "results", counted)
    first = [results.results(run) for _ in range(3)][-1]
    assert parsed == [run.id]
    forget, earlier = toy.removed(store, first[0].payload)
    assert [array.tolist() for array in first[0].removed()] == [forget, earlier]
    assert [first[0].split_of(point) for point in (forget[0], first[0].payload["train"])] == ["forget", "test"]
    drawn = results.version(run)
    queue.put_result(run.id, "scrub", 40, next(one.payload for one in first if one.method == "scrub"))
    assert results.version(run) != drawn
    assert {one.method: one.models for one in results.results(run)}["scrub"] == 40
    assert parsed == [run.id, run.id]


def test_a_method_chosen_for_another_run_does_not_break_this_one(visit, filled, queue):
    app = visit("klom", run=filled[0], method="SCRUB")
    other = queue.submit(toy.recipe(methods=("do_nothing",)), session="x", label="other")
    queue.set_status(other, "running")
    queue.put_result(other, "do_nothing", 20, queue.results(filled[0])[0].payload)
    queue.set_status(other, "done")
    app.run()
    app.selectbox("other-run").select(other).run()
    assert not app.exception
    assert app.segmented_control("method").value == "do_nothing"


def test_a_run_under_way_shows_progress_before_anything_is_measured(visit, filled):
    app = visit("klom", run=filled[2])
    said = text(app)
    assert "The first KLOM appears after 20 models of each kind" in said
    assert any("40%" in p.proto.text and "about 21 s left" in p.proto.text for p in app.get("progress"))
    assert "models 21 to 40" in app.get("progress")[0].proto.text


def test_cancel_asks_first_and_kills_the_second_time(visit, filled, queue):
    app = visit("klom", run=filled[2])
    button = app.button(f"cancel-live-{filled[2]}")
    assert button.label == "Cancel"
    button.click().run()
    assert queue.run(filled[2]).cancel == 1
    again = app.button(f"cancel-live-{filled[2]}")
    assert again.label == "Stop at once"
    again.click().run()
    assert queue.run(filled[2]).cancel == 2


def test_the_picture_fills_in_while_the_run_goes_on_and_keeps_the_choice(visit, filled, queue):
    app = visit("klom", run=filled[2], method="SCRUB", point="3")
    for method in ("do_nothing", "scrub"):
        payload = next(r.payload for r in queue.results(filled[0]) if r.method_id == method)
        queue.put_result(filled[2], method, 20, payload)
    for _ in range(3):
        app.run()
    assert app.segmented_control("method").value == "scrub"
    assert "20 models of each kind so far, of 60" in text(app)
    assert "3, forget set, label 3" in text(app)
    queue.set_status(filled[2], "done")
    app.run()
    assert not app.get("progress"), "the live panel goes when the run is over"


def test_a_failed_run_says_why_in_words(visit, filled):
    app = visit("klom", run=filled[1])
    (error,) = app.error
    assert "the network diverged" in error.value
    assert "<b>" not in error.value.replace("\\<b\\>", "")


def test_a_stopped_method_is_named_with_its_reason(visit, filled, queue):
    progress = dict(queue.run(filled[2]).progress)
    progress["methods"] = {"scrub": {"done": 1, "total": 2, "stopped": "diverged at step 3 of 9: lower the rate"}}
    queue.set_progress(filled[2], progress)
    app = visit("klom", run=filled[2])
    assert "diverged at step 3 of 9" in app.warning[0].value


def test_numbers_that_vanished_from_disk_are_said_and_the_headline_stays(visit, filled, store):
    shutil.rmtree(store.path / "artefacts")
    app = visit("klom", run=filled[0])
    assert "cannot be shown" in app.warning[0].value
    assert [chart.key for chart in app.get("plotly_chart")] == ["headline", "tradeoff"]


def tiles(app):
    found = [json.loads(part.proto.json) for part in app.get("bidi_component") if "tiles" in part.proto.json]
    (grid,) = found
    return grid["tiles"]


def test_the_gallery_shows_the_worst_points_of_the_split_with_their_pictures(visit, filled, queue, store):
    app = visit("klom", run=filled[0])
    shown = tiles(app)
    forget = set(toy.removed(store, queue.results(filled[0])[0].payload)[0])
    assert len(shown) == 40
    assert {tile["point"] for tile in shown} <= forget
    values = [tile["klom"] for tile in shown]
    assert values == sorted(values, reverse=True)
    assert all(tile["src"].startswith("data:image/png;base64,") for tile in shown)
    assert [tile["on"] for tile in shown] == [True] + [False] * 39, "the worst one is looked at first"
    app.segmented_control("order").set_value("best").run()
    assert tiles(app)[0]["klom"] == min(tile["klom"] for tile in tiles(app))


def test_a_store_that_cannot_be_opened_is_one_sentence(visit, store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("FORGETSCOPE_STORE", str(tmp_path / "file"))
    app = visit()
    (error,) = app.error
    assert "is a file, not a folder" in error.value
    assert StoreError.__name__ not in error.value


def dots(app):
    """Each method's dot on the forget set: its KLOM, and how far its bar reaches up and down."""
    traces = [t for t in figure(app, "headline")["data"] if t["xaxis"] == "x"]
    return {
        data[0]: values
        for t in traces
        for data, *values in zip(
            t["customdata"],
            *(decoded(v) for v in (t["x"], t["error_x"]["array"], t["error_x"]["arrayminus"])),
            strict=True,
        )
    }


@pytest.mark.parametrize("statistic", list(statistics()))
def test_the_statistic_shown_brings_its_own_interval_and_floor(visit, filled, queue, statistic):
    app = visit("klom", run=filled[0])
    app.segmented_control("statistic").set_value(statistic).run()
    scores = next(Scores.from_json(r.payload["scores"]) for r in queue.results(filled[0]) if r.method_id == "scrub")
    middle, low, high, floor = (
        scores.value(statistics()[statistic], "forget", part) for part in ("value", "low", "high", "floor")
    )
    assert dots(app)["scrub"] == pytest.approx([middle, high - middle, middle - low])
    floors = {s["x1"] for s in figure(app, "headline")["layout"]["shapes"] if s["type"] == "rect" and s["xref"] == "x"}
    assert sorted(floors) == pytest.approx([floor])
    assert f"against a floor of {floor:.1f}" in text(app)


def test_the_other_convention_is_shown_throughout_and_which_was_asked_for_is_said(visit, filled, queue, store):
    app = visit("klom", run=filled[0])
    app.segmented_control("convention").set_value("easydub").run()
    said = text(app)
    assert "KLOM, easydub convention (this run asked for paper: no intervals were measured)" in said
    payload = next(r.payload for r in queue.results(filled[0]) if r.method_id == "scrub")
    other = store.artefact("evaluation", payload["spec"]).read("whole").array("klom_other")
    forget = toy.removed(store, payload)[0]
    assert dots(app)["scrub"] == pytest.approx([np.quantile(other[forget], 0.95), 0, 0])
    app.segmented_control("method").set_value("scrub").run()
    assert tiles(app)[0]["klom"] == pytest.approx(other[forget].max()), "the pictures follow"
    app.segmented_control("convention").set_value("paper").run()
    assert "asked for" not in text(app)


def test_a_violin_has_two_halves_per_split_and_its_worst_points_as_dots(visit, filled):
    app = visit("klom", run=filled[0], shape="Violin")
    drawn = figure(app, "distribution")["data"]
    assert [t["side"] for t in drawn if t["type"] == "violin"] == ["negative", "positive"] * 3
    assert [len(t["customdata"]) for t in drawn if t.get("customdata")] == [40, 40, 40]


def test_two_methods_are_compared_point_by_point(visit, filled, queue, store):
    app = visit("klom", run=filled[0], method="SCRUB", order="Two methods", against="Oracle matching")
    drawn = figure(app, "versus")["data"][0]
    values = {}
    for result in queue.results(filled[0]):
        values[result.method_id] = store.artefact("evaluation", result.payload["spec"]).read("whole").array("klom")
    forget = sorted(toy.removed(store, queue.results(filled[0])[0].payload)[0])
    assert [data[0] for data in drawn["customdata"]] == forget
    np.testing.assert_allclose(decoded(drawn["x"]), values["scrub"][forget])
    np.testing.assert_allclose(decoded(drawn["y"]), values["oracle_matching"][forget])
    closer = int((values["scrub"][forget] < values["oracle_matching"][forget]).sum())
    assert f"SCRUB is closer on {closer} of 50 pictures of the forget set" in text(app)


def test_a_method_is_never_compared_with_itself(visit, filled):
    app = visit("klom", run=filled[0], method="SCRUB", order="Two methods", against="SCRUB")
    assert app.selectbox("against").value != "scrub"
    app.segmented_control("method").set_value(app.selectbox("against").value).run()
    assert not app.exception
    assert app.selectbox("against").value != app.segmented_control("method").value


def test_is_this_enough_is_answered_in_words_with_curves_of_fewer_models(visit, filled):
    app = visit("klom", run=filled[0], method="Do nothing")
    said = text(app)
    assert "Enough to tell Do nothing from a retrain" in said
    assert "With 20 models a side the floor of the forget set is" in said
    assert "For a floor of 0.7, that of published tables, it takes about" in said
    curve = figure(app, "enough")["data"]
    assert decoded(curve[0]["x"]).tolist() == [4, 5, 7, 10, 15, 20]
    app.segmented_control("curve").set_value("klom_mean").run()
    assert decoded(figure(app, "enough")["data"][1]["y"])[-1] < decoded(curve[1]["y"])[-1]


def sweep(queue, source, forget):
    """A finished run of two settings of SCRUB with the toy run's numbers."""
    recipe = {**toy.recipe(("do_nothing",)), "forget": forget}
    recipe["methods"] += [{"key": "scrub", "lr": 1e-4}, {"key": "scrub", "lr": 1e-3}]
    run = queue.submit(recipe, session="toy", label="sweep")
    queue.set_status(run, "running")
    payloads = {result.method_id: result.payload for result in queue.results(source)}
    for method, of in zip(
        Recipe.from_json(recipe).methods_ids(), ("do_nothing", "scrub", "gradient_descent"), strict=True
    ):
        queue.put_result(run, method, toy.MODELS, payloads[of])
    queue.set_status(run, "done")
    return run


def test_the_best_settings_of_a_sweep_stand_beside_those_on_another_forget_set(visit, filled, queue):
    run = sweep(queue, filled[0], {"key": "random", "n": 50})
    app = visit("klom", run=run)
    assert "best" in [chart.key for chart in app.get("plotly_chart")]
    assert "Run the same methods on another forget set" in text(app)
    sweep(queue, filled[0], {"key": "class", "classes": "3"})
    queue.submit({**toy.recipe(("do_nothing",)), "seed": 5}, session="toy", label="another seed, no sister")
    app = visit("klom", run=run)
    titles = [note["text"] for note in figure(app, "best")["layout"]["annotations"]]
    assert titles == ["random 50", "class 3"]
    assert "Run the same methods" not in text(app)
    assert "best" not in [chart.key for chart in visit("klom", run=filled[0]).get("plotly_chart")]


def test_the_inspector_leads_to_the_same_picture_on_other_pages(visit, filled):
    app = visit("klom", run=filled[0], method="SCRUB", point="3")
    links = {link.proto.label: link.proto for link in app.get("page_link")}
    looks = links["Where do they look?"]
    assert looks.page.endswith("attention")
    assert {"point=3", "attention-also=3", "method=SCRUB", f"run={filled[0]}"} <= set(looks.query_string.split("&"))
    assert "What is it called?" in links
