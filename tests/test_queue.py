"""The queue: many writers lose nothing, steps are guarded, turns are fair, and trouble is said in words."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.queue import FINISHED, STATUSES, Queue, RunRow, Shelf, fair
from engine.queue import database as database_module
from engine.queue.access import deletable, visible
from engine.queue.database import SCHEMA_VERSION
from engine.records import canonical
from engine.store import Store, StoreError, this_host

ROOT = Path(__file__).resolve().parents[1]
RECIPE = {"seed": 0, "dataset": {"key": "digits"}, "methods": [{"key": "scrub", "lr": 1e-3}]}


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue with space?#%41.sqlite3")


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def in_status(queue: Queue, status: str) -> str:
    run_id = queue.submit(RECIPE, session="a")
    if status in ("running", "done"):
        queue.set_status(run_id, "running")
    if status not in ("queued", "running"):
        queue.set_status(run_id, status, error="because", trace="line 1")
    assert queue.run(run_id).status == status
    return run_id


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_submitted_run_comes_back_as_it_was(queue: Queue) -> None:
    before = time.time()
    run_id = queue.submit(RECIPE, session="tab-1", label="SCRUB on digits")
    row = queue.run(run_id)
    assert len(run_id) == 16
    assert int(run_id, 16) >= 0
    assert before <= row.created == row.heartbeat <= time.time()
    assert dataclasses.asdict(row) == {
        "id": run_id, "session": "tab-1", "label": "SCRUB on digits", "recipe": RECIPE, "status": "queued",
        "created": row.created, "started": None, "finished": None, "cancel": 0, "progress": {}, "error": "",
        "trace": "", "heartbeat": row.created,
    }  # fmt: skip
    assert not row.over
    with contextlib.closing(sqlite3.connect(queue.path)) as connection:
        assert connection.execute("SELECT recipe FROM runs").fetchall() == [(canonical(RECIPE),)]


def test_runs_newest_first_and_unfinished_oldest_first(queue: Queue) -> None:
    ids = [queue.submit(RECIPE, session=session) for session in "aabab"]
    queue.set_status(ids[1], "running")
    queue.set_status(ids[3], "cancelled")
    assert [row.id for row in queue.runs()] == ids[::-1]
    assert [row.id for row in queue.runs(limit=2)] == [ids[4], ids[3]]
    assert [row.id for row in queue.runs(session="b")] == [ids[4], ids[2]]
    assert queue.runs(session="") == []
    assert [row.id for row in queue.unfinished()] == [ids[0], ids[1], ids[2], ids[4]]


def test_write_ahead_log_is_on(queue: Queue) -> None:
    with contextlib.closing(sqlite3.connect(queue.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_no_connection_stays_open(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **named: opened.append(real(*a, **named)) or opened[-1])
    run_id = Queue(queue.path).submit(RECIPE, session="a")
    queue.run(run_id)
    with pytest.raises(StoreError):
        queue.set_status(run_id, "done")
    assert len(opened) == 4
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")


def test_while_the_log_is_kept_open_no_call_folds_it_up(queue: Queue) -> None:
    log = queue.path.with_name(queue.path.name + "-wal")
    queue.submit(RECIPE, session="a")
    assert not log.exists()
    with queue.log_open():
        run_id = queue.submit(RECIPE, session="a")
        assert log.stat().st_size > 0
        assert Queue(queue.path).run(run_id).status == "queued"
    assert not log.exists()
    server = contextlib.ExitStack()
    server.enter_context(queue.log_open())
    queue.submit(RECIPE, session="a")
    another = threading.Thread(target=server.close)
    another.start()
    another.join()
    assert not log.exists(), "any thread may end the block"
    queue.path.unlink()
    with pytest.raises(StoreError), queue.log_open():
        pass


ALLOWED = {
    ("queued", "running"), ("queued", "failed"), ("queued", "cancelled"),
    ("running", "done"), ("running", "failed"), ("running", "cancelled"),
}  # fmt: skip


@pytest.mark.parametrize("found", STATUSES)
@pytest.mark.parametrize("wanted", STATUSES)
def test_statuses_only_move_forward(queue: Queue, found: str, wanted: str) -> None:
    run_id = in_status(queue, found)
    before = queue.run(run_id)
    if found == wanted:
        queue.set_status(run_id, wanted, error="again")
        assert queue.run(run_id) == before
    elif (found, wanted) in ALLOWED:
        queue.set_status(run_id, wanted, error="disk full", trace="line 7")
        row = queue.run(run_id)
        assert (row.status, row.error, row.trace) == (wanted, "disk full", "line 7")
        assert row.heartbeat > before.heartbeat
        assert (row.finished is not None) == row.over == (wanted in FINISHED)
        assert (row.started is not None) == ("running" in (found, wanted))
    else:
        with pytest.raises(StoreError, match=f"is {found} and cannot become {wanted}"):
            queue.set_status(run_id, wanted)
        assert queue.run(run_id) == before


def test_an_unknown_status_is_a_mistake(queue: Queue) -> None:
    with pytest.raises(ValueError, match="status is one of queued, running"):
        queue.set_status(queue.submit(RECIPE, session="a"), "paused")


def test_only_one_of_many_may_claim_a_run(queue: Queue) -> None:
    run_id = queue.submit(RECIPE, session="a")
    won = together([lambda: queue.claim(run_id)] * 6)
    assert sorted(won) == [False] * 5 + [True]
    assert queue.run(run_id).status == "running"
    assert not queue.claim(in_status(queue, "cancelled"))


def test_cancel_counts_presses_of_a_running_run(queue: Queue) -> None:
    run_id = in_status(queue, "running")
    assert [queue.request_cancel(run_id) for _ in range(3)] == [1, 2, 2]
    row = queue.run(run_id)
    assert (row.status, row.cancel) == ("running", 2), "stopping it is the compute process's business"


def test_cancel_ends_a_waiting_run_at_once(queue: Queue) -> None:
    run_id = in_status(queue, "queued")
    assert [queue.request_cancel(run_id) for _ in range(2)] == [1, 0]
    row = queue.run(run_id)
    assert (row.status, row.started) == ("cancelled", None)
    assert row.finished is not None
    assert not queue.claim(run_id)


@pytest.mark.parametrize("found", FINISHED)
def test_cancel_does_nothing_to_a_finished_run(queue: Queue, found: str) -> None:
    run_id = in_status(queue, found)
    before = queue.run(run_id)
    assert queue.request_cancel(run_id) == 0
    assert queue.run(run_id) == before


def test_progress_is_replaced_and_dropped_after_the_end(queue: Queue) -> None:
    run_id = in_status(queue, "running")
    began = queue.run(run_id).heartbeat
    queue.set_progress(run_id, {"done": 1, "total": 9})
    queue.set_progress(run_id, {"done": 2, "parts": {"scrub": 0.5}, "seconds_left": None})
    row = queue.run(run_id)
    assert row.progress == {"done": 2, "parts": {"scrub": 0.5}, "seconds_left": None}
    assert row.heartbeat > began
    queue.set_status(run_id, "cancelled")
    before = queue.run(run_id)
    queue.set_progress(run_id, {"done": 9})
    assert queue.run(run_id) == before


@pytest.mark.parametrize(
    "use",
    [
        lambda q: q.run("ff"),
        lambda q: q.claim("ff"),
        lambda q: q.set_status("ff", "running"),
        lambda q: q.request_cancel("ff"),
        lambda q: q.set_progress("ff", {}),
        lambda q: q.put_result("ff", "scrub", 1, {}),
        lambda q: q.put_frames("ff", "scrub", "0000-0020", []),
        lambda q: q.delete("ff"),
    ],
)
def test_a_run_that_does_not_exist_is_named(queue: Queue, use: Callable[[Queue], object]) -> None:
    with pytest.raises(StoreError, match=r"There is no run ff\. `python -m engine runs` lists them"):
        use(queue)
    assert queue.runs() == queue.results("ff") == queue.frames("ff") == []


@pytest.mark.parametrize(
    "use",
    [
        lambda q, r: q.submit({"lr": float("nan")}, session="a"),
        lambda q, r: q.set_progress(r, {"left": float("inf")}),
        lambda q, r: q.put_result(r, "scrub", 1, {"klom": float("nan")}),
        lambda q, r: q.put_frames(r, "scrub", "whole", [{"loss": float("nan")}]),
        lambda q, r: q.remember("x", float("nan")),
    ],
)
def test_numbers_that_are_not_finite_never_get_in(queue: Queue, use: Callable[[Queue, str], object]) -> None:
    run_id = queue.submit(RECIPE, session="a")
    with pytest.raises(ValueError, match="not JSON compliant"):
        use(queue, run_id)
    assert len(queue.runs()) == 1


# --- results, frames, heartbeat, notes --------------------------------------------------------------------------------


def test_more_models_win_over_what_arrives_later(queue: Queue) -> None:
    run_id = queue.submit(RECIPE, session="a")
    for models in (2, 4, 3):  # workers may finish out of turn
        queue.put_result(run_id, "scrub", models, {"klom": models})
    assert [row.models for row in queue.results(run_id)] == [4]


def test_questions_are_asked_worked_on_answered_and_taken_back(queue: Queue) -> None:
    request = {"kind": "data", "dataset": {"key": "digits"}}
    first = queue.ask(request)
    assert queue.questions() == [(first, request)]
    assert queue.question_progress(first) == {}
    queue.note_progress(first, {"share": 0.5, "message": "reading", "seconds": 2})
    assert queue.question_progress(first)["share"] == 0.5
    assert queue.answer_to(first) is None
    queue.answer(first, {"info": 1})
    assert queue.answer_to(first) == {"info": 1}
    assert (queue.question_progress(first), queue.questions()) == (None, [])
    assert queue.ask(request, afresh=False) == first
    assert queue.answer_to(first) == {"info": 1}, "a sign that somebody waits keeps the answer"
    assert queue.ask(request) == first
    assert queue.answer_to(first) is None, "asking afresh drops it"
    queue.withdraw(first)
    assert (queue.withdrawn(), queue.questions(), queue.question_progress(first)) == ([first], [], None)
    queue.drop(first)
    assert queue.withdrawn() == []
    queue.withdraw(queue.ask(request))
    queue.ask(request)
    queue.drop(first)
    assert queue.questions() == [(first, request)], "asked again before it was dropped"


def test_a_question_whose_visitor_left_is_dropped_unless_work_began(queue: Queue, monkeypatch) -> None:
    left, begun = queue.ask({"kind": "a"}), queue.ask({"kind": "b"})
    queue.note_progress(begun, {"share": 0.1})
    monkeypatch.setattr("engine.queue.questions.PATIENCE", -1.0)
    assert [name for name, _ in queue.questions()] == [begun]
    monkeypatch.setattr("engine.queue.questions.ANSWER_SECONDS", -1.0)
    queue.answer(queue.ask({"kind": "c"}), {})
    assert queue.question_progress(left) is None


def test_notes_with_a_time_are_swept(queue: Queue) -> None:
    queue.remember("draft:old", {"at": 1.0})
    queue.remember("draft:new", {"at": time.time()})
    queue.remember("other", {"at": 1.0})
    queue.sweep("draft:", older=60)
    assert queue.recall("draft:old") is None
    assert queue.recall("draft:new")
    assert queue.recall("other")


def test_the_shelf_keeps_sets_by_content(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "queue.sqlite")
    draft = shelf.save(data_hash="d", data_name="digits", indices=np.array([5, 3, 4, 9]))
    assert (draft.indices, draft.size, draft.name) == ("3-5,9", 4, "")
    assert draft.numbers().tolist() == [3, 4, 5, 9]
    assert shelf.named() == []
    same = shelf.save(data_hash="d", data_name="digits", indices=np.array([9, 3, 4, 5]), name="mine", owner="me")
    assert (same.id, same.name) == (draft.id, "mine")
    assert shelf.save(data_hash="d", data_name="digits", indices=np.array([9, 3, 4, 5])).name == "mine"
    other = shelf.save(data_hash="e", data_name="digits", indices=np.array([9, 3, 4, 5]), name="there")
    assert other.id != draft.id
    assert [s.name for s in shelf.named("d")] == ["mine"]
    shelf.rename(draft.id, "yours")
    assert shelf.saved(draft.id).name == "yours"
    shelf.remove(draft.id)
    assert shelf.saved(draft.id) is None


def test_selections_without_a_name_are_swept(tmp_path: Path, monkeypatch) -> None:
    shelf = Shelf(tmp_path / "queue.sqlite")
    old = shelf.save(data_hash="d", data_name="digits", indices=np.array([1]))
    named = shelf.save(data_hash="d", data_name="digits", indices=np.array([2]), name="kept")
    monkeypatch.setattr("engine.queue.shelf.DRAFT_SECONDS", -1.0)
    with pytest.raises(StoreError, match="vanished"):
        shelf.save(data_hash="d", data_name="digits", indices=np.array([3]))
    assert shelf.saved(old.id) is None
    assert shelf.saved(named.id)


def test_notes_on_runs_go_with_them(queue: Queue) -> None:
    shelf = Shelf(queue.path)
    run_id = queue.submit(RECIPE, session="a")
    assert shelf.note(run_id).tags == ()
    shelf.put_note(run_id, tags=["good", " good ", "", "x" * 60], text=" fine\n")
    assert shelf.note(run_id).tags == ("good", "x" * 40)
    assert shelf.notes([run_id, "other"])[run_id].text == "fine"
    with pytest.raises(StoreError, match="no run"):
        shelf.put_note("0" * 16, text="x")
    queue.request_cancel(run_id)
    queue.delete(run_id)
    assert shelf.notes([run_id]) == {}


def test_an_upload_is_its_owners_until_shared(tmp_path: Path) -> None:
    shelf, sha = Shelf(tmp_path / "queue.sqlite"), "a" * 64
    mine = shelf.add_upload(sha, owner="me", name="../../cats.zip", kind=".zip", size=7)
    assert mine.file == f"{sha}.zip"
    assert (shelf.uploads("you"), [u.id for u in shelf.uploads("me")]) == ([], [sha])
    shelf.share_upload(sha, owner="you", shared=True)
    assert shelf.uploads("you") == [], "only its owner can share it"
    shelf.share_upload(sha, owner="me", shared=True)
    assert [u.name for u in shelf.uploads("you")] == ["../../cats.zip"]
    shelf.add_upload(sha, owner="you", name="same", kind=".zip", size=7)
    assert [u.name for u in shelf.uploads("you")] == ["same"], "the same bytes are listed once, one's own first"
    assert not shelf.remove_upload(sha, owner="me"), "somebody else still holds it"
    assert shelf.remove_upload(sha, owner="you")
    assert shelf.upload(sha) is None


def test_results_are_the_latest_of_each_method_or_all(queue: Queue) -> None:
    run_id, other = (queue.submit(RECIPE, session="a") for _ in range(2))
    for method, models, klom in (("scrub", 20, 9.0), ("ascent", 20, 8.0), ("scrub", 40, 7.0), ("scrub", 60, 6.0)):
        queue.put_result(run_id, method, models, {"klom": klom})
    queue.put_result(other, "scrub", 100, {"klom": 0.0})
    latest = [(row.method_id, row.models, row.payload) for row in queue.results(run_id)]
    assert latest == [("ascent", 20, {"klom": 8.0}), ("scrub", 60, {"klom": 6.0})]
    assert [row.models for row in queue.results(run_id, latest=False)] == [20, 20, 40, 60]
    queue.put_result(run_id, "scrub", 20, {"klom": 9.5})
    assert [(row.models, row.payload["klom"]) for row in queue.results(run_id)] == [(20, 8.0), (60, 6.0)]
    again = [row.payload["klom"] for row in queue.results(run_id, latest=False)]
    assert again == [8.0, 7.0, 6.0, 9.5], "a chunk that is done twice counts once"


def test_the_version_of_results_grows_with_every_change(queue: Queue) -> None:
    run_id, other = (queue.submit(RECIPE, session="a") for _ in range(2))
    versions = [queue.results_version(run_id)]
    for klom in (9.0, 8.0, 8.0):
        queue.put_result(run_id, "scrub", 20, {"klom": klom})
        versions.append(queue.results_version(run_id))
    assert versions == sorted(set(versions)), "also where a result is replaced"
    queue.put_result(other, "scrub", 20, {"klom": 1.0})
    assert (versions[0], queue.results_version(run_id)) == (0, versions[-1])


def test_frames_are_kept_by_method_and_chunk(queue: Queue) -> None:
    run_id = queue.submit(RECIPE, session="a")
    queue.put_frames(run_id, "scrub", "0020-0040", [{"step": 0}])
    queue.put_frames(run_id, "scrub", "0000-0020", [{"step": 0}])
    queue.put_frames(run_id, "ascent", "0000-0020", [])
    queue.put_frames(run_id, "scrub", "0020-0040", [{"step": 0}, {"step": 5}])
    found = [(row.method_id, row.chunk, row.frames) for row in queue.frames(run_id)]
    assert found == [
        ("ascent", "0000-0020", ()),
        ("scrub", "0000-0020", ({"step": 0},)),
        ("scrub", "0020-0040", ({"step": 0}, {"step": 5})),
    ]
    assert [row.chunk for row in queue.frames(run_id, "scrub")] == ["0000-0020", "0020-0040"]


def test_deleting_takes_results_and_frames_along(queue: Queue) -> None:
    gone, kept = in_status(queue, "done"), in_status(queue, "done")
    for run_id in (gone, kept):
        queue.put_result(run_id, "scrub", 20, 1)
        queue.put_frames(run_id, "scrub", "whole", [{}])
    queue.delete(gone)
    assert [row.id for row in queue.runs()] == [kept]
    assert queue.results(gone) == queue.frames(gone) == []
    assert len(queue.results(kept)) == len(queue.frames(kept)) == 1
    for status in ("queued", "running"):
        with pytest.raises(StoreError, match=f"is {status}. Cancel it before deleting it"):
            queue.delete(in_status(queue, status))


def test_the_compute_process_lives_while_it_beats(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    assert queue.compute() is None
    queue.beat(device="cpu", workers=2, state="idle")
    queue.beat(device="cpu", workers=2, state="busy", message="training")
    row = queue.compute()
    assert (row.pid, row.host, row.device, row.workers) == (os.getpid(), this_host(), "cpu", 2)
    assert (row.state, row.message, row.alive) == ("busy", "training", True)
    assert 0 <= row.age < 15
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    late = queue.compute()
    assert 59 < late.age < 61
    assert not late.alive
    monkeypatch.setattr(time, "time", lambda: now - 60)
    assert queue.compute().age == 0, "a clock set back is no age"


def test_a_dead_compute_process_is_seen_at_once_on_this_host(queue: Queue) -> None:
    with python("pass") as child:
        child.wait()
    queue.beat(pid=child.pid, device="cpu", workers=2, state="busy")
    assert not queue.compute().alive
    queue.beat(pid=child.pid, host="elsewhere", device="cuda", workers=2, state="busy")
    assert queue.compute().alive, "of another host only the heartbeat is known"
    queue.beat(device="cpu", workers=2, state="stopped")
    assert not queue.compute().alive


def test_notes_are_remembered(queue: Queue) -> None:
    assert queue.recall("probe") is None
    queue.remember("probe", {"stacked": 0.1})
    queue.remember("probe", {"stacked": 0.2, "list": [1, None]})
    assert Queue(queue.path).recall("probe") == {"stacked": 0.2, "list": [1, None]}


# --- many at once -----------------------------------------------------------------------------------------------------


def together(works: list[Callable[[], object]]) -> list[object]:
    """Run all in threads that start at the same moment; return what each returned, raise what any raised."""
    gate, out = threading.Barrier(len(works)), [None] * len(works)

    def one(i: int) -> None:
        gate.wait()
        try:
            out[i] = works[i]()
        except StoreError as error:
            out[i] = error

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in out:
        if isinstance(found, Exception):
            raise found
    return out


BUSY = """
import sys
from pathlib import Path
from engine.queue import Queue
print("ready", flush=True)
sys.stdin.readline()
queue = Queue(Path(sys.argv[1]))
for i in range(25):
    run = queue.submit({"number": i}, session=sys.argv[2])
    queue.set_status(run, "running")
    queue.set_progress(run, {"done": i})
    queue.put_result(run, "scrub", i, {"klom": i})
    queue.set_status(run, "done")
