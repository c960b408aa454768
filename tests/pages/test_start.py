import hashlib
import io
import json
import zipfile

from engine.demo import demo_recipe
from engine.experiment import resolve
from engine.queue import Shelf
from engine.records import Choice, Recipe, digest
from engine.specs import DataSpec
from engine.store import uploads


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
    complete = resolve(demo_recipe()).recipe
    named = Recipe.from_json(row.recipe).methods_ids()
    assert named == complete.methods_ids(), "both partial retrains have the ids that results come under"
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
    assert recipe["forget"] == {"key": "random", "n": 50, "percent": 0.0}
    assert "retrain" not in [m["key"] for m in recipe["methods"]]
    answer = {"seconds": 41.0, "bytes": 53e6, "memory": 540e6, "memory_free": 9e9, "strategy": "stacked"}
    queue.answer(question, {**answer, "device": "cpu", "cached": False})
    app.run()
    assert "About **41 s**, **540 MB** of memory and **53 MB** of disk, measured on this computer." in text(app)
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
    asked = json.loads(json.dumps(queue.questions()[-1][1]))
    assert asked == {"kind": "data", "dataset": {"key": "folder", "path": str(data / "cars.tar.gz")}}
    assert app.button("run-own").disabled, "nothing is known about them yet"
    assert not [t for t in app.text_input if "path" in (t.key or "")]


def test_classes_of_a_known_data_set_are_picked_by_name(visit, queue, store):
    with store.artefact("data", {"dataset": {"key": "digits"}}).write("whole") as out:
        classes = ["cat, tame", "dog", *"23456789"]
        about = {"name": "digits", "hash": "0" * 32, "shape": [1, 8, 8], "train": 1437, "test": 360}
        out.json("info", {**about, "classes": classes})
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


def test_options_that_methods_need_are_offered_and_explained(visit, queue):
    app = visit(advanced="true")
    app.toggle("training-trajectory").set_value(True).run()
    assert "DeltaGrad" in app.toggle("training-trajectory").help
    assert queue.questions()[-1][1]["recipe"]["training"]["trajectory"] is True
    app.toggle("training-trajectory").set_value(False).run()
    app.number_input("training-patience").set_value(10).run()
    training = queue.questions()[-1][1]["recipe"]["training"]
    assert training["patience"] == 10
    assert not training.get("trajectory"), "what is off is left out"


def test_more_memory_or_disk_than_there_is_is_said_before_pressing():
    from pages.start import estimate

    takes = {"seconds": 9.0, "bytes": 5e9, "memory": 8e9, "memory_free": 4e9}
    said = estimate.words(takes, free=int(1e9))
    assert "Only 4.0 GB of memory are free" in said
    assert "Only 1.0 GB of disk are free" in said
    assert "Only" not in estimate.words(takes | {"memory_free": 9e9}, free=int(6e9))
    assert estimate.words(takes | {"cached": True}, free=0) == "Already computed: opens at once."


def test_what_was_set_up_is_there_when_the_page_is_opened_again(visit, queue):
    app = visit()
    assert "afresh" not in [b.key for b in app.button], "nothing was chosen yet"
    app.selectbox("model").select("logistic").run()
    app.number_input("models").set_value(30).run()
    app.pills("methods").set_value(["scrub"]).run()
    link = app.query_params["draft"]
    again = visit(draft=link)
    assert again.selectbox("model").value == "logistic"
    assert again.number_input("models").value == 30
    assert again.pills("methods").value == ["scrub"]
    again.button("afresh").click().run()
    assert again.selectbox("model").value == "mlp"


def test_settings_made_on_another_page_survive_a_change_here(visit, queue):
    tuned = [{"key": "scrub", "lr": 0.0123}, {"key": "scrub", "lr": 0.5}, {"key": "do_nothing"}]
    queue.remember("draft:" + "a" * 16, {"setup": {"methods": tuned}, "at": 1e12})
    app = visit(draft="a" * 16)
    assert app.pills("methods").value == ["do_nothing", "scrub"]
    app.number_input("models").set_value(30).run()
    kept = queue.recall("draft:" + app.query_params["draft"])["setup"]
    assert kept["ensemble"]["models"] == 30
    assert [m["lr"] for m in kept["methods"] if m["key"] == "scrub"] == [0.0123, 0.5]


