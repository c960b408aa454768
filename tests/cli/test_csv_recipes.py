"""Tables from a shell: which column to predict, and one run from an empty store to its results."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import main
from engine.launch import compute_running
from engine.queue import Queue
from engine.store import Store

ROOT = Path(__file__).resolve().parents[2]
ROWS = "age,job,income\n" + "".join(f"{20 + i},{'ab'[i % 2]},{'xy'[i % 3 > 0]}\n" for i in range(30))


def test_a_table_wants_its_target_and_says_which_columns_there_are(tmp_path, capsys):
    path = tmp_path / "people.csv"
    path.write_text(ROWS)
    assert main(["recipe", "--dataset", str(path)]) == 2
    assert "people.csv:target=NAME (columns: age, job, income)" in capsys.readouterr().err
    assert main(["recipe", "--dataset", f"{path}:target=income"]) == 0
    printed = json.loads(capsys.readouterr().out)["dataset"]
    assert printed == {"key": "csv", "per_class": 0, "path": str(path), "target": "income"}
    assert main(["recipe", "--dataset", str(tmp_path / "gone.csv")]) == 2
    assert "there is no such file" in capsys.readouterr().err


@pytest.mark.alone
def test_iris_runs_from_an_empty_store_to_its_results(tmp_path, capsys):
    store = Store.open(tmp_path / "store")
    flags = ("--models", "4", "--chunk", "4", "--epochs", "20", "--strategy", "stacked", "--forget", "random:6")
    assert main(["recipe", "--dataset", "iris", "--model", "logistic", *flags, "--methods", "do_nothing"]) == 0
    path = tmp_path / "recipe.json"
    path.write_text(capsys.readouterr().out)

    def run(*more):
        line = [sys.executable, "-m", "engine", "run", str(path), "--store", str(store.path), *more]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)

    try:
        found = json.loads(run("--json").stdout)
        assert {(r["split"], r["models"]) for r in found["results"]} == {("forget", 4), ("retain", 4), ("test", 4)}
        assert min(r["accuracy"] for r in found["results"]) > 0.8, "standardised, so it learns"
        path.write_text(json.dumps({**found["recipe"], "model": {"key": "cnn"}}))
        refused = run()
        assert refused.returncode == 1
        assert "needs pictures, and this data set is a table with 4 values a row" in refused.stderr
    finally:
        beat = Queue(store.queue_path).compute()
        if beat is not None and compute_running(store):
            os.kill(beat.pid, signal.SIGTERM)
