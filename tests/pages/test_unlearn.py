import json

import pytest
import toy

from engine.demo import demo_recipe
from engine.metrics.scores import Scores
from engine.queue import Shelf
from engine.records import SPLITS, Recipe
from pages.ui import runs, say, workspace
from pages.unlearn import run_table


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def figures(app):
    """The live charts on the page, as plotly's JSON."""
    found = [json.loads(part.proto.json) for part in app.get("bidi_component") if '"figure"' in part.proto.json]
    return [found_one["figure"] for found_one in found]


def chart(app):
    (one,) = figures(app)
    return one


def asked(queue):
    return priced(queue)[1]["recipe"]


def priced(queue):
    """The latest question about a price; there are others about the methods."""
    return next(question for question in reversed(queue.questions()) if question[1]["kind"] == "estimate")


def named(app, label):
    return [button for button in app.button if button.label == label]


def field(app, label, nth=0):
    return [number for number in app.number_input if number.label == label][nth]


def stand(margin):
    values = {"margin": margin, "margin_sd": 0.5, "accuracy": 0.9, "accuracy_sd": 0.0, "loss": 0.1, "loss_sd": 0.0}
    return dict.fromkeys(SPLITS, values)


def frames(count, total=12):
    return [
        {
            "step": i,
            "total": total,
            "seen": 64 * i,
            "cost": 100.0 * i,
            "seconds": 0.1 * i,
            "losses": {},
            **stand(8 - i / 2),
        }
        for i in range(count)
    ]


def measure(queue, run, methods=toy.METHODS, count=13):
    queue.put_frames(run, "@oracle", "00000-00020", [{"cost": 2000.0, "seconds": 4.0, **stand(3.0)}])
    queue.put_frames(run, "@original", "00000-00020", [{"cost": 2000.0, "seconds": 4.0, **stand(8.0)}])
    for method in methods:
        queue.put_frames(run, method, "00000-00020", frames(count))


def test_an_empty_store_invites_and_prices_every_method(visit, queue, words):
    app = visit("unlearn")
    assert "None yet. Press Run above" in text(app)
    for said in ("Handwritten digits", "MLP", "random 50", "100 models"):
        assert said in text(app)
    recipe = asked(queue)
    assert Recipe.from_json(recipe).to_json() == recipe
    for method in recipe["methods"]:
        entry = next(e for e in words["methods"] if e["key"] == method["key"])
        assert entry["card"]["summary"] in text(app).replace("&#x27;", "'"), "what it does is said beside its form"
        fitting = entry["presets"].get("random pictures", {"settings": {}})["settings"]
        assert method == {"key": method["key"], **{f["name"]: f["default"] for f in entry["fields"]}, **fitting}


def test_a_press_on_run_starts_it_here(visit, queue):
    app = visit("unlearn")
    question, request = priced(queue)
    queue.answer(question, {"seconds": 41.0, "bytes": 53e6, "strategy": "stacked", "device": "cpu", "cached": False})
    app.run()
    assert "About **41 s**" in text(app)
    app.button("run-own").click().run()
    (row,) = queue.runs()
    assert row.recipe == request["recipe"]
    assert app.query_params["run"] == row.id
    assert app.title[0].value == "Unlearn"


def test_picked_methods_and_their_values_are_in_the_draft_and_come_back(visit, queue):
    app = visit("unlearn")
    pills = next(p for p in app.get("button_group") if "scrub" in p.options or "SCRUB" in p.options)
    pills.set_value(["scrub", "retrain"]).run()
    field(app, "Maximise epochs").set_value(2).run()
    methods = asked(queue)["methods"]
    assert [m["key"] for m in methods] == ["retrain", "scrub"]
    link = app.query_params["draft"]
    again = visit("unlearn", draft=link)
    assert field(again, "Maximise epochs").value == 2
    assert asked(queue)["methods"] == methods


def only(visit, *keys):
    app = visit("unlearn")
    pills = next(p for p in app.get("button_group") if "SCRUB" in p.options or "scrub" in p.options)
    return pills.set_value(list(keys)).run()


