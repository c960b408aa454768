"""Pages about a table: rows instead of pictures, a CSV brought, looked at and run; no picture is asked for anywhere."""

import hashlib
import json
import re

import numpy as np
import pytest
import toy

from engine.data.csv_file import Csv, look
from engine.data.sklearn_tables import BreastCancer
from engine.data.table import shortest
from engine.queue import Queue, Shelf
from engine.store import Store

ROWS = "age,job,income\n" + "".join(f"{20 + i if i else ''},{'ab'[i % 2]},{'xy'[i % 3 > 0]}\n" for i in range(30))


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def parts(app, name):
    """The data of the page's components that have ``name``."""
    found = [json.loads(c.proto.json) for c in app.get("bidi_component")]
    return [data for data in found if name in data]


def info(store, dataset, data):
    about = {"name": data.name, "hash": data.hash, "classes": list(data.classes), "shape": list(data.shape)}
    about |= {"train": len(data.y_train), "test": len(data.y_test), "top": 1, "noun": data.noun, "target": data.target}
    about |= {"columns": [[c.name, list(c.categories)] for c in data.columns], "notes": list(data.notes)}
    with store.artefact("data", {"dataset": dataset}).write("whole") as out:
        out.json("info", about)


@pytest.fixture(scope="session")
def table_store(tmp_path_factory):
    """A store with a finished run on breast cancer, written without training anything."""
    path = tmp_path_factory.mktemp("table") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "Digits", BreastCancer)
        patch.setattr(toy, "recipe", _recipe)
        return path, toy.fill(path)


def _recipe(methods=toy.METHODS, models=toy.MODELS, made=toy.recipe):
    return {**made(methods, models), "dataset": {"key": "breast_cancer"}, "model": {"key": "logistic"}}


@pytest.fixture
def table_run(table_store, store):
    import shutil

    shutil.rmtree(store.path)
    shutil.copytree(table_store[0], store.path)
    return table_store[1]


@pytest.fixture
def data(store):
    return BreastCancer().load(store.data_cache, lambda _share, _said: None)


@pytest.fixture
def explored(store, data, queue):
    """Breast cancer is set up, its map and columns are in the store; rows 10 and 11 are near-duplicates."""
    total = len(data.y_train)
    info(store, {"key": "breast_cancer"}, data)
    rng = np.random.default_rng(0)
    with toy.explored(store, data.hash, key="map", layout="pca").write("whole") as out:
        out.arrays("xy", rng.uniform(-1, 1, (total, 2)).astype(np.float32))
        out.json("facts", {})
    with toy.explored(store, data.hash, key="columns").write("whole") as out:
        distance = np.full((total, 8), 0.4, np.float32)
        distance[10, 0] = 0.01
        out.arrays("cluster", np.arange(total) % 10)
        out.arrays("outlier", rng.random(total).astype(np.float32))
        out.arrays("neighbours", ((np.arange(total)[:, None] + np.arange(1, 9)) % total).astype(np.int32))
        out.arrays("distance", distance)
        out.json("facts", {"typical": 0.4, "near": 0.2})
    queue.remember("draft:" + "c" * 16, {"setup": {"dataset": {"key": "breast_cancer"}}, "at": 1e12})
    return "c" * 16


def test_start_shows_a_tables_rows_and_offers_what_takes_them(visit, store, data, queue):
    info(store, {"key": "breast_cancer"}, data)
    app = visit(data="Breast cancer (table)")
    said = text(app)
    assert "455 rows to train on, 114 to test, 30 columns, 2 classes." in said
    assert "Training rows of each class: malignant 169, benign 286." in said
    assert "mean radius<br><span>number</span>" in said
    assert "<td>17.99</td>" in said, "the first row, as it was written"
    assert "Rows drawn at random" in said
    offered = app.selectbox("model").options
    assert "Logistic regression" in offered
    assert "MLP" in offered
    assert not [o for o in offered if "CNN" in o or "ResNet" in o or "LeNet" in o]
    assert "so they are not offered" in said
    assert queue.questions()[-1][1]["recipe"]["dataset"] == {"key": "breast_cancer"}
    back = app.selectbox("data").select("digits").run()
    assert [o for o in back.selectbox("model").options if "CNN" in o]
    assert "Pictures drawn at random" in text(back)


def test_a_csv_is_kept_looked_at_given_a_target_and_run(visit, queue, store, monkeypatch):
    app = visit()
    app.session_state["bring"] = True
    app.run()
    app.file_uploader("archive-0").set_value(("../<b>people.csv", ROWS.encode(), "text/csv")).run()
    sha = hashlib.sha256(ROWS.encode()).hexdigest()
    path = store.uploads / f"{sha}.csv"
    assert path.read_text() == ROWS
    (question,) = [i for i, q in queue.questions() if q == {"kind": "table", "path": str(path)}]
    queue.answer(question, look(str(path)))
    app.run()
    assert app.selectbox("data").value == f"up:{sha}", "it is chosen as soon as it was looked at"
    queue.answer(question, look(str(path)))  # the form asks once more
    app.run()
    (target,) = [s for s in app.selectbox if s.label == "Column to predict"]
    assert target.options == ["age (21, 22, 23, ...)", "job (a, b)", "income (x, y)"]
    assert target.value is None
    assert app.button("run-own").disabled
    assert "Choose the column to predict." in text(app)
    assert "job<br><span>category</span>" in text(app), "the first rows are shown before the target is chosen"
    target.select("income").run()
    dataset = {"key": "csv", "path": str(path), "target": "income"}
    assert {"kind": "data", "dataset": dataset} in [q for _, q in queue.questions()]
    table = Csv(path=str(path), target="income").load(store.data_cache, lambda _share, _said: None)
    info(store, dataset, table)
    app.run()
    said = text(app)
    assert "1 row had no age: filled with" in said
    assert "Training rows of each class of income: x 8, y 16." in said
    assert queue.questions()[-1][1]["recipe"]["dataset"] == dataset
    assert str(store.path) not in said
    assert "&lt;b&gt;people.csv" in said
    link = app.query_params["draft"]
    app.button("run-own").click().run()
    assert queue.runs()[0].label == "<b>people.csv, random 50"
    again = visit(draft=link)
    queue.answer(question, look(str(path)))
    again.run()
    assert [s.value for s in again.selectbox if s.label == "Column to predict"] == ["income"], "a link shows the same"


