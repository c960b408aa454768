import json

from engine.demo import demo_recipe
from engine.records import Recipe, digest


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def test_an_empty_store_shows_what_this_is_and_what_to_press(visit, started, store):
    app = visit()
    assert app.button("demo").label == "Run the demo"
    assert "What does the network still remember?" in text(app)
    assert started == [store.path], "serving a page starts the compute process, once"
    line = text(app)
    for said in ("Handwritten digits", "MLP", "random 50", "100 models", "Device"):
        assert said in line, said


def test_a_page_that_asks_for_nothing_starts_the_compute_process_too(visit, words, started, queue):
    picked = next(entry["card"]["name"] for entry in words["forget"] if entry["key"] == "indices")
    visit(forget=picked)
    assert not queue.questions(), "an empty list of pictures has no price"
    assert len(started) == 1, "so that unfinished runs go on when somebody comes back"


def test_the_demo_is_submitted_once_and_opened_the_second_time(visit, queue):
    app = visit()
    app.button("demo").click().run()
    (row,) = queue.runs()
    assert digest(row.recipe) == digest(demo_recipe().to_json())
    assert app.query_params["run"] == row.id
    assert app.title[0].value == "KLOM"
    again = visit()
    again.button("demo").click().run()
    assert [r.id for r in queue.runs()] == [row.id]
    assert again.query_params["run"] == row.id


def test_a_demo_that_failed_or_was_cancelled_is_run_again(visit, queue):
    first = queue.submit(demo_recipe().to_json(), session="x", label="demo")
    queue.set_status(first, "failed", error="no room")
    visit().button("demo").click().run()
    second = queue.runs()[0]
    assert second.id != first
    queue.request_cancel(second.id)
    visit().button("demo").click().run()
    assert len(queue.runs()) == 3


def test_the_form_makes_a_recipe_the_engine_accepts_and_asks_for_its_price(visit, queue):
    app = visit()
    ((question, request),) = queue.questions()
    assert question == digest(request)
    recipe = request["recipe"]
    assert request["kind"] == "estimate"
    assert Recipe.from_json(recipe).to_json() == recipe
    assert recipe["dataset"] == {"key": "digits"}
    assert recipe["forget"] == {"key": "random", "n": 50}
    assert "retrain" not in [m["key"] for m in recipe["methods"]]
    queue.answer(question, {"seconds": 41.0, "bytes": 53e6, "strategy": "stacked", "device": "cpu", "cached": False})
    app.run()
    assert "About **41 s** and **53 MB** of disk." in text(app)
    app.button("run-own").click().run()
    assert queue.runs()[0].recipe == recipe


def test_what_the_engine_refuses_is_said_and_cannot_be_run(visit, queue):
    app = visit()
    ((question, _),) = queue.questions()
    queue.answer(question, {"error": "ResNet-9 needs pictures of at least 16 pixels a side; these have 8"})
    app.run()
    assert app.button("run-own").disabled
    assert "needs pictures of at least 16 pixels a side" in text(app)


def test_no_method_and_no_class_are_reasons_not_to_run(visit, queue):
    app = visit()
    app.pills("methods").set_value([]).run()
    assert app.button("run-own").disabled
    assert "Choose at least one method." in text(app)
    app.selectbox("forget").select("indices").run()
    assert "List the training pictures to forget" in text(app)


def test_every_choice_comes_back_from_the_url(visit, queue):
    more = {"class-classes": "3,5", "training-epochs": "7"}
    visit(model="Logistic regression", models="40", forget="Classes", **more)
    ((_, asked),) = queue.questions()
    recipe = asked["recipe"]
    assert recipe["model"]["key"] == "logistic"
    assert recipe["ensemble"]["models"] == 40
    assert recipe["forget"] == {"key": "class", "classes": "3,5"}
    assert recipe["training"]["epochs"] == 7


def test_nonsense_in_the_url_is_dropped(visit, queue):
    visit(model="no such model", models="-7", data="../../etc/passwd", forget="%00", **{"training-lr": "NaN"})
    ((_, asked),) = queue.questions()
    recipe = asked["recipe"]
    assert Recipe.from_json(recipe).to_json() == recipe
    assert recipe["dataset"] == {"key": "digits"}


