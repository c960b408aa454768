"""`run` from a shell: joins or starts a compute process, survives its death, stops on Ctrl-C, and says how it ended."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.cli import main
from engine.launch import compute_running
from engine.queue import Queue
from engine.store import Store

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--models", "4", "--chunk", "2", "--epochs", "1", "--model", "mlp:hidden=8", "--strategy", "stacked")
pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]


def until(condition, what, seconds=240.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


@pytest.fixture
def recipe(tmp_path, capsys):
    """Return a function that writes a tiny recipe to a file; ``changes`` replace whole parts of it."""

    def write(*flags, **changes):
        assert main(["recipe", *TINY, "--methods", "do_nothing", *flags]) == 0
        path = tmp_path / "recipe.json"
        path.write_text(json.dumps({**json.loads(capsys.readouterr().out), **changes}))
        return path

    return write


@pytest.fixture
def shell(store):
    """Return a function that starts ``run`` in a process group of its own, as a shell does; what is left is ended."""
    started = []

    def start(path, *flags):
        line = [sys.executable, "-m", "engine", "run", str(path), "--store", str(store.path), *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # Tests run in a script's background ignore Ctrl-C, and so would what they start.
        heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        started.append(subprocess.Popen(line, cwd=ROOT, start_new_session=True, preexec_fn=heed, **pipes))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    beat = Queue(store.queue_path).compute()
    if beat is not None and beat.alive:
        os.kill(beat.pid, signal.SIGTERM)
    until(lambda: not compute_running(store), "the compute process to end")


def working(queue):
    """Return the only run once its training is under way."""
    (row,) = queue.runs() or [None]
    return row if row and any("step" in words for words in row.progress.get("doing", [])) else None


def test_ctrl_c_stops_the_run_and_exits_with_130(shell, store, recipe):
    process = shell(recipe("--epochs", "1000"))
    queue = Queue(store.queue_path)
    row = until(lambda: working(queue), "training to begin")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert out == ""
    assert "Ctrl-C again" in err
    assert f"run {row.id}: cancelled" in err
    assert "Traceback" not in err
    assert queue.run(row.id).status == "cancelled"


def test_a_compute_process_that_dies_is_replaced_and_the_run_ends_well(shell, store, recipe):
    process = shell(recipe("--epochs", "12"), "--json")
    queue = Queue(store.queue_path)
    (row,) = until(lambda: [r for r in queue.unfinished() if r.status == "running"], "the run to begin")
    first = queue.compute().pid
    os.kill(first, signal.SIGKILL)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert json.loads(out)["run"] == row.id
    assert queue.compute().pid != first


def test_a_run_that_fails_or_is_cancelled_exits_with_1_and_one_plain_line(shell, store, recipe, tmp_path):
    process = shell(recipe(dataset={"key": "folder", "path": str(tmp_path / "nowhere")}))
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1] == f"error: {tmp_path / 'nowhere'}: there is no such folder or archive"
    assert "Traceback" not in err

    process = shell(recipe("--epochs", "1000"))
    queue = Queue(store.queue_path)
    row = until(lambda: [r for r in queue.unfinished() if r.progress.get("doing")], "work to begin")[0]
    assert main(["cancel", row.id, "--store", str(store.path)]) == 0
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (1, "")
    assert f"run {row.id} was cancelled" in err.splitlines()[-1]


def test_a_method_that_diverges_is_named_and_the_others_are_measured(shell, recipe):
    process = shell(recipe("--methods", "gradient_ascent:lr=1.0:epochs=100:ceiling=0,do_nothing"), "--json")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    found = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert "diverged at step" in found["stopped"]["gradient_ascent"]
    assert [(r["method"], r["split"]) for r in found["results"]] == [
        ("do_nothing", split) for split in ("forget", "retain", "test")
    ]
    assert all(number is not None for floor in found["floor"].values() for number in floor.values())
