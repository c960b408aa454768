import base64
import json

import numpy as np
import pytest
import toy

from engine.data.digits import Digits
from engine.queue import Shelf
from engine.records import Choice
from engine.specs import Trained
from engine.training import Training
from pages.forget.sets import Alike, combine, composition, inside, outside
from pages.forget.state import History


def ints(*numbers):
    return np.array(numbers, dtype=np.int64)


# Sets.


@pytest.mark.parametrize(
    ("mode", "left"),
    [("replace", [2, 3, 9]), ("add", [1, 2, 3, 5, 9]), ("remove", [1, 5]), ("intersect", [2, 3])],
)
def test_modes_are_the_operations_on_sets(mode, left):
    got = combine(ints(1, 2, 3, 5), ints(9, 3, 2), mode)
    assert got.dtype == np.int64
    assert got.tolist() == left


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="no way"):
        combine(ints(1), ints(2), "xor")


def by_hand(polygon, point):
    """Count the edges that a ray to the right crosses, one at a time."""
    x, y = point
    crossed = 0
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            crossed += 1
    return crossed % 2 == 1


def test_inside_agrees_with_counting_crossings_one_by_one():
    rng = np.random.default_rng(0)
    xy = rng.uniform(-1, 1, (400, 2)).astype(np.float32)
    for corners in (3, 4, 7, 40):
        polygon = rng.uniform(-0.9, 0.9, (corners, 2))  # crosses itself, as drawn lines do
        found = inside(polygon, xy)
        assert found.tolist() == [by_hand(polygon, p) for p in xy.astype(float)]
        assert 0 < found.sum() < 400


def test_inside_takes_hollows_and_level_edges_right():
    horseshoe = np.array([[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3]], float)
    xy = np.array([[0.5, 2], [1.5, 2], [2.5, 2], [1.5, 0.5], [4, 0.5], [1.5, 3.5]], np.float32)
    assert inside(horseshoe, xy).tolist() == [True, False, True, True, False, False]


def test_inside_works_in_blocks_and_on_nothing(monkeypatch):
    xy = np.random.default_rng(1).uniform(-1, 1, (300, 2)).astype(np.float32)
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    whole = inside(square, xy)
    monkeypatch.setattr("pages.forget.sets._BLOCK", 16)
    assert inside(square, xy).tolist() == whole.tolist() == (np.abs(xy) < 0.5).all(axis=1).tolist()
    assert inside(square, xy[:0]).shape == (0,)


@pytest.mark.parametrize(
    "polygon", [[[0, 0], [1, 1]], [[0, 0, 0]] * 3, [[0, 0], [1, np.nan], [1, 1]], np.zeros((2001, 2))]
)
def test_a_line_that_is_none_is_refused(polygon):
    with pytest.raises(ValueError, match="corners"):
        inside(np.array(polygon, float), np.zeros((4, 2), np.float32))


NEIGHBOURS = np.array([[1, 2], [0, 2], [1, 0], [4, 5], [3, 5], [4, 3]], np.int32)
DISTANCE = np.array([[0.1, 0.9], [0.1, 0.2], [0.2, 0.9], [0.0, 0.8], [0.0, 0.8], [0.8, 0.8]], np.float32)


def test_pairs_are_those_below_the_threshold_each_once():
    alike = Alike.of(NEIGHBOURS, DISTANCE, 0.3)
    assert sorted(zip(alike.first.tolist(), alike.second.tolist(), strict=True)) == [(0, 1), (1, 2), (3, 4)]
    equal = Alike.of(NEIGHBOURS, DISTANCE, 0.0)
    assert (equal.first.tolist(), equal.second.tolist()) == ([3], [4]), "equal pictures are a pair at any threshold"


def test_a_neighbour_that_knows_only_one_way_counts_both_ways():
    neighbours, distance = np.array([[1], [2], [1]], np.int32), np.array([[0.1], [0.05], [0.05]], np.float32)
    alike = Alike.of(neighbours, distance, 0.2)  # 0 names 1, but 1's nearest is 2
    assert alike.left(ints(1)).second.tolist() == [2, 0], "nearest first"
    assert alike.left(ints(0)).second.tolist() == [1]