def test_a_csv_that_cannot_be_read_is_refused_and_not_kept(visit, queue, store):
    app = visit()
    app.session_state["bring"] = True
    app.run()
    app.file_uploader("archive-0").set_value(("people.csv", b"a,b\n1\n", "text/csv")).run()
    (path,) = store.uploads.iterdir()
    (question,) = [i for i, q in queue.questions() if q["kind"] == "table"]
    queue.answer(question, {"error": f"{path}: line 2 has 1 cells, and the header names 2 <b>"})
    app.run()
    assert "people.csv: line 2 has 1 cells, and the header names 2 &lt;b&gt;." in text(app)
    assert not path.exists()
    assert Shelf(queue.path).uploads(app.session_state["visitor"]) == []


def test_deleting_a_table_takes_what_was_read_of_it(store):
    import io

    from engine.store import uploads

    kept = uploads.keep(store, io.BytesIO(ROWS.encode()))
    path = uploads.path_of(store, kept.id + kept.kind)
    for target in ("income", "job"):
        table = Csv(path=str(path), target=target).load(store.data_cache, lambda _share, _said: None)
        info(store, {"key": "csv", "path": str(path), "target": target}, table)
    assert len(list((store.data_cache / "csv").iterdir())) == 2
    assert uploads.discard(store, kept.id + kept.kind) > len(ROWS)
    assert not list((store.data_cache / "csv").iterdir())
    assert not path.exists()
    assert not store.artefact("data", {"dataset": {"key": "csv", "path": str(path), "target": "job"}}).has("whole")


def test_the_forget_page_shows_rows_and_no_pictures(visit, explored, data):
    app = visit("forget", draft=explored)
    said = text(app)
    assert "0 of 455 training rows chosen" in said
    plain = re.sub(r"<style>.*?</style>", "", said, flags=re.DOTALL)
    assert not re.search(r"\bpictures?\b", plain, re.IGNORECASE), "all are called rows"
    (found,) = parts(app, "chosen")
    assert (found["noun"], found["sheets"]) == ("row", None)
    assert found["lines"], "what stands on hover is fetched"
    app.query_params["at"] = "3"
    app.run()
    assert "fs-row" in text(app)
    assert "<img" not in text(app)
    app.button("toggle-this").click().run()
    (grid,) = parts(app, "sheet")
    assert grid["sheet"] is None
    (tile,) = grid["tiles"]
    assert len(tile["faces"][0]["lines"]) == 3
    assert tile["faces"][0]["title"].startswith("row 3, label ")


def test_near_duplicates_of_rows_are_said_in_their_own_words(visit, explored, store, data, queue):
    saved = Shelf(queue.path).save(data_hash=data.hash, data_name="x", indices=np.array([10]))
    app = visit("forget", draft=explored, set=saved.id)
    assert "1 near-duplicate stays in retain" in text(app)
    app.button("see-twins").click().run()
    said = text(app)
    assert "root-mean-square difference of standardised values" in said
    assert "black against white" not in said


def test_klom_and_the_inspector_show_rows(visit, table_run, data, queue):
    app = visit("klom", run=table_run)
    said = text(app)
    assert "Which rows does the network still remember" in said
    assert "fs-row" in said
    assert "<img" not in said
    assert "A row has no picture" in said
    galleries = parts(app, "tiles")
    assert all(tile["src"] == "" and len(tile["lines"]) == 3 for tile in galleries[0]["tiles"])
    point = galleries[0]["tiles"][0]["point"]
    value = data.x_train[point, 0, 0, 0] if point < 455 else data.x_test[point - 455, 0, 0, 0]
    assert f"<th scope='row'>mean radius</th><td>{shortest(value)}</td>" in said, "the worst point's own row"
    train = visit("klom", run=table_run, point="460")
    assert f"<td>{shortest(data.x_test[5, 0, 0, 0])}</td>" in text(train), "test rows follow the training rows"


def test_unlearn_calls_them_rows(visit, table_run):
    app = visit("unlearn", run=table_run)
    assert app.number_input("closer-number").label == "One row on its way"


def test_an_older_store_without_these_words_still_shows_pictures(visit, store, filled):
    assert "Which pictures does the network" in text(visit("klom", run=filled[0]))
    assert Queue(Store.open(store.path).queue_path).runs()
