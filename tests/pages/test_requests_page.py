"""Requests in a row on the pages: the list while setting up, one run each, and the picture of all of them."""

import shutil

import numpy as np
import pytest
import toy

from engine.cards import MethodFacts
from engine.data.digits import Digits
from engine.queue import Queue, Shelf
from engine.records import Recipe
from engine.store import Store


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def asked(queue):
    """The latest question about a price; there are others about the methods."""
    return next(request for _, request in reversed(queue.questions()) if request["kind"] == "estimate")


@pytest.fixture
def read(store):
    """The digits are read, as they are once anything asked about them; returns their labels."""
    data = Digits().load(store.data_cache, lambda *_: None)
    info = {"name": data.name, "hash": data.hash, "classes": list(data.classes), "shape": list(data.shape),
            "train": len(data.y_train), "test": len(data.y_test), "top": data.top}  # fmt: skip
    with store.artefact("data", {"dataset": {"key": "digits"}}).write("whole") as out:
        out.json("info", info)
        out.arrays("labels", np.concatenate([data.y_train, data.y_test]))
    return data


def opened(app):
    app.session_state["then"] = True
    return app.run()


def classes(visit, *names):
    app = opened(visit("unlearn"))
    app.multiselect("then-classes").set_value(list(names)).run()
    return app.button("then-only").click().run()


def test_a_single_request_asks_what_it_always_asked(visit, queue, read):
    app = visit("unlearn")
    assert set(asked(queue)) == {"kind", "recipe"}
    assert asked(queue)["recipe"]["before"] == []
    assert "random 50" in text(app)
    assert "50 pictures" in text(app)
    assert not [b for b in app.button if str(b.key).startswith("request-")], "nothing to reorder"


def test_classes_one_after_another_are_a_run_each(visit, queue, read):
    app = classes(visit, "3", "5", "8")
    request = asked(queue)
    assert request["sequence"] is True
    assert [one["classes"] for one in (*request["recipe"]["before"], request["recipe"]["forget"])] == ["3", "5", "8"]
    counts = np.bincount(read.y_train)
    assert f"{counts[5]} pictures" in text(app)
    assert f"{1437 - counts[[3, 5, 8]].sum():,} of 1,437 pictures are left" in text(app)
    assert "class 3, then 2 more" in text(app)
    app.button("run-own").click().run()
    rows = queue.runs()[::-1]
    assert [row.label for row in rows] == [
        "Handwritten digits, class 3, request 1 of 3",
        "Handwritten digits, class 5, request 2 of 3",
        "Handwritten digits, class 8, request 3 of 3",
    ]
    whole = Recipe.from_json(request["recipe"])
    assert [Recipe.from_json(row.recipe) for row in rows] == list(whole.sequence())
    assert app.query_params["run"] == rows[0].id, "the first is what there is to watch"


def test_the_list_is_reordered_shortened_and_comes_back_by_its_link(visit, queue, read):
    app = classes(visit, "3", "5", "8")
    app.button("request-earlier-2").click().run()
    app.button("request-later-0").click().run()
    app.button("request-remove-1").click().run()
    recipe = asked(queue)["recipe"]
    assert [one["classes"] for one in (*recipe["before"], recipe["forget"])] == ["8", "5"]
    again = visit("unlearn", draft=app.query_params["draft"])
    assert asked(queue)["recipe"] == recipe
    again.button("request-remove-0").click().run()
    assert asked(queue)["recipe"]["before"] == []
    assert "then" not in str(asked(queue)["recipe"].keys())


def test_cycles_at_random_are_a_share_of_the_training_set_each(visit, queue, read):
    app = opened(visit("unlearn"))
    app.segmented_control("then-way").set_value("Cycles at random").run()
    app.button("then-only").click().run()
    recipe = asked(queue)["recipe"]
    assert [one["n"] for one in (*recipe["before"], recipe["forget"])] == [144] * 5
    assert "717 of 1,437 pictures are left" in text(app)


def test_a_saved_set_can_follow(visit, queue, read, store):
    Shelf(store.queue_path).save(data_hash=read.hash, data_name="digits", indices=np.array([4, 9]), name="odd ones")
    app = opened(visit("unlearn"))
    app.segmented_control("then-way").set_value("A saved set").run()
    app.button("then-add").click().run()
    recipe = asked(queue)["recipe"]
    assert recipe["before"] == [{"key": "random", "n": 50, "percent": 0.0}]
    assert recipe["forget"] == {"key": "indices", "indices": "4,9", "name": "odd ones"}


