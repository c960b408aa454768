"""Results of a run as JSON and as tables."""

import dataclasses
import json
import re

import pytest
from measured import scores

from engine.cli import tables
from engine.demo import demo_recipe
from engine.experiment import as_choice, resolve
from engine.queue import Queue
from engine.records import SPLITS
from engine.store import Store

RECIPE = demo_recipe()
RECIPE = dataclasses.replace(RECIPE, methods=tuple(as_choice(method) for method in resolve(RECIPE).methods))
"""With every setting, as a form submits it."""
IDS = RECIPE.methods_ids()


def rows(models=100, floor=0.6, warnings=(), **changes):
    numbers = {
        "klom_mean": 1.0, "klom_median": 0.9, "klom_p95": 2.0, "klom_p95_low": 1.5, "klom_p95_high": 2.5,
        "accuracy": 0.97, "accuracy_oracle": 0.96, "accuracy_gap": 1.0, "tow": 0.875, "tow_floor": 0.99,
        "seconds": 3.25, "compute": 0.125, "klom_mean_floor": floor / 2, "klom_p95_floor": floor, **changes,
    }  # fmt: skip
    return scores(*({"split": split, **numbers} for split in SPLITS), models=models, warnings=warnings)


@pytest.fixture
def queue(tmp_path):
    return Queue(Store.open(tmp_path / "store").queue_path)


@pytest.fixture
def summary(queue):
    """Return a function that stores results and what stopped, and gives the summary."""

    def of(results, stopped=None):
        run = queue.submit(RECIPE.to_json(), session="a")
        queue.claim(run)
        for method, measured in results.items():
            queue.put_result(run, method, measured.models, {"scores": measured.to_json()})
        states = {m: {"done": 1, "total": 1, "stopped": (stopped or {}).get(m, "")} for m in IDS}
        queue.set_progress(run, {"device": "cpu", "methods": states})
        queue.set_status(run, "done")
        found = tables.summary(queue.run(run), queue)
        json.dumps(found, allow_nan=False)
        return found

    return of


EXTRA = ("klom_p85", "klom_p99", "klom_average")
NONE = {
    **{f"{key}{part}": None for key in EXTRA[:2] for part in ("", "_low", "_high", "_floor")},
    "klom_average": None,
    "klom_average_floor": None,
}


def test_one_entry_per_method_and_split_in_the_recipe_s_order(summary):
    found = summary({"scrub": rows(), IDS[-1]: rows(), "do_nothing": rows()})
    assert [(r["method"], r["split"]) for r in found["results"]] == [
        (m, s) for m in ("do_nothing", "scrub", IDS[-1]) for s in SPLITS
    ]
    assert found["results"][0] == {
        "method": "do_nothing", "split": "forget", "models": 100, "warnings": [], "klom_p95": 2.0, "klom_p95_low": 1.5,
        "klom_p95_high": 2.5, "klom_p95_floor": 0.6, "klom_mean": 1.0, "klom_mean_low": None, "klom_mean_high": None,
        "klom_mean_floor": 0.3, "klom_median": 0.9, "klom_median_low": None, "klom_median_high": None,
        "klom_median_floor": None, "broken": 0, **NONE, "accuracy": 0.97, "accuracy_oracle": 0.96,
        "accuracy_original": None,
        "accuracy_gap": 1.0, "accuracy_gap_floor": None, "tow": 0.875, "tow_floor": 0.99, "seconds": 3.25,
        "compute": 0.125,
    }  # fmt: skip
    floor = {"klom_p95": 0.6, "klom_mean": 0.3, "klom_median": None, "accuracy_gap": None, "tow": 0.99}
    floor |= dict.fromkeys(EXTRA)
    assert found["floor"] == dict.fromkeys(SPLITS, floor)
    assert (found["device"], found["models"], found["convention"]) == ("cpu", 100, "paper")
    assert found["recipe"] == RECIPE.to_json()
    assert found["stopped"] == {}


def test_the_floor_is_that_of_the_row_with_most_models(summary):
    found = summary(
        {"do_nothing": rows(), "scrub": rows(models=20, floor=4.0)}, stopped={"scrub": "diverged at step 3"}
    )
    assert {f["klom_p95"] for f in found["floor"].values()} == {0.6}
    assert found["stopped"] == {"scrub": "diverged at step 3"}
    assert "| scrub (20 models) |" in tables.markdown(found)


def test_what_could_not_be_measured_is_null_and_a_dash(summary):
    found = summary({}, stopped=dict.fromkeys(IDS, "diverged | at once"))
    assert found["results"] == []
    assert {value for floor in found["floor"].values() for value in floor.values()} == {None}
    assert list(found["floor"]) == list(SPLITS)
    table = tables.markdown(found)
    assert {line.count("|") for line in table.splitlines()} == {10}
    assert "do_nothing: diverged" in tables.text(found)
    partial = summary({"do_nothing": rows(klom_mean_floor=None, klom_p95_floor=None, compute=None)})
    assert (partial["floor"]["test"]["klom_p95"], partial["floor"]["test"]["klom_mean"]) == (None, None)
    assert partial["results"][0]["compute"] is None
    assert tables.text(partial).splitlines()[1].split()[-1] == "-"


def test_the_text_holds_numbers_floor_device_and_warnings(summary):
    found = summary({"do_nothing": rows(warnings=("few models",))}, stopped={"scrub": "diverged at step 3"})
    lines = tables.text(found).splitlines()
    assert lines[0].split()[:4] == ["method", "split", "models", "KLOM"]
    assert re.split(r"\s{2,}", lines[1]) == [
        *("do_nothing", "forget", "100", "2.00", "1.50 to 2.50", "1.00", "0.90"),
        *("97.0 %", "1.0", "0.875", "3.2", "12.5 %"),
    ]
    assert [re.split(r"\s{2,}", line) for line in lines[4:7]] == [
        ["(floor)", split, "0.60", "0.30", "-", "-", "0.990"] for split in SPLITS
    ]
    assert lines[7] == f"run {found['run']} on cpu"
    assert lines[8:] == ["scrub: diverged at step 3", "few models"], "each warning once"


def test_markdown_names_a_method_by_its_settings_where_it_appears_twice(summary):
    found = summary({"do_nothing": rows(), IDS[-2]: rows(), IDS[-1]: rows()})
    lines = tables.markdown(found).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        "**noise floor**", "do_nothing", "partial_retrain share 0.2", "partial_retrain share 0.5",
    ]  # fmt: skip
    assert lines[3] == "| do_nothing | 2.00 | 2.00 | 2.00 | 97.0 % | 97.0 % | 97.0 % | 3.2 | 12.5 % |"


@pytest.mark.parametrize(("seconds", "said"), [(0.0022, "2.2 ms"), (0.099, "99 ms"), (0.1, "0.1"), (0.0, "0.0")])
def test_what_takes_no_tenth_of_a_second_is_in_milliseconds(summary, seconds, said):
    found = summary({"do_nothing": rows(seconds=seconds)})
    assert re.split(r"\s{2,}", tables.text(found).splitlines()[1])[10] == said
    assert f"| {said} | 12.5 % |" in tables.markdown(found).splitlines()[3]
