"""Tuning: what is tried, on which networks, and what is called the best."""

from dataclasses import replace

import numpy as np
import pytest
from measured import scores

from engine.demo import demo_recipe
from engine.experiment import as_choice, resolve
from engine.forget import parse
from engine.records import Choice
from engine.tuning import CHOOSE, MEASURE, MOST, Tunable, best, candidates, choosing, measuring, ranked
from engine.unlearners import make_unlearner, unlearners

TRIED = [key for key, method in unlearners().items() if not method.reference]


def tunable(key):
    return Tunable(key, unlearners()[key].fields(), unlearners()[key].tuned, Choice("do_nothing"))


def recipe(key="scrub", **settings):
    whole = replace(demo_recipe(as_choice(parse("random:5"))), methods=(Choice(key, settings),))
    return resolve(whole).recipe


@pytest.mark.parametrize("key", TRIED)
def test_what_is_tried_are_settings_of_the_method_and_those_at_hand_come_first(key):
    tried = candidates(tunable(key), {}, seed=0)
    assert 1 <= len(tried) <= MOST
    assert tried[0].settings == make_unlearner({"key": key}).settings()
    assert len({str(sorted(one.settings.items())) for one in tried}) == len(tried)
    for one in tried:
        make_unlearner(one.to_json())
    assert candidates(tunable(key), {}, seed=0) == tried


def test_it_chooses_on_some_networks_and_measures_on_others():
    whole = recipe(lr=0.003)
    first = choosing(whole, tunable("scrub"), whole.methods[0].settings)
    assert first.ensemble.models == CHOOSE
    assert first.seed == whole.seed
    assert first.methods[0].key == "do_nothing"
    assert first.methods[1].settings["lr"] == 0.003, "what is at hand is among the candidates"
    second = measuring(whole, tunable("scrub"), whole.methods[0].settings, first.methods[3])
    assert second.ensemble.models == MEASURE
    assert second.seed != whole.seed, "networks that played no part in the choice"
    assert [choice.key for choice in second.methods] == ["do_nothing", "scrub", "scrub"]
    assert (second.dataset, second.model, second.training, second.forget) == (
        *(whole.dataset, whole.model, whole.training, whole.forget),
    )
    assert len(measuring(whole, tunable("scrub"), {"lr": 0.003}, whole.methods[0]).methods) == 2, (
        "the same settings once"
    )
    same = measuring(whole, tunable("scrub"), {"lr": 0.003}, first.methods[3], pictures=np.array([3, 4, 9]))
    assert same.forget == Choice("indices", {"indices": "3-4,9", "name": ""}), "another seed would draw other pictures"
    for one in (first, second, same):
        resolve(one)


def rows(forget, retain):
    return [{"split": "forget", "klom_p95": forget, "klom_p95_floor": 1.0}, {"split": "retain", "klom_p95": retain},
            {"split": "test", "klom_p95": 1.0}]  # fmt: skip


def test_the_best_is_the_lowest_of_the_larger_of_forget_and_retain_and_breaks_nothing():
    first = choosing(recipe(), tunable("scrub"), {})
    ids = first.methods_ids()
    measured = {ids[0]: scores(*rows(9.0, 1.0))}
    for number, (forget, retain) in enumerate([(5.0, 1.0), (1.0, 7.0), (4.0, 4.0), (0.5, 0.5)], start=1):
        measured[ids[number]] = scores(*rows(forget, retain))
    measured[ids[4]] = replace(measured[ids[4]], broken=12)
    order = ranked(first, "do_nothing", measured)
    assert [one.worse for one in order] == [4.0, 5.0, 7.0]
    assert order[0].nothing == 9.0
    assert best(first, "do_nothing", measured) == first.methods[3]
    assert best(first, "do_nothing", {ids[0]: measured[ids[0]]}) is None, "all others stopped"
