"""A method that cannot work on a recipe's originals says so when the recipe is read, not in the middle of a run."""

import re

import pytest

from engine.answers import Answers
from engine.experiment import resolve
from engine.knobs import BadSetting
from engine.planner import Planner
from engine.queue import Queue
from engine.records import Recipe
from engine.store import Store
from engine.unlearners import unlearners


def recipe(*methods):
    return Recipe.from_json(
        {
            "format": 1,
            "dataset": {"key": "digits"},
            "model": {"key": "mlp"},
            "forget": {"key": "random"},
            "methods": [{"key": key} for key in methods],
        }
    )


def test_a_misfit_is_refused_with_its_own_sentence(monkeypatch):
    """Catches a check that nobody calls: the run would fail after the originals were trained."""
    asked = []

    def misfit(self, training, architecture):
        asked.append((self.key, training.optimizer, architecture.key))
        return "It needs shards; set them under Training."

    monkeypatch.setattr(unlearners()["scrub"], "misfit", misfit)
    with pytest.raises(BadSetting, match="It needs shards"):
        resolve(recipe("do_nothing", "scrub"))
    assert asked == [("scrub", "sgd", "mlp")]
    resolve(recipe("do_nothing"))


def test_a_page_may_ask_which_methods_do_not_fit(tmp_path):
    """Catches an answer that differs from what a run would say, and a bad question that ends the compute process."""
    queue, store = Queue(tmp_path / "queue.sqlite"), Store.open(tmp_path / "store")
    answers = Answers(store, queue, runner=None, planner=Planner(store, "cpu"), workers=())
    plain, cut, bad = (
        queue.ask({"kind": "misfits", "model": {"key": "mlp"}, "training": training})
        for training in ({}, {"shards": 3}, {"epochs": -1})
    )
    assert answers.serve(60.0)
    found = queue.answer_to(plain)["misfits"]
    for key in unlearners():
        if key in found:
            with pytest.raises(BadSetting, match=re.escape(found[key]["why"])):
                resolve(recipe(key))
        else:
            resolve(recipe(key))
    assert found["sisa"]["remedy"] == {"shards": 4}
    assert "sisa" not in queue.answer_to(cut)["misfits"]
    assert queue.answer_to(cut)["misfits"]["usgd"]["remedy"] == {"shards": 1, "slices": 1}
    assert "epochs" in queue.answer_to(bad)["error"]