def test_a_variant_runs_beside_the_first_with_other_settings(visit, queue):
    app = only(visit, "scrub")
    named(app, "Add a variant")[0].click().run()
    assert "SCRUB is listed twice with the same settings" in text(app)
    assert app.button("run-own").disabled
    field(app, "Epochs", 1).set_value(7).run()
    assert not app.button("run-own").disabled
    methods = asked(queue)["methods"]
    assert [m["key"] for m in methods] == ["scrub", "scrub"]
    assert [m["epochs"] for m in methods] == [5, 7]
    named(app, "Remove")[0].click().run()
    assert [m["epochs"] for m in asked(queue)["methods"]] == [7], "the first one went"
    named(app, "Reset")[0].click().run()
    assert [m["epochs"] for m in asked(queue)["methods"]] == [5]
    named(app, "Remove")[0].click().run()
    assert "Choose at least one method." in text(app)
    assert "Pick one or more methods" in text(app)


def test_settings_that_are_folded_away_keep_what_was_chosen_and_are_named(visit, queue):
    app = only(visit, "gradient_descent")
    assert not [n for n in app.number_input if n.label == "Momentum"]
    named(app, "All settings")[0].click().run()
    field(app, "Momentum").set_value(0.5).run()
    named(app, "Fewer settings")[0].click().run()
    assert not [n for n in app.number_input if n.label == "Momentum"]
    assert asked(queue)["methods"][0]["momentum"] == 0.5
    assert "Also changed: momentum 0.5" in text(app)


def test_settings_of_another_run_are_copied(visit, queue):
    recipe = toy.recipe(methods=("scrub",))
    recipe["methods"][0]["epochs"] = 4
    queue.submit(recipe, session="x", label="theirs")
    app = visit("unlearn")
    app.session_state["copy"] = True
    app.run()
    app.button("copy-methods").click().run()
    assert [(m["key"], m["epochs"]) for m in asked(queue)["methods"]] == [("scrub", 4)]
    assert field(app, "Epochs").value == 4


def test_a_method_made_for_whole_classes_says_so_beside_a_random_set_and_may_run(visit, queue):
    queue.remember(f"draft:{'cd' * 8}", {"setup": {"methods": [{"key": "unsir"}]}, "at": 1e12})
    app = visit("unlearn", draft="cd" * 8)
    assert "Made for whole classes, and this is not one. You may still run it." in text(app)
    assert [m["key"] for m in asked(queue)["methods"]] == ["unsir"]
    setup = {"methods": [{"key": "unsir"}], "forget": {"key": "class", "classes": "3"}}
    queue.remember(f"draft:{'ef' * 8}", {"setup": setup, "at": 1e12})
    assert "Made for whole classes" not in text(visit("unlearn", draft="ef" * 8))


def sweep(app, key, **texts):
    """Open the sweep of the method ``key`` and write into its fields."""
    row = next(r for r in app.session_state["method-rows"] if r["key"] == key)["id"]
    app.session_state[f"sweep-{row}"] = True
    app.run()
    for name, value in texts.items():
        app.text_input(f"sweep-{row}-{name}").set_value(value)
    app.run()
    return row


def test_a_grid_becomes_one_job_on_one_card(visit, queue):
    app = visit("unlearn")
    before = asked(queue)["methods"]
    row = sweep(app, "scrub", lr="1e-4, 1e-3", epochs="5, 7, 10")
    app.button(f"sweep-go-{row}").click().run()
    methods = asked(queue)["methods"]
    grid = sorted((m["epochs"], m["lr"]) for m in methods if m["key"] == "scrub")
    assert grid == [(epochs, lr) for epochs in (5, 7, 10) for lr in (1e-4, 1e-3)]
    assert {m["key"] for m in methods} == {m["key"] for m in before}, "the other methods stay"
    assert "6 settings as one job" in text(app)
    assert not [n for n in app.number_input if n.label == "Gamma"], "no form for each"
    named(app, "Keep the first only")[0].click().run()
    assert len([m for m in asked(queue)["methods"] if m["key"] == "scrub"]) == 1
    assert "as one job" not in text(app)


def test_a_sweep_off_label_says_so_too(visit, queue):
    methods = [{"key": "unsir", "noise": noise} for noise in (8, 16, 32, 64, 128)]
    queue.remember(f"draft:{'ce' * 8}", {"setup": {"methods": methods}, "at": 1e12})
    said = text(visit("unlearn", draft="ce" * 8))
    assert "5 settings as one job" in said
    assert "Made for whole classes, and this is not one." in said