def test_left_are_pairs_with_one_foot_in_the_forget_set():
    alike = Alike.of(NEIGHBOURS, DISTANCE, 0.3)
    left = alike.left(ints(2, 4))
    assert list(zip(left.first.tolist(), left.second.tolist(), strict=True)) == [(4, 3), (2, 1)]
    assert left.distance.tolist() == pytest.approx([0.0, 0.2])
    assert len(alike.left(ints(0, 1, 2, 3, 4))) == 0
    assert len(alike.left(ints())) == 0
    assert len(alike.left(ints(5))) == 0


def test_taking_twins_in_takes_their_twins_too():
    alike = Alike.of(NEIGHBOURS, DISTANCE, 0.3)
    assert alike.spread(ints(2)).tolist() == [0, 1, 2]
    assert alike.spread(ints(3, 5)).tolist() == [3, 4, 5]
    assert len(alike.left(alike.spread(ints(0, 3)))) == 0


def test_composition_counts_each_class_and_what_there_is():
    shares = composition(ints(0, 2, 3), ints(1, 0, 1, 2, 2), ("a", "b", "c", "d"))
    assert [(s.name, s.chosen, s.total) for s in shares] == [("a", 0, 1), ("b", 2, 2), ("c", 1, 2), ("d", 0, 0)]


def test_numbers_outside_are_named():
    assert outside(ints(0, 9), 10) == ""
    assert "no training picture 10:" in outside(ints(3, 10), 10)
    assert "12 and 1 others" in outside(ints(12, 99), 10)


def test_undo_and_redo_and_the_browsers_buttons():
    steps = History([])
    for name in "abc":
        steps.push(name)
    steps.push("c")
    assert steps.ids == ["a", "b", "c"], "the same state twice is one step"
    assert steps.step(-1) == "b"
    steps.follow("a")  # the browser's back
    assert (steps.at, steps.step(-1)) == (0, "")
    steps.follow("b")
    assert steps.step(1) == "c"
    steps.step(-1)
    steps.push("d")
    assert steps.ids == ["a", "b", "d"], "what was undone is gone"
    steps.follow("z")  # a link
    assert (steps.ids[-1], steps.step(1)) == ("z", "")


# The page.


@pytest.fixture
def digits(store):
    """The digits, decoded, with a map and columns in the store; pictures 10 and 11 are near-duplicates."""
    data = Digits().load(store.data_cache, lambda _share, _said: None)
    total = len(data.y_train)
    with store.artefact("data", {"dataset": {"key": "digits"}}).write("whole") as out:
        info = {"name": "Handwritten digits", "hash": data.hash, "classes": list(data.classes)}
        info |= {"shape": list(data.shape), "train": total, "test": len(data.y_test), "top": data.top}
        out.json("info", info)
    rng = np.random.default_rng(0)
    with toy.explored(store, data.hash, key="map", layout="pca").write("whole") as out:
        out.arrays("xy", rng.uniform(-1, 1, (total, 2)).astype(np.float32))
        out.json("facts", {})
    with toy.explored(store, data.hash, key="columns").write("whole") as out:
        distance = np.full((total, 8), 0.4, np.float32)
        neighbours = ((np.arange(total)[:, None] + np.arange(1, 9)) % total).astype(np.int32)
        distance[10, 0] = 0.01
        out.arrays("cluster", np.arange(total) % 10)
        out.arrays("outlier", rng.random(total).astype(np.float32))
        out.arrays("neighbours", neighbours)
        out.arrays("distance", distance)
        out.json("facts", {"typical": 0.4, "near": 0.2})
    return data


@pytest.fixture
def shelf(store):
    return Shelf(store.queue_path)


def save(shelf, data, *numbers, **more):
    return shelf.save(data_hash=data.hash, data_name="Handwritten digits", indices=ints(*numbers), **more)


def part(app, name):
    """The data of the page's one component that has ``name``."""
    found = [json.loads(c.proto.json) for c in app.get("bidi_component") if f'"{name}"' in c.proto.json]
    (one,) = found
    return one


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def chosen(app, shelf):
    return shelf.saved(app.query_params["set"]).numbers().tolist()


