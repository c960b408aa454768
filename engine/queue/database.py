"""The queue's SQLite file: its tables, short connections, and its errors in plain words."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.store import StoreError
from engine.store.errors import disk_full

T = TypeVar("T")

SCHEMA_VERSION = 5
"""Raised with every change of the tables or of what is kept in them; a queue of another version is refused."""
PATIENCE = 10.0
"""Seconds to wait for other processes before giving up."""

_TABLES = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL,
    label TEXT NOT NULL,
    recipe TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    cancel INTEGER NOT NULL DEFAULT 0,
    progress TEXT NOT NULL DEFAULT '{}',
    error TEXT NOT NULL DEFAULT '',
    trace TEXT NOT NULL DEFAULT '',
    heartbeat REAL NOT NULL
);
CREATE INDEX runs_by_status ON runs (status, number);
CREATE INDEX runs_by_session ON runs (session, number);
CREATE TABLE results (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    method_id TEXT NOT NULL,
    models INTEGER NOT NULL,
    payload TEXT NOT NULL,
    created REAL NOT NULL,
    UNIQUE (run_id, method_id, models)
);
CREATE TABLE frames (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    method_id TEXT NOT NULL,
    chunk TEXT NOT NULL,
    frames TEXT NOT NULL,
    PRIMARY KEY (run_id, method_id, chunk)
);
CREATE TABLE compute (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    device TEXT NOT NULL,
    workers INTEGER NOT NULL,
    state TEXT NOT NULL,
    message TEXT NOT NULL,
    beat REAL NOT NULL
);
CREATE TABLE notes (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE questions (
    id TEXT PRIMARY KEY,
    question TEXT NOT NULL,
    asked REAL NOT NULL,
    progress TEXT NOT NULL DEFAULT '{}',
    withdrawn INTEGER NOT NULL DEFAULT 0,
    answer TEXT,
    answered REAL
);
CREATE TABLE forget_sets (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    data_hash TEXT NOT NULL,
    data_name TEXT NOT NULL,
    indices TEXT NOT NULL,
    size INTEGER NOT NULL,
    how TEXT NOT NULL,
    owner TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX forget_sets_by_data ON forget_sets (data_hash, created);
CREATE TABLE run_notes (
    run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    tags TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE uploads (
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (id, owner)
);
"""


@dataclass(frozen=True)
class Database:
    """A SQLite file in write-ahead mode. Every use opens, runs one short transaction and closes.

    No connection outlives a call, so it may be shared by any number of threads and processes of one host (the
    write-ahead log needs shared memory: not for network folders seen from several hosts). Measured on a busy 2-core
    machine, mean of 300 calls: a write 16 ms, a read 0.7 ms; 0.5 and 0.3 ms while :meth:`log_open` keeps the log open.
    """

    path: Path

    def create(self) -> None:
        """Make the file and its tables unless they are there.

        Raises:
            StoreError: it is no queue, of an unknown version, damaged, or cannot be written.
        """
        self._patiently(self._create)

    def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in one transaction that sees and changes everything at once, and return what it returns.

        ``work`` may be run again from the start when another process was in the way.

        Raises:
            StoreError: the file is busy for too long, full, damaged or forbidden; nothing of ``work`` is kept.
        """
        return self._patiently(lambda: self._once(work))

    def look(self, query: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of one ``SELECT``.

        Raises:
            StoreError: the file cannot be read.
        """

        def once() -> list[sqlite3.Row]:
            with self._connection() as connection:
                return connection.execute(query, values).fetchall()

        return self._patiently(once)

    @contextlib.contextmanager
    def log_open(self) -> Iterator[None]:
        """Keep the write-ahead log open for the block, so that no call is the last to close it and has to fold it up.

        For a process that uses the file many times a second. The block may end in another thread than it began in.
        """
        with contextlib.ExitStack() as opened:
            self._patiently(
                lambda: opened.enter_context(self._connection()).execute("SELECT count(*) FROM runs").fetchone()
            )
            yield

    @contextlib.contextmanager
    def _connection(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        # Mode rw never creates: a file that was deleted in use must not come back empty as a new queue.
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            # With a write-ahead log this survives killed processes; a power cut may cost the last moments, no more.
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection
        finally:
            connection.close()

    def _once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._connection() as connection:
            # IMMEDIATE: a transaction that starts by reading cannot wait for its turn to write later.
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return result

    def _create(self) -> None:
        with self._connection("rwc") as connection:
            if self._version(connection) == SCHEMA_VERSION:
                return
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreError(
                    f"The queue {self.path} cannot keep a write-ahead log on this disk (it offers {mode!r}). Choose a "
                    "folder on a local disk with FORGETSCOPE_STORE."
                )
            connection.execute("BEGIN IMMEDIATE")
            try:
                if not self._version(connection):  # another process may have been faster
                    for statement in _TABLES.split(";\n"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the tables, 0 for an empty file; refuse all others but :data:`SCHEMA_VERSION`."""
        # One statement, so that tables that another process makes between two looks are not refused.
        version, tables = connection.execute(
            "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
        ).fetchone()
        if version == SCHEMA_VERSION or (version == 0 and tables == 0):
            return int(version)
        raise StoreError(
            f"The queue {self.path} has version {version}; this Forgetscope reads version {SCHEMA_VERSION}. Use the "
            "Forgetscope that wrote it, or choose another store with FORGETSCOPE_STORE. Nothing was changed."
        )

    def _patiently(self, work: Callable[[], T]) -> T:
        """Run ``work``; wait and try again while others are in the way, up to :data:`PATIENCE` seconds.

        SQLite waits by itself for most locks, but gives up at once while another connection, the last one to close,
        folds up the log, or while one switches the log on.
        """
        deadline = time.monotonic() + PATIENCE
        pause = 0.002
        while True:
            try:
                return work()
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() >= deadline:
                    raise self._explain(error, code) from error
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _explain(self, error: sqlite3.Error, code: int) -> StoreError:
        path = self.path
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreError(
                f"The queue {path} has been busy for over {PATIENCE:g} seconds. Try again; if it stays so, another "
                "program holds the file open: close it."
            )
        if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _no_room(path)):
            return disk_full(path)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreError(
                f"The queue {path} is damaged ({error}). Stop Forgetscope, move that file away and start again: the "
                "list of runs starts empty, and the trained models beside it are found and used again."
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            return StoreError(
                f"The queue {path} cannot be written ({error}). Give this user write access to the file and its "
                "folder, or choose another store with FORGETSCOPE_STORE."
            )
        if code == sqlite3.SQLITE_CANTOPEN:
            return StoreError(
                f"The queue {path} cannot be opened. Check that its folder exists and that this user may read and "
                "write there, then start Forgetscope again."
            )
        return StoreError(f"The queue {path} cannot be used: {error}. Check the disk and start Forgetscope again.")


def _no_room(path: Path) -> bool:
    """Return whether the disk is as good as full: SQLite calls a log it cannot make an I/O error."""
    try:
        return shutil.disk_usage(path.parent).free < 1 << 17
    except OSError:
        return False  # then the folder itself cannot be used, and the caller says so