def test_a_learned_unlearner_says_what_it_has_seen(visit, queue):
    setup = {"methods": [{"key": "l2ul", "lessons": 1000, "subset": 0.1}]}
    queue.remember(f"draft:{'da' * 8}", {"setup": setup, "at": 1e12})
    said = text(visit("unlearn", draft="da" * 8))
    assert "at least one of its lessons with a probability of over 99.9 %" in said
    queue.remember(f"draft:{'db' * 8}", {"setup": {"methods": [{"key": "scrub"}]}, "at": 1e12})
    assert "Theorem 6.1" not in text(visit("unlearn", draft="db" * 8))


def test_a_range_is_drawn_and_mistakes_are_said_in_words(visit, queue):
    app = visit("unlearn")
    row = sweep(app, "scrub", lr="1e-5..1e-2")
    app.number_input(f"draws-{row}").set_value(8).run()
    app.button(f"sweep-go-{row}").click().run()
    drawn = [m["lr"] for m in asked(queue)["methods"] if m["key"] == "scrub"]
    assert len(set(drawn)) == 8
    assert all(1e-5 <= lr <= 1e-2 for lr in drawn)
    app = visit("unlearn")
    row = sweep(app, "gradient_ascent", epochs="0")
    assert "must be at least 1" in text(app)
    assert not [b for b in app.button if b.key == f"sweep-go-{row}"]


def test_methods_in_a_link_that_are_unknown_or_wrong_are_put_right(visit, queue):
    queue.remember(
        f"draft:{'ab' * 8}",
        {"setup": {"methods": [{"key": "gone"}, {"key": "scrub", "epochs": 10**9, "lr": "<script>"}]}, "at": 1e12},
    )
    visit("unlearn", draft="ab" * 8)
    (method,) = asked(queue)["methods"]
    assert (method["key"], method["epochs"], method["lr"]) == ("scrub", 5, 2e-3)


def test_a_run_shows_its_curves_against_the_oracles(visit, filled, queue):
    measure(queue, filled[0])
    app = visit("unlearn", run=filled[0])
    drawn = chart(app)
    names = {trace["name"] for trace in drawn["data"] if trace.get("showlegend")}
    assert names == {"Oracle, mean ± sd", "Original", "Do nothing", "Gradient descent", "SCRUB", "Oracle matching"}
    line = next(t for t in drawn["data"] if t["uid"] == "scrub|margin|forget")
    assert line["y"] == [8 - i / 2 for i in range(13)]
    took = next(d.value for d in app.dataframe if "compute" in d.value.columns)
    assert took.set_index("method").at["SCRUB", "compute"] == pytest.approx(100 * 1200 / 2000)
    assert took.set_index("method").at["SCRUB", "time"] == pytest.approx(100 * 1.2 / 4)
    assert took.set_index("method").at["SCRUB", "off"] == pytest.approx((2 - 3) / 0.5)
    assert "Below them: Do nothing" in text(app)


def test_quantity_and_axis_come_from_the_url(visit, filled, queue):
    measure(queue, filled[0])
    drawn = chart(visit("unlearn", run=filled[0], curve="Accuracy", along="Compute"))
    line = next(t for t in drawn["data"] if t["uid"] == "scrub|accuracy|test")
    assert max(line["x"]) == pytest.approx(1200 / 2000)
    whole = chart(visit("unlearn", run=filled[0], curve="All three"))
    assert len([t for t in whole["data"] if t["uid"].startswith("scrub|")]) == 9


def test_lines_grow_while_the_run_goes_on_and_the_view_is_asked_to_stay(visit, filled, queue):
    measure(queue, filled[2], count=3)
    app = visit("unlearn", run=filled[2])
    before = chart(app)
    assert "40%" in app.get("progress")[0].proto.text
    measure(queue, filled[2], count=6)
    unlearn_parts_forget()
    app.run()
    after = chart(app)
    lengths = [len(next(t for t in d["data"] if t["uid"] == "scrub|margin|forget")["x"]) for d in (before, after)]
    assert lengths == [3, 6]
    assert before["layout"]["uirevision"] == after["layout"]["uirevision"]
    app.button(f"cancel-live-{filled[2]}").click().run()
    assert queue.run(filled[2]).cancel == 1
    queue.set_status(filled[2], "cancelled")
    app.run()
    assert not app.get("progress")
    assert "This run was cancelled" in app.info[0].value