"""


def test_processes_and_threads_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(python(BUSY, path, f"process {i}")) for i in range(2)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        queue = Queue(path)

        def work(name: str) -> list[str]:
            own = [queue.submit({"number": i}, session=name) for i in range(15)]
            for i, run_id in enumerate(own):
                queue.put_result(run_id, "scrub", i, {"klom": i})
                queue.runs(limit=5)
            return own

        together([lambda name=f"thread {i}": work(name) for i in range(4)])
        assert [process.wait() for process in processes] == [0, 0]
    rows = queue.runs(limit=1000)
    assert len(rows) == 2 * 25 + 4 * 15
    for session, many in [("process 0", 25), ("process 1", 25), *((f"thread {i}", 15) for i in range(4))]:
        own = [row for row in rows if row.session == session][::-1]
        assert [row.recipe["number"] for row in own] == list(range(many))
        for i, row in enumerate(own):
            assert [(r.models, r.payload) for r in queue.results(row.id)] == [(i, {"klom": i})]
            assert row.status == ("done" if session.startswith("process") else "queued")
            assert row.progress == ({"done": i} if session.startswith("process") else {})


def test_presses_from_many_threads_are_all_counted(queue: Queue) -> None:
    run_id = in_status(queue, "running")
    assert sorted(together([lambda: queue.request_cancel(run_id)] * 5)) == [1, 2, 2, 2, 2]


def test_a_change_has_its_turn_to_write_from_its_first_look(queue: Queue) -> None:
    """Else two that both look first would both be told to start over."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT count(*) FROM runs").fetchone()
        with contextlib.closing(sqlite3.connect(queue.path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
        queue._database._once(work)
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_BUSY


KILLED = """
import sys
from pathlib import Path
from engine.queue import Queue
queue = Queue(Path(sys.argv[1]))
def work(connection):
    connection.execute("UPDATE runs SET label = 'half'")
    print("half", flush=True)
    sys.stdin.readline()
queue._database.change(work)
"""


def test_a_process_killed_in_the_middle_of_a_change_changes_nothing(queue: Queue) -> None:
    run_id = queue.submit(RECIPE, session="a", label="whole")
    with python(KILLED, queue.path) as child:
        assert child.stdout.readline() == "half\n"
        assert queue.run(run_id).label == "whole", "readers do not wait for writers, nor see them half done"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert queue.run(run_id).label == "whole"
    assert queue.claim(run_id)


# --- turns ------------------------------------------------------------------------------------------------------------


def row(number: int, session: str) -> RunRow:
    return RunRow(
        id=f"{number:016x}", session=session, label="", recipe={}, status="queued", created=float(number), started=None,
        finished=None, cancel=0, progress={}, error="", trace="", heartbeat=float(number),
    )  # fmt: skip


def names(rows: list[RunRow]) -> str:
    return " ".join(f"{row.session}{int(row.created)}" for row in rows)


def test_sessions_take_turns_oldest_first() -> None:
    rows = [row(i, session) for i, session in enumerate("aaabac")]
    assert names(fair(rows)) == "a0 b3 c5 a1 a2 a4"
    assert names(fair(rows[::-1])) == "a0 b3 c5 a1 a2 a4"
    assert names(fair(rows, served={"a": 9.0})) == "b3 c5 a0 a1 a2 a4"
    assert names(fair(rows, served={"a": 1.0, "b": 2.0, "c": 3.0})) == names(fair(rows))
    assert fair([]) == []


@given(st.lists(st.sampled_from("abcd"), max_size=30))
def test_turns_serve_everybody_once_per_round(sessions: list[str]) -> None:
    rows = [row(i, session) for i, session in enumerate(sessions)]
    turns = fair(rows)
    assert sorted(r.id for r in turns) == [r.id for r in rows]
    for session in set(sessions):
        own = [i for i, r in enumerate(turns) if r.session == session]
        assert [turns[i].created for i in own] == sorted(r.created for r in rows if r.session == session)
        for k, place in enumerate(own):
            assert place < (k + 1) * len(set(sessions)), "nobody has more than k turns before my k-th"


def test_a_session_with_many_runs_does_not_keep_others_waiting(queue: Queue) -> None:
    for session in "aaaabb":
        queue.submit(RECIPE, session=session)
    order = ""
    while waiting := queue.in_turn():
        assert queue.claim(waiting[0].id)
        queue.set_status(waiting[0].id, "done")
        order += waiting[0].session
    assert order == "ababaa"


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 100, 4096])
def test_a_damaged_file_is_left_alone_and_named(queue: Queue, where: int) -> None:
    for _ in range(50):
        queue.submit({**RECIPE, "text": "x" * 2000}, session="a")
    data = bytearray(queue.path.read_bytes())
    data[where : where + 3000] = b"\xa5" * 3000
    queue.path.write_bytes(data)

    def use() -> None:
        Queue(queue.path).runs()
        queue.submit(RECIPE, session="a")

    with pytest.raises(StoreError, match=r"is damaged .* move that file away and start again: .* used again"):
        use()
    assert queue.path.read_bytes() == data