def test_what_cannot_be_asked_is_said_before_the_press(visit, queue, read):
    app = classes(visit, "3", "5")
    app.session_state["draft"] = {**app.session_state["draft"], "then": [{"key": "class", "classes": "5,3"}]}
    del app.query_params["draft"]
    app.run()
    assert "Request 2 asks for class 3, of which request 1 already removed the last picture" in text(app)
    assert app.button("run-own").disabled


def test_the_start_page_says_that_more_follows_and_runs_all(visit, queue, read):
    link = classes(visit, "3", "5").query_params["draft"]
    app = visit("start", draft=link)
    assert "Then 1 more request, listed on the Unlearn page." in text(app)
    assert len(asked(queue)["recipe"]["before"]) == 1


@pytest.fixture(scope="module")
def sequence_store(tmp_path_factory):
    """Three runs of one sequence: two are done, the third waits."""
    path = tmp_path_factory.mktemp("sequence") / "store"
    runs = [toy.fill(path, before=toy.REQUESTS[:i], forget=one) for i, one in enumerate(toy.REQUESTS[:2])]
    last = toy.recipe() | {"before": list(toy.REQUESTS[:2]), "forget": toy.REQUESTS[2]}
    runs.append(Queue(Store.open(path).queue_path).submit(last, session="toy", label="Handwritten digits, class 8"))
    return path, runs


@pytest.fixture
def sequence(sequence_store, store):
    """The pages look at a store with a sequence; returns the ids of its runs."""
    shutil.rmtree(store.path)
    shutil.copytree(sequence_store[0], store.path)
    return sequence_store[1]


@pytest.mark.parametrize("page", ["klom", "unlearn"])
def test_a_run_says_which_request_it_is_and_shows_all_of_them(visit, sequence, page):
    app = visit(page, run=sequence[1])
    said = text(app)
    assert "Request 2 of 3:" in said
    assert "class 5, after 1 request" in said
    links = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert links["1\\. class 3"] == f"run={sequence[0]}"
    assert links["3\\. class 8 (waiting)"] == f"run={sequence[2]}"
    assert "Request after request" in said
    assert "After request 2, closest on its own pictures Oracle matching" in said


def test_a_run_of_a_single_request_says_nothing_of_sequences(visit, filled):
    app = visit("klom", run=filled[0])
    assert "Request 1" not in text(app)
    assert "Request after request" not in text(app)


def test_the_points_of_earlier_requests_are_in_no_other_split(visit, sequence, queue, store):
    from pages.ui import results

    app = visit("klom", run=sequence[1])
    assert not app.exception
    (earlier,) = {tuple(toy.removed(store, row.payload)[1]) for row in queue.results(sequence[1])}
    row = queue.results(sequence[1])[0]
    points = results.Result(sequence[1], row.method_id, "", row.models, row.payload, MethodFacts()).points()
    assert points["earlier"].tolist() == list(earlier)
    assert not np.isin(points["retain"], [*earlier, *points["forget"]]).any()
    result = results.Result(sequence[1], row.method_id, "", row.models, row.payload, MethodFacts())
    assert result.split_of(earlier[0]) == "earlier"
    look = visit("klom", run=sequence[1], point=str(earlier[0]))
    assert "forgotten earlier" in text(look)


def test_the_pictures_of_earlier_requests_can_be_looked_at_on_their_own(visit, sequence, queue, store):
    app = visit("klom", run=sequence[1])
    app.segmented_control("split").set_value("earlier").run()
    earlier = toy.removed(store, queue.results(sequence[1])[0].payload)[1]
    app.segmented_control("order").set_value("two methods").run()
    assert f"of {len(earlier)} pictures of the earlier set" in text(app)
    assert not app.exception
    app.selectbox("other-run").set_value(sequence[0]).run()
    assert not app.exception, "the first request has no such pictures"
    assert app.segmented_control("split").value == "forget"


def test_cancelling_one_request_cancels_what_stands_on_it(visit, queue, store, sequence):
    first = toy.recipe() | {"forget": {"key": "class", "classes": "1"}}
    runs = [queue.submit(first, session="toy"), queue.submit(
        toy.recipe() | {"before": [first["forget"]], "forget": {"key": "class", "classes": "2"}}, session="toy"
    )]  # fmt: skip
    app = visit("klom", run=runs[0])
    press = app.button(f"cancel-live-{runs[0]}")
    assert "Later requests of its sequence stop with it" in press.help
    press.click().run()
    assert [queue.run(run).status for run in runs] == ["cancelled", "cancelled"]
    assert queue.run(sequence[2]).status == "queued"


def test_change_and_run_again_brings_all_requests_back(visit, queue, sequence, read):
    app = visit("unlearn", run=sequence[1])
    app.button("change").click().run()
    recipe = asked(queue)["recipe"]
    assert [one["classes"] for one in (*recipe["before"], recipe["forget"])] == ["3", "5"]