def unlearn_parts_forget():
    """Let the second pass for which all sessions share one look at the queue."""
    from pages.unlearn import parts

    parts._fresh.clear()


def test_a_waiting_run_says_how_many_are_before_it(visit, queue):
    ids = [queue.submit(toy.recipe(), session=f"s{i}", label=f"run {i}") for i in range(3)]
    queue.beat(device="cpu", workers=2, state="busy")
    app = visit("unlearn", run=ids[2])
    assert "Waiting: 2 runs before yours" in app.get("progress")[0].proto.text
    first = visit("unlearn", run=ids[0])
    assert "before yours" not in first.get("progress")[0].proto.text


def test_a_failed_run_and_a_diverged_method_are_said_in_words(visit, filled, queue):
    app = visit("unlearn", run=filled[1])
    assert "the network diverged" in app.error[0].value.lower()
    progress = dict(queue.run(filled[2]).progress)
    progress["methods"] = {"scrub": {"done": 1, "total": 2, "stopped": "diverged at step 3 of 9: lower the rate"}}
    queue.set_progress(filled[2], progress)
    measure(queue, filled[2], methods=("scrub",), count=2)
    app = visit("unlearn", run=filled[2])
    assert "iverged at step 3 of 9" in app.warning[0].value
    took = next(d.value for d in app.dataframe if "compute" in d.value.columns)
    assert took.set_index("method").at["SCRUB", "state"] == "stopped"


def test_a_link_to_a_run_that_is_gone_says_so_and_offers_the_form(visit, filled):
    for bad in ("0123456789abcdef", "../../x", "<script>"):
        app = visit("unlearn", run=bad)
        assert "not in this store" in text(app)
        assert "<script>" not in text(app)
        assert named(app, "Remove")


def table(app):
    return next(d.value for d in app.dataframe if "way" in d.value.columns)


def test_runs_stay_in_a_table_with_klom_floor_and_a_sparkline(visit, filled, queue):
    measure(queue, filled[0])
    shown = table(visit("unlearn"))
    found = [Scores.from_json(r.payload["scores"]).wide()[0] for r in queue.results(filled[0])]
    best = min(found, key=lambda forget: forget["klom_p95"])
    row = shown[shown["state"] == "done"].iloc[0]
    assert row["klom"] == pytest.approx(best["klom_p95"])
    assert row["floor"] == pytest.approx(best["klom_p95_floor"])
    assert list(row["way"]) == pytest.approx([8 - i / 2 for i in range(13)])
    assert list(shown["state"]) == ["running", "failed", "done"], "newest first"


def test_this_data_sets_runs_come_first(queue):
    other = toy.recipe() | {"dataset": {"key": "mnist"}}
    ids = [queue.submit(r, session="x", label="x") for r in (toy.recipe(), other, toy.recipe(), other)]
    found = run_table.ordered(queue.runs(), {"key": "digits"})
    assert [row.id for row in found] == [ids[2], ids[0], ids[3], ids[1]]


def test_runs_are_found_by_words_and_tags(visit, filled, store):
    Shelf(store.queue_path).put_note(filled[0], tags=["paper", "keep"], text="figure 3 <b>")
    assert list(table(visit("unlearn", find="figure"))["state"]) == ["done"]
    assert list(table(visit("unlearn", tags="paper"))["state"]) == ["done"]
    assert list(table(visit("unlearn", find="class 3"))["state"]) == ["failed"]
    app = visit("unlearn", find="no such run")
    assert "No run fits" in text(app)


def select(app, rows):
    key = next(d.key for d in app.dataframe if "way" in d.value.columns)
    app.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    return app.run()


def test_tags_and_notes_are_written_on_a_run(visit, filled, store):
    app = select(visit("unlearn"), [2])
    app.multiselect(f"tags-{filled[0]}").set_value(["paper"]).run()
    app.text_input(f"text-{filled[0]}").set_value("the one").run()
    app.button(f"keep-note-{filled[0]}").click().run()
    note = Shelf(store.queue_path).note(filled[0])
    assert (note.tags, note.text) == (("paper",), "the one")