def test_own_pictures_are_listed_from_one_folder_and_never_typed(visit, queue, tmp_path):
    data = tmp_path / "data"
    (data / "birds").mkdir(parents=True)
    (data / "cars.tar.gz").write_bytes(b"")
    (data / "notes.txt").write_text("no pictures")
    (data / ".hidden").mkdir()
    app = visit()
    assert [o for o in app.selectbox("data").options if "birds" in o or "cars" in o] == ["birds", "cars.tar.gz"]
    assert not [o for o in app.selectbox("data").options if "notes" in o or "hidden" in o]
    app.selectbox("data").select("own:cars.tar.gz").run()
    recipe = json.loads(json.dumps(queue.questions()[-1][1]["recipe"]))
    assert recipe["dataset"] == {"key": "folder", "path": str(data / "cars.tar.gz")}
    assert not [t for t in app.text_input if "path" in (t.key or "")]


def test_classes_of_a_known_data_set_are_picked_by_name(visit, queue, store):
    with store.artefact("data", {"dataset": {"key": "digits"}}).write("whole") as out:
        classes = ["cat, tame", "dog", *"23456789"]
        out.json("info", {"name": "digits", "classes": classes, "shape": [1, 8, 8], "train": 1437, "test": 360})
    app = visit(forget="Classes")
    app.pills("classes").set_value(["0", "dog"]).run()
    assert queue.questions()[-1][1]["recipe"]["forget"] == {"key": "class", "classes": "0,dog"}
    app.pills("classes").set_value([]).run()
    assert "Choose at least one class to forget." in text(app)


def test_settings_that_are_not_shown_keep_their_defaults(visit, queue):
    app = visit()
    assert "training-precision" not in [s.key for s in app.selectbox]
    app.toggle("advanced").set_value(True).run()
    app.selectbox("training-precision").select("bf16").run()
    assert queue.questions()[-1][1]["recipe"]["training"]["precision"] == "bf16"
    app.toggle("advanced").set_value(False).run()
    assert queue.questions()[-1][1]["recipe"]["training"]["precision"] == "float32"


def test_a_run_under_way_can_be_watched_from_here(visit, filled):
    app = visit()
    assert "40%" in text(app)
    app.button("watch").click().run()
    assert app.query_params["run"] == filled[2]


def test_words_from_data_are_never_markup():
    from pages.ui import say

    assert say.plain("a*b_[x](y)<i>$z$") == "a\\*b\\_\\[x\\]\\(y\\)\\<i\\>\\$z\\$"
    assert say.escaped('<img src=x onerror="a">') == "&lt;img src=x onerror=&quot;a&quot;&gt;"
    assert [say.duration(s) for s in (0.2, 41, 200, 7800)] == ["1 s", "41 s", "3 min", "2 h 10 min"]
    assert [say.size(s) for s in (12, 53e6, 1.44e9)] == ["12 bytes", "53 MB", "1.4 GB"]
    said = "unlearning with scrub, models 00020-00040: step 3 of 9"
    assert say.job(said, {"scrub": "SCRUB"}) == "unlearning with SCRUB, models 21 to 40"


def test_a_press_of_plus_or_minus_stays_within_bounds_and_moves_a_little():
    from pages.ui import knobs

    rate = {"low": 1e-7, "high": 10.0, "scale": "log"}
    assert [knobs.step(rate, value) for value in (0.1, 5e-4)] == [0.01, 1e-5]
    assert knobs.step({"low": 0, "high": 1, "scale": "linear"}, 0.95) == 0.01
    assert knobs.step({"low": 0, "high": 0.5, "scale": "linear"}, 0.0) == 0.01
    assert knobs.bounds(0, 1) == "From 0 to 1."


def test_a_method_listed_twice_says_what_sets_the_two_apart(words):
    from pages.ui import say

    named = say.method_names(words, demo_recipe().to_json())
    assert [name for name in named.values() if name.startswith("Partial")] == [
        "Partial retrain, share 0.2",
        "Partial retrain, share 0.5",
    ]
    assert named["scrub"] == "SCRUB"