def test_an_unknown_version_or_another_programs_file_is_refused(queue: Queue, tmp_path: Path) -> None:
    for version in (SCHEMA_VERSION - 1, SCHEMA_VERSION + 1):
        with contextlib.closing(sqlite3.connect(queue.path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(
            StoreError, match=rf"has version {version}; this Forgetscope reads version {SCHEMA_VERSION}\."
        ):
            Queue(queue.path)
    other = tmp_path / "photos.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE photos (name)")
    before = other.read_bytes()
    with pytest.raises(StoreError, match="has version 0"):
        Queue(other)
    assert other.read_bytes() == before


def test_a_folder_or_file_that_is_gone_is_not_made_anew(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be opened\. Check that its folder exists"):
        Queue(tmp_path / "nowhere" / "queue.sqlite3")
    queue.path.unlink()
    with pytest.raises(StoreError, match="cannot be opened"):
        queue.runs()
    assert not queue.path.exists()


def test_a_file_that_stays_busy_is_reported(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "PATIENCE", 0.05)
    with contextlib.closing(sqlite3.connect(queue.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"has been busy for over 0.05 seconds\. Try again"):
            queue.submit(RECIPE, session="a")
        assert queue.runs() == []
    queue.submit(RECIPE, session="a")
    assert len(queue.runs()) == 1


def test_waiting_for_others_is_patient(queue: Queue) -> None:
    """What SQLite refuses at once (another connection folds up the log) is tried again."""
    tries = []

    def work(connection: sqlite3.Connection) -> str:
        tries.append(1)
        if len(tries) < 4:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return "done"

    assert queue._database.change(work) == "done"
    assert len(tries) == 4


def test_a_full_disk_is_named_and_keeps_what_was_there(queue: Queue) -> None:
    run_id = queue.submit(RECIPE, session="a")

    def work(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        connection.execute("UPDATE runs SET label = 'half'")
        connection.execute("UPDATE runs SET trace = ?", ("x" * 1_000_000,))

    with pytest.raises(StoreError, match=r"The disk is full: .* delete runs"):
        queue._database.change(work)
    assert queue.run(run_id).label == ""
    queue.set_progress(run_id, {"done": 1})


WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from engine.queue import Queue
from engine.store import StoreError
if os.geteuid() == 0:  # root may write everywhere
    os.setresuid(65534, 65534, 65534)
try:
    Queue(Path(sys.argv[1])).submit({}, session="a")
except StoreError as error:
    print(error)
"""


def test_a_file_that_may_not_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        queue = Queue(Path(folder) / "queue.sqlite3")
        run_id = queue.submit(RECIPE, session="a")
        queue.path.chmod(0o444)
        Path(folder).chmod(0o555)
        with python(WITHOUT_RIGHTS, queue.path) as child:
            said = child.stdout.read()
        Path(folder).chmod(0o755)
        assert "cannot be written" in said or "cannot be opened" in said, said
        assert "this user" in said
        assert [row.id for row in queue.runs()] == [run_id]


def test_a_run_on_a_private_upload_is_its_owners_and_that_of_the_one_who_started_it(tmp_path: Path) -> None:
    store, sha, other = Store.open(tmp_path), "a" * 64, "b" * 64
    queue, shelf = Queue(store.queue_path), Shelf(store.queue_path)
    owner, guest, stranger = "1" * 32, "2" * 32, "3" * 32
    for one in (sha, other):
        shelf.add_upload(one, owner=owner, name="cats.zip", kind=".zip", size=7)
    folder = {**RECIPE, "dataset": {"key": "folder", "path": str(store.uploads / f"{sha}.zip")}}
    public = queue.submit(RECIPE, session=owner)
    private = queue.submit(folder, session=guest)
    elsewhere = queue.submit({**RECIPE, "dataset": {"key": "folder", "path": f"/data/{sha}.zip"}}, session=owner)

    def seen(visitor: str) -> set[str]:
        return {row.id for row in visible(store, shelf, visitor, queue.runs())}

    assert seen(owner) == seen(guest) == {public, private, elsewhere}
    assert seen(stranger) == seen("") == {public, elsewhere}, "a path that only looks like an upload's hides nothing"
    shelf.share_upload(other, owner=owner, shared=True)
    assert seen(stranger) == {public, elsewhere}, "another upload was shared"
    shelf.share_upload(sha, owner=owner, shared=True)
    assert seen(stranger) == {public, private, elsewhere}
    shelf.remove_upload(sha, owner=owner)
    assert (seen(stranger), seen(guest)) == ({public, elsewhere}, {public, private, elsewhere}), "shared no longer"


def test_only_who_started_a_run_may_delete_it(queue: Queue) -> None:
    mine, other = "1" * 32, "2" * 32
    row = queue.run(queue.submit(RECIPE, session=mine))
    assert (deletable(row, mine, local=False), deletable(row, other, local=True)) == (True, False)
    typed = queue.run(queue.submit(RECIPE, session="cli:me@here:7"))
    assert (deletable(typed, mine, local=True), deletable(typed, mine, local=False)) == (True, False)