def test_two_chosen_runs_open_as_a_comparison_which_is_a_link(visit, filled, queue):
    other = toy.recipe() | {"seed": 5}
    second = queue.submit(other, session="x", label="the second")
    for run in (filled[0], second):
        measure(queue, run)
    app = select(visit("unlearn"), [0, 3])
    app.button("compare").click().run()
    assert app.query_params["compare"] == f"{second},{filled[0]}"
    assert "2 runs side by side" in text(app)
    app = visit("unlearn", compare=f"{filled[0]},{second}")
    differ = next(d.value for d in app.dataframe if "setting" in d.value.columns)
    assert [tuple(r) for r in differ.to_numpy()] == [("Seed", "", "0", "5")]
    names = {trace["name"] for trace in chart(app)["data"] if trace.get("name")}
    assert {"A Gradient descent", "B Gradient descent"} <= names
    numbers = next(d.value for d in app.dataframe if "klom_p95" in d.value.columns)
    assert set(numbers["run"]) == {"A"}, "the second is not measured"
    assert len(numbers) == 3 * len(toy.METHODS)


def test_settings_in_the_comparison_are_named_as_in_the_forms(visit, filled, queue):
    other = toy.recipe(methods=("scrub",))
    other["methods"][0]["lr"] = 1e-3
    mine = toy.recipe(methods=("scrub",))
    mine["methods"][0]["lr"] = 5e-4
    ids = [queue.submit(r, session="x", label="x") for r in (mine, other)]
    app = visit("unlearn", compare=",".join(ids))
    differ = next(d.value for d in app.dataframe if "setting" in d.value.columns)
    assert [tuple(r) for r in differ.to_numpy()] == [("SCRUB", "learning rate", "0.0005", "0.001")]
    assert "None of them is measured yet" in text(app)


@pytest.mark.parametrize("bad", ["", "x", "<script>,../..", "0123456789abcdef"])
def test_a_comparison_of_nothing_invites(visit, filled, bad):
    app = visit("unlearn", compare=f"{filled[0]},{bad}")
    assert "Choose two to five runs" in text(app)
    assert "<script>" not in text(app)


def test_one_picture_opens_in_the_inspector_and_its_link_does_too(visit, filled, queue, store):
    forget = toy.removed(store, queue.results(filled[0])[0].payload)[0]
    app = visit("unlearn", run=filled[0])
    assert app.number_input("closer-number").value == forget[0]
    assert 'id="fs-point"' not in html(app)
    app.button("closer-go").click().run()
    assert app.query_params["point"] in (str(forget[0]), [str(forget[0])])
    assert 'id="fs-point"' in html(app)
    assert 'id="fs-point"' in html(visit("unlearn", run=filled[0], point="5"))
    assert not [b for b in visit("unlearn", run=filled[2]).button if b.key == "closer-go"], "nothing is measured yet"


def html(app):
    return " ".join(part.value for part in app.html)


def test_the_noise_of_unsir_is_asked_for_by_a_press_and_by_a_link(visit, filled, queue):
    run = queue.submit(toy.recipe(("do_nothing", "unsir")), session="toy", label="class 3")
    app = visit("unlearn", run=run)
    (press,) = [button for button in app.button if button.label.startswith("Show ")]
    assert press.label == "Show the noise it learns (UNSIR)"
    press.click().run()
    assert not app.exception
    asked = queue.questions()[-1][1]
    assert (asked["kind"], asked["analysis"], asked["method"]) == ("analysis", {"key": "exhibit"}, "unsir")
    assert asked["recipe"]["methods"][1]["key"] == "unsir"
    linked = visit("unlearn", run=run, made="unsir")
    assert named(linked, "Hide the noise it learns")


def test_the_noise_of_a_table_is_said_to_be_no_picture(visit, filled, queue):
    recipe = {**toy.recipe(("do_nothing", "unsir")), "dataset": {"key": "iris"}}
    run = queue.submit(recipe, session="toy", label="iris")
    app = visit("unlearn", run=run, made="unsir")
    assert "which make no picture" in text(app)
    assert not [button for button in app.button if button.label.startswith("Show the noise")]
    assert "analysis" not in [request["kind"] for _, request in queue.questions()]


