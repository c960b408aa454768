"""Waiting for a run: who starts the compute process, what Ctrl-C does, what is shown. No process is started here."""

import io

import pytest

from engine.cli import follow
from engine.demo import demo_recipe
from engine.queue import Queue
from engine.store import Store, StoreError

PROGRESS = {"share": 0.25, "seconds_left": 12.3, "doing": ["training originals, models 00000-00020: step 3 of 9"]}


class Process:
    """A compute process that has ended."""

    def poll(self):
        return 1


class World:
    """A store with one run, and a script of what happens at each look at it."""

    def __init__(self, tmp_path, monkeypatch):
        self.store = Store.open(tmp_path / "store")
        self.queue = Queue(self.store.queue_path)
        self.run = self.queue.submit(demo_recipe().to_json(), session="a")
        self.serving = True
        self.started = 0
        self.script = []
        monkeypatch.setattr(follow, "compute_running", lambda _store: self.serving)
        monkeypatch.setattr(follow, "ensure_compute", self._start)
        monkeypatch.setattr(follow.time, "sleep", self._next)

    def _start(self, _store, *, idle_exit):
        assert idle_exit > 0, "nobody ends it: it must end by itself"
        self.started += 1
        return Process()

    def _next(self, _seconds):
        if self.script:
            self.script.pop(0)()

    def works(self):
        self.queue.claim(self.run)
        self.queue.set_progress(self.run, PROGRESS)

    def ends(self, status="done"):
        self.queue.set_status(self.run, status)

    def ctrl_c(self):
        raise KeyboardInterrupt

    def follow(self):
        return follow.until_over(self.store, self.queue, self.run)


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_a_compute_process_that_runs_is_joined(world, capsys):
    world.script = [world.works, world.works, world.ends]
    assert world.follow().status == "done"
    assert world.started == 0
    assert capsys.readouterr().err.splitlines() == [" 25 % training originals"], "one line per stage"


def test_a_compute_process_is_started_and_started_again(world):
    world.serving = False
    world.script = [lambda: None, world.works, world.ends]
    assert world.follow().status == "done"
    assert 2 <= world.started <= 3


def test_one_that_dies_again_and_again_is_given_up(world):
    world.serving = False
    with pytest.raises(StoreError, match=r"died 3 times.*compute\.log.*stays in the queue"):
        world.follow()
    assert world.started == follow.STARTS


def test_ctrl_c_asks_and_waits_and_the_second_stops_at_once(world, capsys):
    presses = []
    world.script = [
        world.works,
        world.ctrl_c,
        lambda: presses.append(world.queue.run(world.run).cancel),
        world.ctrl_c,
        lambda: presses.append(world.queue.run(world.run).cancel),
        lambda: world.ends("cancelled"),
    ]
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    assert presses == [1, 2]
    said = capsys.readouterr().err.splitlines()
    assert said[-3:] == [*follow.INTERRUPTED, f"run {world.run}: cancelled"]


def test_the_third_ctrl_c_no_longer_waits(world):
    world.script = [world.works, world.ctrl_c, world.ctrl_c, world.ctrl_c]
    with pytest.raises(KeyboardInterrupt):
        world.follow()
    assert world.queue.run(world.run).status == "running"
    assert world.queue.run(world.run).cancel == 2


@pytest.mark.parametrize("columns", ["0", "60"])
def test_a_terminal_gets_a_bar_with_share_work_and_time(world, monkeypatch, columns):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", columns)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    world.script = [world.works, lambda: None, world.ends]
    assert world.follow().status == "done"
    shown = terminal.getvalue().split("\r")
    assert any("25 %|" in s and "about 12 s left: training" in s for s in shown)
    assert max(len(s.rstrip("\n")) for s in shown) <= (int(columns) or 80)
    assert "100 %|" in shown[-1]
