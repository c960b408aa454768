"""Sequences from a shell: flags to a recipe, one table for each request, and what was removed earlier in it."""

import json

import pytest
from measured import scores

from engine.queue import Queue
from engine.records import SPLITS, Recipe
from engine.store import Store


def measured(split):
    return {"split": split, "klom_p95": 2.0, "klom_p95_floor": 0.6, "accuracy": 0.97, "seconds": 3.25, "compute": 0.125}


@pytest.fixture
def done(monkeypatch):
    """Return the recipes that were run; each is done at once, with numbers for every split it has."""
    ran = []

    def until_over(_store, queue, run_id):
        row = queue.run(run_id)
        ran.append(Recipe.from_json(row.recipe))
        splits = (*SPLITS, "earlier") if row.recipe.get("before") else SPLITS
        numbers = scores(*(measured(split) for split in splits), models=4)
        queue.claim(run_id)
        queue.put_result(run_id, "do_nothing", 4, {"scores": numbers.to_json()})
        queue.set_status(run_id, "done")
        return queue.run(run_id)

    monkeypatch.setattr("engine.cli.follow.until_over", until_over)
    return ran


@pytest.fixture
def path(command, tmp_path):
    said = command(
        "recipe", "--forget", "class:3", "--then", "class:5", "--then", "random:9", "--methods", "do_nothing"
    )
    assert said.status == 0, said.err
    (tmp_path / "recipe.json").write_text(said.out)
    return tmp_path / "recipe.json"


def test_then_adds_requests_in_order(path):
    found = json.loads(path.read_text())
    assert [one["classes"] for one in found["before"]] == ["3", "5"]
    assert found["forget"] == {"key": "random", "n": 9, "percent": 0.0}


def test_the_same_pictures_twice_are_refused(refused):
    said = refused("recipe", "--forget", "class:3", "--then", "class:3")
    assert "request 2 asks for class 3, which request 1 already removed" in said


def test_each_runs_every_request_in_order(command, path, tmp_path, done):
    store = tmp_path / "store"
    said = command("run", path, "--each", "--store", store)
    assert said.status == 0, said.err
    whole = Recipe.from_json(json.loads(path.read_text()))
    assert done == list(whole.sequence())
    titles = [line for line in said.out.splitlines() if line.startswith("request")]
    assert titles == [
        "request 1 of 3: Handwritten digits, class 3",
        "request 2 of 3: Handwritten digits, class 5",
        "request 3 of 3: Handwritten digits, random 9",
    ]
    assert said.out.count("earlier") == 2 * 2, "a row and a floor for each later request"
    assert [row.label for row in reversed(Queue(Store.open(store).queue_path).runs())] == [
        "Handwritten digits, class 3",
        "Handwritten digits, class 5, request 2",
        "Handwritten digits, random 9, request 3",
    ]
    listed = command("runs", "--store", store).out
    assert "digits, mlp, random (request 3)" in listed


def test_each_as_json_is_a_summary_for_each_request(command, path, tmp_path, done):
    said = command("run", path, "--each", "--json", "--store", tmp_path / "store")
    found = json.loads(said.out)["requests"]
    assert [(one["request"], one["forget"]["key"]) for one in found] == [(1, "class"), (2, "class"), (3, "random")]
    assert [r["split"] for r in found[0]["results"]] == list(SPLITS)
    assert [r["split"] for r in found[2]["results"]] == [*SPLITS, "earlier"]
    assert found[2]["floor"]["earlier"]["klom_p95"] == 0.6
    assert len(done) == 3


def test_run_without_each_runs_the_last_request(command, path, tmp_path, done):
    assert command("run", path, "--store", tmp_path / "store").status == 0
    assert [len(one.requests) for one in done] == [3]


def test_doubts_are_about_every_request(command, tmp_path, done, path):
    recipe = json.loads(path.read_text())
    path.write_text(json.dumps({**recipe, "methods": [{"key": "unsir"}]}))
    said = command("run", path, "--each", "--store", tmp_path / "store")
    assert said.err.count("Made for whole classes, and this is not one.") == 1, "only the third is not a class"