def test_a_setup_that_makes_no_sense_falls_back_to_defaults(visit, queue):
    odd = {"model": {"key": "no such", "hidden": -3}, "ensemble": {"models": "many"}, "training": {"lr": 99},
           "forget": {"key": "nonsense"}, "dataset": {"key": "folder", "path": "/etc"}, "seed": -1}  # fmt: skip
    queue.remember("draft:" + "b" * 16, {"setup": odd, "at": 1e12})
    visit(draft="b" * 16)
    ((_, asked),) = queue.questions()
    assert Recipe.from_json(asked["recipe"]).to_json() == asked["recipe"]
    assert asked["recipe"]["dataset"] == {"key": "digits"}, "no link makes the server read a path"


def test_a_published_data_set_is_fetched_only_when_somebody_says_so(visit, queue):
    app = visit()
    app.selectbox("data").select("mnist").run()
    assert "12 MB to download" in text(app)
    assert app.button("run-own").disabled
    assert not [q for _, q in queue.questions() if q["kind"] == "data" or q["recipe"]["dataset"]["key"] == "mnist"]
    app.button("fetch").click().run()
    assert {"kind": "data", "dataset": {"key": "mnist"}} in [dict(q) for _, q in queue.questions()]


def test_a_saved_forget_set_can_be_chosen_by_its_name(visit, filled, queue, store):
    import numpy as np

    from engine.data.digits import Digits

    data = Digits().load(store.data_cache, lambda _share, _said: None)
    with store.artefact("data", {"dataset": {"key": "digits"}}).write("whole") as out:
        about = {"name": "digits", "hash": data.hash, "shape": [1, 8, 8], "train": 1437, "test": 360}
        out.json("info", {**about, "classes": list(data.classes)})
        out.arrays("labels", np.concatenate([data.y_train, data.y_test]))
    saved = Shelf(queue.path).save(
        data_hash=data.hash, data_name="Handwritten digits", indices=np.array([3, 17, 18]), name="my <b> sevens"
    )
    app = visit()
    assert "fs-preview" in text(app)
    app.selectbox("forget").select(f"set:{saved.id}").run()
    asked = queue.questions()[-1][1]["recipe"]["forget"]
    assert asked == {"key": "indices", "indices": "3,17-18", "name": "my <b> sevens"}
    again = visit(draft=app.query_params["draft"])
    assert again.selectbox("forget").value == f"set:{saved.id}"


def test_the_last_run_is_offered_to_its_visitor(visit, queue):
    app = visit()
    assert "watch" not in [b.key for b in app.button]
    app.button("demo").click().run()
    run = app.query_params["run"]
    queue.set_status(run, "running")
    queue.set_status(run, "done")
    app.switch_page("pages/start/page.py").run()
    assert "Your last run: **Handwritten digits, random 50**" in text(app)
    app.button("watch").click().run()
    assert app.query_params["run"] == run


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


