"""The queue from the command line: the list of runs, and cancelling where no compute process is there to help."""

import json
import os

import pytest

from engine.demo import demo_recipe
from engine.launch import AlreadyRunning, compute_lock, compute_running
from engine.queue import Queue
from engine.store import Store

RECIPE = demo_recipe().to_json()


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


@pytest.fixture
def queue(store):
    return Queue(store.queue_path)


def test_an_empty_list_says_how_to_begin(command, store):
    assert "python -m engine recipe" in command("runs", "--store", store.path).out
    assert json.loads(command("runs", "--store", store.path, "--json").out) == []


def test_the_list_of_runs(command, store, queue):
    first = queue.submit(RECIPE, session="a", label="demo")
    queue.claim(first)
    queue.set_progress(first, {"share": 0.25})
    second = queue.submit({"strange": 1}, session="b")
    queue.set_status(second, "failed", error="a recipe\nneeds a format")
    lines = command("runs", "--store", store.path).out.splitlines()
    assert lines[1].split()[:2] == [second, "failed"]
    assert "a recipe needs a format" in lines[1]
    assert lines[2].split()[:4] == [first, "running", "25", "%"]
    assert "digits, mlp, random" in lines[2]
    assert "no compute process" in lines[3]
    queue.beat(pid=os.getpid(), device="cpu", workers=2, state="busy")
    assert f"compute process {os.getpid()}" in command("runs", "--store", store.path).out
    found = json.loads(command("runs", "--store", store.path, "--json").out)
    assert [(r["run"], r["status"]) for r in found] == [(second, "failed"), (first, "running")]
    assert found[1]["recipe"] == RECIPE


def test_a_run_that_waits_is_cancelled_at_once(command, store, queue):
    run = queue.submit(RECIPE, session="a")
    assert command("cancel", run[:6], "--store", store.path).out == f"run {run} is cancelled\n"
    assert queue.run(run).status == "cancelled"
    assert command("cancel", run, "--store", store.path).out == f"run {run} is already cancelled\n"


def test_a_run_whose_compute_process_died_is_cancelled_at_once(command, store, queue):
    run = queue.submit(RECIPE, session="a")
    queue.claim(run)
    assert command("cancel", run, "--store", store.path).out == f"run {run} is cancelled\n"
    assert queue.run(run).status == "cancelled"


def test_a_run_that_is_worked_on_is_asked_and_then_stopped(command, store, queue):
    run = queue.submit(RECIPE, session="a")
    queue.claim(run)
    with compute_lock(store):
        assert "stops between two steps" in command("cancel", run, "--store", store.path).out
        assert "is stopped at once" in command("cancel", run, "--store", store.path).out
    assert queue.run(run).cancel == 2
    assert queue.run(run).status == "running", "only the compute process may say that it has stopped"


def test_which_run_must_be_clear(refused, store, queue):
    assert "no run begins with 'ffff'" in refused("cancel", "ffff", "--store", store.path)
    first = queue.submit(RECIPE, session="a")
    assert "no run begins with ''" in refused("cancel", "", "--store", store.path)
    others = {first[0]: 1}
    while max(others.values()) < 2:
        run = queue.submit(RECIPE, session="a")
        others[run[0]] = others.get(run[0], 0) + 1
    shared = max(others, key=others.get)
    assert f"2 runs begin with '{shared}'" in refused("cancel", shared, "--store", store.path)
    assert {row.status for row in queue.runs()} == {"queued"}


def test_a_folder_that_is_no_store_fails_in_one_line(command, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    said = command("runs", "--store", tmp_path)
    assert said.status == 1
    assert "is not a store and not empty" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_scheduler_that_is_not_there_fails_in_one_line(command, store):
    said = command("compute", "--store", store.path, "--scheduler", "nonsense://127.0.0.1:1")
    assert said.status == 1
    assert "cannot reach the scheduler nonsense" in said.err
    assert len(said.err.splitlines()) == 1


def test_looking_does_not_keep_a_compute_process_out(store, monkeypatch):
    """Whoever asks holds the lock for a moment; a process that starts in that moment must not take it for a rival."""
    with compute_lock(store):
        assert compute_running(store)
        with pytest.raises(AlreadyRunning), compute_lock(store, patience=0.01):
            pass
    looks = []
    look = compute_lock(store)
    look.__enter__()

    def pause(_seconds):
        looks.append(1)
        look.__exit__(None, None, None)

    monkeypatch.setattr("engine.launch.time.sleep", pause)
    with compute_lock(store, patience=60):
        assert looks == [1]