def bits(app, total):
    raw = np.frombuffer(base64.b64decode(part(app, "chosen")["chosen"]), np.uint8)
    return np.flatnonzero(np.unpackbits(raw, bitorder="little")[:total]).tolist()


def test_pictures_that_are_not_read_yet_are_asked_for(visit, queue):
    app = visit("forget")
    assert {"kind": "data", "dataset": {"key": "digits"}} in [request for _, request in queue.questions()]
    assert not app.get("file_uploader")


def test_pictures_that_cannot_be_read_are_a_sentence(visit, queue):
    visit("forget")
    for question, _ in queue.questions():
        queue.answer(question, {"error": "the archive is <b>damaged</b>"})
    app = visit("forget")
    for question, _ in queue.questions():
        queue.answer(question, {"error": "the archive is <b>damaged</b>"})
    app.run()
    assert "These pictures cannot be read: the archive is" in app.error[0].value


def test_an_empty_selection_invites_and_cannot_be_used(visit, digits, shelf):
    app = visit("forget")
    assert "0 of 1,437 training pictures chosen" in text(app)
    assert "Draw a line around pictures on the map" in text(app)
    assert app.button("use").disabled
    assert chosen(app, shelf) == []
    assert part(app, "xy")["size"] == 0


def test_a_map_that_is_not_there_is_asked_for_and_the_rest_works(visit, digits, store, queue):
    toy.explored(store, digits.hash, key="map", layout="pca").discard("whole")
    app = visit("forget")
    asked = [request for _, request in queue.questions()]
    choice = {"key": "map", "layout": "pca", "through": "pixels"}
    assert {"kind": "analysis", "analysis": choice, "recipe": {"dataset": {"key": "digits"}}} in asked
    assert app.button("apply-random")


def test_a_link_shows_its_set(visit, digits, shelf):
    one = save(shelf, digits, 3, 17, 20, name="Mine <b>")
    app = visit("forget", set=one.id)
    assert "3 of 1,437 training pictures chosen" in text(app)
    assert "Mine &lt;b&gt;" in text(app)
    assert bits(app, 1437) == [3, 17, 20]
    assert [tile["faces"][0]["point"] for tile in part(app, "tiles")["tiles"]] == [3, 17, 20]
    assert not app.button("use").disabled


def test_links_that_lead_nowhere_are_said(visit, digits, shelf):
    assert "not in this store" in visit("forget", set="0" * 16).warning[0].value
    assert "not in this store" in visit("forget", set="../../x").warning[0].value
    other = shelf.save(data_hash="f" * 32, data_name="Other_pictures", indices=ints(1))
    app = visit("forget", set=other.id)
    assert "belongs to other pictures" in app.warning[0].value
    assert "0 of 1,437" in text(app)


def test_a_selector_of_the_engine_is_asked_and_its_answer_chosen(visit, digits, queue, shelf):
    one = save(shelf, digits, 1, 2)
    app = visit("forget", set=one.id)
    app.number_input("pick-random-n").set_value(3).run()
    app.segmented_control("mode-random").set_value("add").run()
    app.button("apply-random").click().run()
    ((question, request),) = [q for q in queue.questions() if q[1]["kind"] == "forget"]
    assert request["recipe"]["forget"] == {"key": "random", "n": 3, "percent": 0.0}
    assert request["recipe"]["dataset"] == {"key": "digits"}
    queue.answer(question, {"indices": "2,5-6", "size": 3, "name": "random 3", "hash": "x"})
    app.run()
    assert chosen(app, shelf) == [1, 2, 5, 6]
    assert shelf.saved(app.query_params["set"]).how == "", "more than the three random ones"


def test_what_a_selector_refuses_is_said_and_nothing_changes(visit, digits, queue, shelf):
    app = visit("forget", set=save(shelf, digits, 1, 2).id)
    app.button("apply-random").click().run()
    ((question, _),) = [q for q in queue.questions() if q[1]["kind"] == "forget"]
    queue.answer(question, {"error": "cannot forget 50 of the 40 pictures"})
    app.run()
    said = [e.value for e in app.error] or [e.value for e in app.run().error]
    assert "Cannot forget 50 of the 40 pictures." in said[0]
    assert chosen(app, shelf) == [1, 2]


