"""The queue: where pages, the command line and the compute process meet."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.queue.database import Database
from engine.queue.questions import Questions
from engine.queue.rows import FINISHED, STATUSES, ComputeRow, FramesRow, ResultRow, RunRow, Status, fair, run_row
from engine.records import canonical
from engine.store import StoreError, this_host

_ALLOWED: dict[Status, tuple[Status, ...]] = {
    "queued": ("queued", "running", "failed", "cancelled"),
    "running": ("running", "done", "failed", "cancelled"),
    "done": ("done",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
}

USES = "uses:"
"""What the name of a note on the parts that a run needs begins with; see :mod:`engine.queue.uses`."""


class Queue(Questions):
    """Runs, their progress and results, and the compute process's heartbeat, in one SQLite file.

    Safe to share between threads and to open from many processes of one host at once: every call opens the file, does
    one short transaction and closes it. Every method raises :class:`engine.store.StoreError` in plain words when the
    file is busy for over ten seconds, damaged, read-only, gone, or the disk is full; what was written before is kept.

    JSON given to it must be plain and finite (``ValueError`` otherwise): write ``None`` for a number that is not.
    """

    def __init__(self, path: Path) -> None:
        """Open the queue at ``path`` (:attr:`engine.store.Store.queue_path`), making it if there is none.

        Raises:
            StoreError: the file is no queue, of an unknown version, damaged or not writable.
        """
        self.path = Path(path)
        self._database = Database(self.path)
        self._database.create()

    def log_open(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which many calls are cheap; see :meth:`engine.queue.database.Database.log_open`."""
        return self._database.log_open()

    def submit(self, recipe_json: Mapping[str, Any], *, session: str, label: str = "") -> str:
        """Add a run at the end and return its id, 16 hex digits; ``session`` says whose turn it takes."""
        run_id = secrets.token_hex(8)
        recipe = canonical(dict(recipe_json))

        def work(connection: sqlite3.Connection) -> None:
            now = time.time()
            connection.execute(
                "INSERT INTO runs (id, session, label, recipe, status, created, heartbeat) "
                "VALUES (?, ?, ?, ?, 'queued', ?, ?)",
                (run_id, session, label, recipe, now, now),
            )

        self._database.change(work)
        return run_id

    def run(self, run_id: str) -> RunRow:
        """Return one run.

        Raises:
            StoreError: there is no such run.
        """
        rows = self._database.look("SELECT * FROM runs WHERE id = ?", (run_id,))
        if not rows:
            raise _no_run(run_id)
        return run_row(rows[0])

    def runs(self, *, limit: int = 200, session: str | None = None) -> list[RunRow]:
        """Return the newest ``limit`` runs, newest first; of one session only if it is given."""
        rows = self._database.look(
            "SELECT * FROM runs WHERE ?1 IS NULL OR session = ?1 ORDER BY number DESC LIMIT ?2", (session, limit)
        )
        return [run_row(row) for row in rows]

    def unfinished(self) -> list[RunRow]:
        """Return the runs that are queued or running, oldest first."""
        rows = self._database.look("SELECT * FROM runs WHERE status IN ('queued', 'running') ORDER BY number")
        return [run_row(row) for row in rows]

    def served(self) -> dict[str, float]:
        """Return, by session, the Unix time at which one of its runs last began."""
        rows = self._database.look("SELECT session, max(started) AS last FROM runs WHERE started > 0 GROUP BY session")
        return {row["session"]: row["last"] for row in rows}

    def in_turn(self) -> list[RunRow]:
        """Return the unfinished runs in the order in which sessions take turns; the first is the next to serve."""
        return fair(self.unfinished(), served=self.served())

    def claim(self, run_id: str) -> bool:
        """Start a queued run; ``False`` if it is not queued any more (cancelled, or begun by another process).

        Raises:
            StoreError: there is no such run.
        """

        def work(connection: sqlite3.Connection) -> bool:
            if _status(connection, run_id) != "queued":
                return False
            _move(connection, run_id, "running")
            return True

        return self._database.change(work)

    def set_status(self, run_id: str, status: Status, *, error: str = "", trace: str = "") -> None:
        """Move a run along: queued, running, then done, failed or cancelled. Setting a status twice is no error.

        Raises:
            StoreError: there is no such run, or the step is not allowed (a finished run stays as it ended; one that is
                running cannot be queued; one that never ran cannot be done).
        """
        if status not in STATUSES:
            raise ValueError(f"a run's status is one of {', '.join(STATUSES)}, not {status!r}")

        def work(connection: sqlite3.Connection) -> None:
            before = _status(connection, run_id)
            if status not in _ALLOWED[before]:
                raise StoreError(f"Run {run_id} is {before} and cannot become {status}. Start it again as a new run.")
            if before != status:
                _move(connection, run_id, status, error=error, trace=trace)

        self._database.change(work)

    def request_cancel(self, run_id: str) -> int:
        """Press cancel and return how often it has been pressed: 1 asks to stop, 2 to kill, 0 means it was over.

        A run that still waits is cancelled at once, whether or not a compute process is there to see it.

        Raises:
            StoreError: there is no such run.
        """

        def work(connection: sqlite3.Connection) -> int:
            status = _status(connection, run_id)
            if status in FINISHED:
                return 0
            connection.execute("UPDATE runs SET cancel = min(cancel + 1, 2) WHERE id = ?", (run_id,))
            if status == "queued":
                _move(connection, run_id, "cancelled")
            return int(connection.execute("SELECT cancel FROM runs WHERE id = ?", (run_id,)).fetchone()[0])

        return self._database.change(work)

    def set_progress(self, run_id: str, progress: Mapping[str, Any]) -> None:
        """Replace a run's progress, a small JSON object. What arrives after the run is over is dropped.

        Raises:
            StoreError: there is no such run.
        """
        text = canonical(dict(progress))

        def work(connection: sqlite3.Connection) -> None:
            if _status(connection, run_id) not in FINISHED:
                connection.execute(
                    "UPDATE runs SET progress = ?, heartbeat = ? WHERE id = ?", (text, time.time(), run_id)
                )

        self._database.change(work)

    def put_result(self, run_id: str, method_id: str, models: int, payload: Any) -> None:
        """Keep what was measured for a method with its first ``models`` models.

        The same (run, method, models) again replaces what was there, so a chunk that is done twice counts once.

        Raises:
            StoreError: there is no such run.
        """
        values = (run_id, method_id, models, canonical(payload), time.time())

        def work(connection: sqlite3.Connection) -> None:
            _status(connection, run_id)
            connection.execute(
                "INSERT OR REPLACE INTO results (run_id, method_id, models, payload, created) VALUES (?, ?, ?, ?, ?)",
                values,
            )

        self._database.change(work)

    def results(self, run_id: str, *, latest: bool = True) -> list[ResultRow]:
        """Return every method's result with the most models, or with ``latest=False`` all of them; in order of arrival.

        Not the last to arrive: workers may finish measuring few models after measuring more.
        """
        newest = (
            "AND models = (SELECT max(models) FROM results AS other "
            "WHERE other.run_id = ?1 AND other.method_id = results.method_id) "
        )
        rows = self._database.look(
            f"SELECT * FROM results WHERE run_id = ?1 {newest if latest else ''}ORDER BY number",  # noqa: S608
            (run_id,),
        )
        return [
            ResultRow(row["run_id"], row["method_id"], row["models"], json.loads(row["payload"]), row["created"])
            for row in rows
        ]

    def results_version(self, run_id: str) -> int:
        """Return a number that grows whenever a result of the run comes or is replaced; 0 while there is none."""
        rows = self._database.look("SELECT max(number) AS newest FROM results WHERE run_id = ?", (run_id,))
        return rows[0]["newest"] or 0

    def put_frames(self, run_id: str, method_id: str, chunk: str, frames: Sequence[Mapping[str, Any]]) -> None:
        """Keep all frames so far of one chunk of one method, in place of what was there for that chunk.

        Raises:
            StoreError: there is no such run.
        """
        values = (run_id, method_id, chunk, canonical([dict(frame) for frame in frames]))

        def work(connection: sqlite3.Connection) -> None:
            _status(connection, run_id)
            connection.execute(
                "INSERT OR REPLACE INTO frames (run_id, method_id, chunk, frames) VALUES (?, ?, ?, ?)", values
            )

        self._database.change(work)

    def frames(self, run_id: str, method_id: str | None = None) -> list[FramesRow]:
        """Return the frames of every chunk, of one method only if it is given; sorted by method and chunk."""
        rows = self._database.look(
            "SELECT * FROM frames WHERE run_id = ?1 AND (?2 IS NULL OR method_id = ?2) ORDER BY method_id, chunk",
            (run_id, method_id),
        )
        return [
            FramesRow(row["run_id"], row["method_id"], row["chunk"], tuple(json.loads(row["frames"]))) for row in rows
        ]

    def beat(
        self,
        *,
        pid: int | None = None,
        host: str | None = None,
        device: str,
        workers: int,
        state: str,
        message: str = "",
    ) -> None:
        """Write the compute process's heartbeat, every few seconds; ``state="stopped"`` is the last.

        ``pid`` and ``host`` are the caller's own unless given.
        """
        values = (
            os.getpid() if pid is None else pid,
            this_host() if host is None else host,
            device,
            workers,
            state,
            message,
            time.time(),
        )

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO compute VALUES (1, ?, ?, ?, ?, ?, ?, ?)", values)

        self._database.change(work)

    def compute(self) -> ComputeRow | None:
        """Return the last heartbeat, ``None`` if there never was one."""
        rows = self._database.look("SELECT * FROM compute")
        if not rows:
            return None
        row = rows[0]
        return ComputeRow(
            pid=row["pid"],
            host=row["host"],
            device=row["device"],
            workers=row["workers"],
            state=row["state"],
            message=row["message"],
            age=max(0.0, time.time() - row["beat"]),
        )

    def delete(self, run_id: str) -> None:
        """Delete a finished run with its results, frames and notes; models stay in the store, which others may share.

        Raises:
            StoreError: there is no such run, or it is not over.
        """

        def work(connection: sqlite3.Connection) -> None:
            status = _status(connection, run_id)
            if status not in FINISHED:
                raise StoreError(f"Run {run_id} is {status}. Cancel it before deleting it.")
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
            connection.execute("DELETE FROM notes WHERE name = ?", (USES + run_id,))

        self._database.change(work)

    def remember(self, key: str, value: Any) -> None:
        """Keep one small piece of plain data under a name, for probes and notes; replaces what was there."""
        text = canonical(value)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)", (key, text))

        self._database.change(work)

    def sweep(self, prefix: str, *, older: float) -> None:
        """Forget notes whose key begins with ``prefix`` and whose ``at``, in Unix seconds, is ``older`` seconds ago."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM notes WHERE substr(name, 1, length(?1)) = ?1 AND json_extract(value, '$.at') < ?2",
                (prefix, time.time() - older),
            )

        self._database.change(work)

    def recall(self, key: str) -> Any:
        """Return what :meth:`remember` kept under ``key``, ``None`` if nothing was."""
        rows = self._database.look("SELECT value FROM notes WHERE name = ?", (key,))
        return json.loads(rows[0]["value"]) if rows else None


def _no_run(run_id: str) -> StoreError:
    return StoreError(f"There is no run {run_id}. `python -m engine runs` lists them.")


def _status(connection: sqlite3.Connection, run_id: str) -> Status:
    row = connection.execute("SELECT status FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise _no_run(run_id)
    return row["status"]


def _move(connection: sqlite3.Connection, run_id: str, status: Status, *, error: str = "", trace: str = "") -> None:
    """Write a new status with the times that go with it; whether it is allowed was checked before."""
    now = time.time()
    connection.execute(
        "UPDATE runs SET status = ?, error = ?, trace = ?, heartbeat = ?, "
        "started = iif(? = 'running', ?, started), finished = iif(?, ?, NULL) WHERE id = ?",
        (status, error, trace, now, status, now, status in FINISHED, now, run_id),
    )
