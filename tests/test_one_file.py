"""A plug-in is one file: toys are put into a copy of the program, and whatever lists or uses plug-ins has them.

No other file of the copy is changed, so a list of keys anywhere fails here.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOYS = Path(__file__).parent / "toys"
PLACES = {
    "toy_analysis.py": "engine/analyses/toy_peak.py",
    "toy_view.py": "engine/views/toy_peak.py",
    "toy_metric.py": "engine/metrics/toy_mean_margin.py",
    "toy_prerequisite.py": "engine/prerequisites/toy_counts.py",
    "toy_method.py": "engine/unlearners/toy_shrink.py",
    "toy_dataset.py": "engine/data/toy_bars.py",
}
"""Where each toy goes."""

pytestmark = [pytest.mark.alone, pytest.mark.slow]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return the program with every toy in it."""
    folder = tmp_path_factory.mktemp("one-file") / "program"
    ignore = shutil.ignore_patterns("__pycache__", "screenshots")
    for name in ("engine", "pages", "assets", ".streamlit"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "app.py", folder)
    for toy, place in PLACES.items():
        shutil.copy(TOYS / toy, folder / place)
    return folder


def call(copy, *arguments, expect=0):
    """Return what a command of the copy prints."""
    environment = {**os.environ, "FORGETSCOPE_STORE": str(copy.parent / "store"), "FORGETSCOPE_WORKERS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == expect, done.stderr[-3000:]
    return done.stdout


def engine(copy, *arguments):
    return call(copy, "-m", "engine", *arguments)


@pytest.fixture(scope="module")
def recipe(copy):
    made = engine(
        copy, "recipe", "--dataset", "toy_bars", "--model", "mlp:hidden=8", "--forget", "random:12",
        "--methods", "do_nothing,toy_shrink:plus=3", "--models", "6", "--chunk", "3", "--epochs", "2",
        "--strategy", "stacked",
    )  # fmt: skip
    file = copy.parent / "recipe.json"
    file.write_text(made)
    return file


@pytest.fixture(scope="module")
def results(copy, recipe):
    """Return what the command line says of the whole run."""
    return json.loads(engine(copy, "run", str(recipe), "--json"))


def test_the_command_line_lists_every_toy(copy):
    known = {family: {plugin["key"] for plugin in plugins if "key" in plugin}
             for family, plugins in json.loads(engine(copy, "catalog")).items()}  # fmt: skip
    assert "toy_peak" in known["analyses"]
    assert "toy_mean_margin" in known["metrics"]
    assert "toy_counts" in known["prerequisites"]
    assert "toy_shrink" in known["methods"]
    assert "toy_bars" in known["datasets"]


def test_the_metric_is_in_the_results(copy, recipe, results):
    assert "toy_mean_margin" in json.dumps(results)
    assert "toy margin" in engine(copy, "run", str(recipe)), "the table for people has it too"


def test_the_prerequisite_is_planned_priced_used_and_freed(copy, recipe, results):
    """Catches a prerequisite that the plan, the estimate or the deletion of a run does not know."""
    script = f"""
import json
from engine.answers import estimate
from engine.experiment import resolve
from engine.plan import make_plan
from engine.queue import Queue
from engine.queue.uses import used
from engine.records import Recipe
from engine.store import Store, default_store
store = Store.open(default_store())
recipe = json.loads(open({str(recipe)!r}).read())
plan = make_plan(resolve(Recipe.from_json(recipe)), store, "cpu")
counting = [job for job in plan.jobs if job.kind == "prepared"]
assert len(counting) == 1, "two chunks share it"
readers = [job for job in plan.jobs if counting[0].id in job.needs]
assert {{job.method.split("-")[0] for job in readers}} == {{"toy_shrink"}} and len(readers) == 2
assert all(job.done(store) for job in plan.jobs)
measured = {{"seconds_per_pass": 1.0, "parameters": 1, "peak_bytes": 1, "strategy": "stacked", "device": "cpu"}}
fresh = {{**recipe, "seed": 9, "methods": [{{"key": "toy_shrink", "plus": 7}}]}}
price = estimate([make_plan(resolve(Recipe.from_json(fresh)), store, "cpu", suppose=True)], measured, store, workers=1)
assert price["seconds"] > 12345, price
queue = Queue(store.queue_path)
run = queue.runs()[0]
assert (counting[0].spec.artefact(store).key, "whole") in {{(p.key, p.part) for p in used(queue, run.id)}}
print("fine")
"""
    assert call(copy, "-c", script).strip() == "fine"


def test_the_analysis_answers_from_the_command_line(copy, recipe, results):
    said = json.loads(
        engine(copy, "analyse", str(recipe), "--method", "do_nothing", "--analysis", "toy_peak:factor=2", "--json")
    )
    assert said["analysis"]["key"] == "toy_peak" if isinstance(said["analysis"], dict) else said["analysis"]
    assert {row["role"] for row in said["rows"]} >= {"original", "unlearned", "oracle"}
    assert all(isinstance(row["toy_peak"], float) for row in said["rows"])


def test_the_pages_have_them(copy, recipe, results):
    """Catches a page with a list of its own: each is visited with the run, and the toys' words must stand there."""
    script = """
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash
from engine.queue import Queue
from engine.store import Store, default_store
run = Queue(Store.open(default_store()).queue_path).runs()[0].id

def words(page, table="", **query):
    test = AppTest.from_file("app.py", default_timeout=120)
    for name, value in query.items():
        test.query_params[name] = value
    test._page_hash = calc_hash(page) if page else ""
    test.run()
    if table:
        test.segmented_control(f"behind-{table}").select("Table").run()
    assert not test.exception, test.exception
    seen = ("value", "label", "options", "proto")
    parts = [str(getattr(element, name, "")) for element in test.main for name in seen]
    frames = [" ".join(map(str, [*table.value.columns, *table.value.to_numpy().ravel()])) for table in test.dataframe]
    return " ".join(parts + frames)

start = words("")
assert "Toy bars" in start or "toy bars" in start, "the data set can be chosen"
methods = words("methods")
assert "Toy shrink" in methods, "the method has its card"
klom = words("klom", table="headline", run=run)
assert "toy margin" in klom.lower(), "the metric is a column of the table"
assert "Toy peak" in klom, "the analysis is offered"
print("fine")
"""
    assert call(copy, "-c", script).strip().endswith("fine")