def test_a_list_is_read_and_wrong_ones_are_refused_in_words(visit, digits, shelf):
    app = visit("forget")
    app.segmented_control("by").set_value("list").run()
    wrongs = {"3, x": "is not the number", "5-3": "backwards", "1436, 1437": "no training picture 1437"}
    for wrong, said in wrongs.items():
        app.text_area("pick-list").set_value(wrong).run()
        app.button("apply-list").click().run()
        assert said in app.error[0].value
        assert chosen(app, shelf) == []
    app.text_area("pick-list").set_value("3; 20-22\n7").run()
    app.button("apply-list").click().run()
    assert chosen(app, shelf) == [3, 7, 20, 21, 22]
    assert not app.error


def test_a_file_is_read_in_memory(visit, digits, shelf):
    app = visit("forget")
    app.segmented_control("by").set_value("file").run()
    app.file_uploader("pick-file").set_value([("../../etc/x.csv", b"4\n9\n", "text/csv")]).run()
    app.button("apply-file").click().run()
    assert chosen(app, shelf) == [4, 9]
    app.file_uploader("pick-file").set_value([("x.npy", b"\x93NUMPYxx", "application/octet-stream")]).run()
    app.button("apply-file").click().run()
    assert "it is not a whole .npy file" in app.error[0].value


def test_saved_sets_are_combined_and_deleted(visit, digits, shelf):
    mine = save(shelf, digits, 1, 2, 3, name="Mine")
    shelf.save(data_hash="f" * 32, data_name="Other", indices=ints(1), name="Not these pictures")
    app = visit("forget", set=save(shelf, digits, 3, 4).id, by="Saved sets")
    assert "Mine" in text(app)
    assert "Not these pictures" not in text(app)
    app.segmented_control("mode-saved").set_value("intersect").run()
    app.button(f"open-{mine.id}").click().run()
    assert chosen(app, shelf) == [3]
    app.segmented_control("mode-saved").set_value("remove").run()
    app.button("undo").click().run()
    assert chosen(app, shelf) == [3, 4]
    app.button(f"open-{mine.id}").click().run()
    assert chosen(app, shelf) == [4]
    app.button(f"delete-{mine.id}").click().run()
    assert shelf.named(digits.hash) == []
    assert "No set of these pictures has a name yet" in text(app)


def test_undo_redo_clear_and_invert(visit, digits, shelf):
    app = visit("forget", set=save(shelf, digits, 0, 1436).id)
    app.button("invert").click().run()
    assert chosen(app, shelf) == list(range(1, 1436))
    app.button("clear").click().run()
    assert chosen(app, shelf) == []
    app.button("undo").click().run()
    app.button("undo").click().run()
    assert chosen(app, shelf) == [0, 1436]
    assert app.button("undo").disabled
    app.button("redo").click().run()
    assert len(chosen(app, shelf)) == 1435


def test_a_near_duplicate_left_in_retain_is_said_shown_and_taken_in(visit, digits, shelf):
    app = visit("forget", set=save(shelf, digits, 11, 40).id)
    assert "1 near-duplicate stays in retain" in text(app)
    assert "still learns from a copy" in text(app)
    app.button("see-twins").click().run()
    ((forget, stays),) = [tile["faces"] for tile in part(app, "tiles")["tiles"]]
    assert (forget["point"], stays["point"]) == (11, 10)
    assert part(app, "tiles")["tiles"][0]["note"].startswith("0.010 apart")
    app.button("take-twins").click().run()
    assert chosen(app, shelf) == [10, 11, 40]
    assert "near-duplicate" not in text(app)


def test_warnings_say_what_is_wrong_with_a_selection(visit, digits, shelf):
    app = visit("forget", set=save(shelf, digits, *range(1437)).id)
    assert "nothing is left to retain" in app.warning[0].value
    assert app.button("use").disabled
    app = visit("forget", set=save(shelf, digits, *np.flatnonzero(digits.y_train == 3).tolist()).id)
    assert "Nothing of class 3 is left to retain" in app.info[0].value
    assert not app.button("use").disabled


