"""Running one command inside the test process: its exit status, and what it printed."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.cli import main
from engine.launch import compute_running
from engine.store import Store

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


@pytest.fixture
def command(capsys):
    """Return a function that runs one command line."""

    def run(*arguments):
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as ended:  # what argparse does
            status = ended.code
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


@pytest.fixture
def refused(command):
    """Return a function that runs a bad command line and gives the one line it is refused with."""

    def run(*arguments):
        said = command(*arguments)
        assert said.status == 2, said
        assert said.out == ""
        assert said.err.endswith("\n")
        assert len(said.err.splitlines()) == 1, "one line, for a human and for a script"
        return said.err

    return run


@pytest.fixture
def serving(tmp_path):
    """A store with a compute process of its own: commands in this process find it, and none starts another."""
    store = Store.open(tmp_path / "store")
    line = [sys.executable, "-m", "engine", "compute", "--store", str(store.path)]
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 200
    while not compute_running(store):
        assert time.monotonic() < end, "the compute process starts"
        time.sleep(0.05)
    yield store
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