def packed(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def bring(app):
    """Open the box, as a press on it does."""
    app.session_state["bring"] = True
    return app.run()


def test_a_dropped_archive_is_kept_under_its_hash_and_read_elsewhere(visit, queue, store):
    data = packed(a=b"1")
    sha = hashlib.sha256(data).hexdigest()
    app = bring(visit())
    app.file_uploader("archive-0").set_value(("../../etc/<b>pets\u202e.zip", data, "application/zip")).run()
    path = store.uploads / f"{sha}.zip"
    assert path.read_bytes() == data
    asked = {"kind": "data", "dataset": {"key": "folder", "path": str(path)}}
    (question,) = [i for i, q in queue.questions() if q == asked]
    (kept,) = Shelf(queue.path).uploads(app.session_state["visitor"])
    assert kept.name == "<b>pets.zip", "only the last part of the name, and only what can be seen"
    assert "Reading &lt;b&gt;pets.zip" in text(app)
    about = {
        "name": sha,
        "hash": "0" * 32,
        "classes": ["a", "b"],
        "shape": [1, 8, 8],
        "train": 8,
        "test": 2,
        "top": 255,
    }
    with DataSpec(Choice.from_json(asked["dataset"], "dataset")).artefact(store).write("whole") as out:
        out.json("info", about)
    queue.answer(question, {"info": about})
    app.run()
    assert app.selectbox("data").value == f"up:{sha}", "it is chosen as soon as it was read"
    assert "8 pictures to train on" in text(app)
    recipe = queue.questions()[-1][1]["recipe"]
    assert recipe["dataset"] == asked["dataset"]
    assert str(store.path) not in text(app)
    assert "&lt;b&gt;pets.zip" in text(app), "and called by its name"
    app.button("run-own").click().run()
    assert queue.runs()[0].label == "<b>pets.zip, random 50"


def test_what_the_compute_process_refuses_is_said_and_not_kept(visit, queue, store):
    app = bring(visit())
    app.file_uploader("archive-0").set_value(("pets.zip", packed(a=b"1"), "application/zip")).run()
    (path,) = store.uploads.iterdir()
    (question,) = [i for i, q in queue.questions() if q["kind"] == "data"]
    queue.answer(question, {"error": f"{path}: there are no pictures in it <b>"})
    app.run()
    assert "pets.zip: there are no pictures in it &lt;b&gt;." in text(app)
    assert not path.exists()
    assert Shelf(queue.path).uploads(app.session_state["visitor"]) == []
    assert not [o for o in app.selectbox("data").options if "pets" in o]


def test_an_upload_is_called_by_its_name_however_a_message_names_it(visit, queue, store):
    app = bring(visit())
    app.file_uploader("archive-0").set_value(("pets.zip", packed(a=b"1"), "application/zip")).run()
    (path,) = store.uploads.iterdir()
    (question,) = [i for i, q in queue.questions() if q["kind"] == "data"]
    queue.answer(question, {"error": f"{path.stem}: there are no test pictures; wanted {'0' * 64}"})
    app.run()
    assert f"pets.zip: there are no test pictures; wanted {'0' * 64}." in text(app)


def test_what_is_no_archive_is_refused_at_once(visit, queue, store):
    app = bring(visit())
    app.file_uploader("archive-0").set_value(("pets.zip", b"MZ" * 999, "application/zip")).run()
    assert "pets.zip: This is not a .zip" in text(app)
    assert not store.uploads.exists()
    assert not [q for _, q in queue.questions() if q["kind"] == "data"]


def test_a_dropped_folder_is_packed_with_its_class_folders(visit, queue, store):
    app = bring(visit())
    files = [(f"birds/{name}/1.png", name.encode(), "image/png") for name in ("robin", "wren")]
    app.file_uploader("folder-0").set_value(files).run()
    (path,) = store.uploads.iterdir()
    assert zipfile.ZipFile(path).namelist() == ["birds/robin/1.png", "birds/wren/1.png"]
    (kept,) = Shelf(queue.path).uploads(app.session_state["visitor"])
    assert kept.name == "birds"


def test_an_upload_is_its_owners_until_it_is_shared_and_can_be_deleted(visit, queue, store):
    kept = uploads.keep(store, io.BytesIO(packed(a=b"1")))
    shelf = Shelf(queue.path)
    shelf.add_upload(kept.id, owner="f" * 32, name="theirs.zip", kind=kept.kind, size=kept.size)
    app = visit()
    assert not [o for o in app.selectbox("data").options if "theirs" in o]
    shelf.share_upload(kept.id, owner="f" * 32, shared=True)
    app = bring(visit())
    assert "theirs.zip (shared)" in app.selectbox("data").options
    assert f"drop-{kept.id}" not in [b.key for b in app.button], "what others share is not ours to delete"
    shelf.add_upload(kept.id, owner=app.session_state["visitor"], name="mine.zip", kind=kept.kind, size=kept.size)
    app.run()
    app.toggle(f"share-{kept.id}").set_value(True).run()
    assert {u.name: u.shared for u in shelf.uploads("0" * 32)} in ({"mine.zip": True}, {"theirs.zip": True})
    app.button(f"drop-{kept.id}").click().run()
    assert uploads.path_of(store, kept.id + kept.kind).exists(), "the other visitor still holds it"
    assert shelf.remove_upload(kept.id, owner="f" * 32)


def test_nobody_fills_the_disk_with_uploads(visit, queue, store, monkeypatch):
    from pages.start import upload

    monkeypatch.setattr(upload, "MOST", 1)
    app = bring(visit())
    Shelf(queue.path).add_upload("0" * 64, owner=app.session_state["visitor"], name="one", kind=".zip", size=1)
    app.file_uploader("archive-0").set_value(("two.zip", packed(a=b"1"), "application/zip")).run()
    assert "You have 1 uploads already. Delete one below" in text(app)
    assert not store.uploads.exists()