def test_a_name_is_kept_and_listed(visit, digits, shelf):
    one = save(shelf, digits, 5, 6)
    app = visit("forget", set=one.id)
    app.text_input(f"name-{one.id}").set_value("  My pair ").run()
    app.button("save").click().run()
    assert [s.name for s in shelf.named(digits.hash)] == ["My pair"]
    assert "My pair" in text(app)
    assert app.button("save").disabled


def test_colours_that_need_networks_say_so_and_train_with_one_click(visit, digits, store, queue, shelf):
    app = visit("forget", colour="Margin")
    assert "Margin needs trained networks" in text(app)
    assert part(app, "xy")["column"]["key"] == "class", "until then the map shows classes"
    assert not [r for _, r in queue.questions() if r["kind"] == "analysis"]
    app.button("train").click().run()
    ((question, request),) = [q for q in queue.questions() if q[1]["kind"] == "analysis"]
    assert request["analysis"] == {"key": "columns", "through": "network"}
    assert request["recipe"]["model"]["key"] == "mlp"
    original = Trained("toy", Choice("mlp"), Training(), "all", "original", 0)
    artefact = toy.explored(store, digits.hash, key="columns", original=original)
    rng = np.random.default_rng(1)
    with artefact.write("whole") as out:
        for name in ("cluster", "outlier", "margin", "loss"):
            out.arrays(name, rng.normal(size=1437).astype(np.float32))
        out.arrays("neighbours", np.zeros((1437, 8), np.int32))
        out.arrays("distance", np.ones((1437, 8), np.float32))
        out.json("facts", {"typical": 1.0, "near": 0.5})
    queue.answer(question, {"spec": artefact.spec})
    app.run()
    column = part(app, "xy")["column"]
    assert (column["key"], column["kind"], column["unit"]) == ("margin", "scale", "logits")
    assert column["low"] < 0 < column["high"]


def test_colouring_changes_neither_the_map_nor_what_is_chosen(visit, digits, shelf):
    app = visit("forget", set=save(shelf, digits, 3, 17).id)
    before = part(app, "xy")
    for colour, kind in (("cluster", "group"), ("outlier", "scale"), ("chosen", "chosen")):
        app.selectbox("colour").set_value(colour).run()
        now = part(app, "xy")
        assert now["column"]["kind"] == kind
        for same in ("name", "xy", "chosen", "labels"):
            assert now[same] == before[same]


def test_using_a_set_puts_it_into_the_setup(visit, digits, shelf, queue, monkeypatch):
    went = []
    monkeypatch.setattr("streamlit.switch_page", lambda page, **more: went.append((page, more)))
    one = save(shelf, digits, 5, 6, 7, name="Three")
    app = visit("forget", set=one.id)
    app.button("use").click().run()
    ((page, more),) = went
    assert page == "pages/unlearn/page.py"
    setup = queue.recall(f"draft:{more['query_params']['draft']}")["setup"]
    assert setup["forget"] == {"key": "indices", "indices": "5-7", "name": "Three"}


def test_the_setups_own_pictures_are_where_one_begins(visit, digits, shelf):
    app = visit("forget", set=save(shelf, digits, 5, 6, 7).id)
    app.session_state["draft"] = {"forget": {"key": "indices", "indices": "8,9", "name": ""}}
    app.session_state[f"forget-left-{digits.hash}"] = ""
    for name in ("set", "draft"):
        app.query_params.pop(name, None)
    app.run()
    assert chosen(app, shelf) == [8, 9]


def test_links_from_the_inspector_choose_or_find_alike(visit, digits, shelf):
    app = visit("forget", set=save(shelf, digits, 5).id, point="9", do="add")
    assert chosen(app, shelf) == [5, 9]
    assert "do" not in app.query_params
    app = visit("forget", point="17", do="like")
    assert app.number_input("pick-nearest-point").value == 17
    assert app.query_params["at"] == ["17"] or app.query_params["at"] == "17"


def test_everything_else_is_paged(visit, digits, shelf):
    app = visit("forget", set=save(shelf, digits, 0).id, shown="Everything else")
    first = [tile["faces"][0]["point"] for tile in part(app, "tiles")["tiles"]]
    assert first == list(range(1, 73))
    app.button("page-others-on").click().run()
    assert part(app, "tiles")["tiles"][0]["faces"][0]["point"] == 73