def test_a_default_that_is_left_out_is_no_difference_to_one_that_is_spelled_out(visit, filled, queue):
    """The toy's recipe names few settings, the complete one all of them; what is left is one change."""
    visit("unlearn")
    short = queue.run(filled[0]).recipe
    long = runs.whole(short)
    assert len(long["training"]) > 15 > len(short["training"])
    assert {method["key"] for method in long["methods"]} == {method["key"] for method in short["methods"]}
    same = queue.submit(long, session="b")
    other = queue.submit({**long, "training": {**long["training"], "epochs": 7}}, session="b")
    app = visit("unlearn", compare=f"{filled[0]},{same}")
    assert "these runs have the same settings" in text(app)
    app = visit("unlearn", compare=f"{filled[0]},{other}")
    (table,) = [d.value for d in app.dataframe if "setting" in d.value.columns]
    assert [tuple(row) for row in table.to_numpy()] == [("Training", "epochs", "20", "7")]


def test_a_part_of_a_method_is_not_called_by_the_whole(visit):
    """IAU without its loss in training is IA+GC, and without the correction IA."""
    visit("unlearn")
    words = workspace.words()
    base = {**demo_recipe().to_json(), "methods": [{"key": "iau"}]}

    def named(training=None, **settings):
        recipe = {**base, "methods": [{"key": "iau", **settings}], "training": {**base["training"], **(training or {})}}
        return list(say.method_names(words, recipe).values())

    assert named() == ["IA+GC"]
    assert named(correction=False) == ["IA"]
    assert named({"restriction": 0.005}) == ["IAU"]
    assert named({"restriction": 0.005}, correction=False) == ["IA"]


def test_a_method_is_taken_apart_and_its_parts_are_put_side_by_side(visit, queue):
    app = only(visit, "iau")
    named(app, "Take IAU apart")[0].click().run()
    newest = [Recipe.from_json(row.recipe) for row in queue.runs()[:2]]
    assert {recipe.training.restriction for recipe in newest} == {0.0, 0.005}
    assert "".join(app.query_params["compare"]).count(",") == 1
    assert "2 runs side by side" in text(app)
    names = [name for recipe in newest for name in say.method_names(workspace.words(), recipe.to_json()).values()]
    assert {"IA", "IA+GC", "IAU"} <= set(names), "no part is called by its settings"
    assert not named(only(visit, "scrub"), "Take SCRUB apart"), "it has no parts with a name"


def test_an_unlearner_can_be_learned_again_without_what_is_forgotten(visit):
    app = only(visit, "l2ul")
    assert "To forget it there too, learn the unlearner again without it." in text(app)
    named(app, "Learn it again without them")[0].click().run()
    assert "has never seen a forgotten picture" in text(app)
    assert not named(app, "Learn it again without them")


def test_parts_on_one_training_are_rows_of_one_run(visit, queue):
    app = only(visit, "unsir")
    named(app, "Take UNSIR apart")[0].click().run()
    row = queue.runs()[0]
    assert "".join(app.query_params["run"]) == row.id
    assert {"UNSIR after impairing", "UNSIR"} <= set(say.method_names(workspace.words(), row.recipe).values())


def test_settings_say_where_they_are_from_and_the_papers_are_one_press_away(visit, queue):
    app = only(visit, "iau")
    assert "Its paper trains the networks with gradient restriction 0.005 and patience 10" in text(app)
    named(app, "Train with gradient restriction 0.005 and patience 10")[0].click().run()
    trained = asked(queue)["training"]
    assert (trained["restriction"], trained["patience"]) == (0.005, 10)
    assert "Its paper trains" not in text(app)
    app = only(visit, "scrub")
    named(app, "Use the paper's")[0].click().run()
    (method,) = asked(queue)["methods"]
    assert (method["optimizer"], method["temperature"], method["alpha"]) == ("sgd", 4.0, 0.001)
    assert "as in the paper" in text(app)
    field(app, "Epochs").set_value(7).run()
    assert "your own" in text(app)
    assert asked(queue)["methods"][0]["temperature"] == 4.0, "nothing else is lost"
