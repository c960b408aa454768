"""What visitors keep: saved forget sets, tags and notes on runs, uploaded archives. Beside the queue, in one file."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.forget.base import spans
from engine.forget.indices import LONGEST_NAME, read_numbers
from engine.queue.database import Database
from engine.records import canonical, digest
from engine.store import StoreError

DRAFT_SECONDS = 7 * 86_400
"""Seconds a selection without a name is kept after it was last made."""
MOST_TAGS = 12


@dataclass(frozen=True)
class SavedSet:
    """Training points of one data set that a visitor picked. ``indices`` is spelled as "3,17,20-25"."""

    id: str
    name: str
    data_hash: str
    data_name: str
    indices: str
    size: int
    how: str
    owner: str
    created: float

    def numbers(self) -> np.ndarray:
        """Return the points' numbers, sorted int64 (F,)."""
        return read_numbers(self.indices)


@dataclass(frozen=True)
class RunNote:
    """What visitors wrote on a run."""

    tags: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Upload:
    """An archive a visitor brought. ``id`` is the SHA-256 of its bytes, ``kind`` its ending, ``name`` only a text."""

    id: str
    owner: str
    name: str
    kind: str
    size: int
    shared: bool
    created: float

    @property
    def file(self) -> str:
        """Its file name in the folder ``uploads`` of the store: the content's hash, never the visitor's name."""
        return f"{self.id}{self.kind}"


class Shelf:
    """Saved sets, notes and uploads of one store; safe to share between threads and processes like the queue."""

    def __init__(self, path: Path) -> None:
        """Open the shelf in the queue's file at ``path``.

        Raises:
            StoreError: as :class:`engine.queue.Queue`.
        """
        self._database = Database(Path(path))
        self._database.create()

    # Forget sets.

    def save(
        self, *, data_hash: str, data_name: str, indices: np.ndarray, name: str = "", how: str = "", owner: str = ""
    ) -> SavedSet:
        """Save these points, int64 (F,), and return them as a set; the same points of the same data are one set.

        A name given later names it; saving it again without one keeps the name. Selections without a name are swept
        after a week.
        """
        text = spans(np.unique(np.asarray(indices, dtype=np.int64)))
        name, how = name.strip()[:LONGEST_NAME], how.strip()[:200]
        set_id = digest(["set", data_hash, text])[:16]
        size, now = len(np.unique(indices)), time.time()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO forget_sets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET "
                "name = iif(?2 = '', name, ?2), how = iif(?7 = '', how, ?7), created = ?9",
                (set_id, name, data_hash, data_name, text, size, how, owner, now),
            )
            connection.execute("DELETE FROM forget_sets WHERE name = '' AND created < ?", (now - DRAFT_SECONDS,))

        self._database.change(work)
        saved = self.saved(set_id)
        if saved is None:
            raise StoreError("The forget set vanished while it was saved. Save it again.")
        return saved

    def saved(self, set_id: str) -> SavedSet | None:
        """Return the set with this id, ``None`` if there is none."""
        rows = self._database.look("SELECT * FROM forget_sets WHERE id = ?", (set_id,))
        return _set(rows[0]) if rows else None

    def named(self, data_hash: str | None = None) -> list[SavedSet]:
        """Return the sets that have a name, newest first; of one data set only if its hash is given."""
        rows = self._database.look(
            "SELECT * FROM forget_sets WHERE name != '' AND (?1 IS NULL OR data_hash = ?1) ORDER BY created DESC, id",
            (data_hash,),
        )
        return [_set(row) for row in rows]

    def rename(self, set_id: str, name: str) -> None:
        """Give a set another name; an empty one makes it a draft again."""
        values = (name.strip()[:LONGEST_NAME], set_id)
        self._database.change(
            lambda connection: connection.execute("UPDATE forget_sets SET name = ? WHERE id = ?", values)
        )

    def remove(self, set_id: str) -> None:
        """Forget a set; runs that used it are not touched."""
        self._database.change(lambda connection: connection.execute("DELETE FROM forget_sets WHERE id = ?", (set_id,)))

    # Notes on runs.

    def note(self, run_id: str) -> RunNote:
        """Return the tags and the note of a run; empty ones if it has none."""
        return self.notes([run_id]).get(run_id, RunNote())

    def notes(self, run_ids: Iterable[str]) -> dict[str, RunNote]:
        """Return the notes of those runs that have any."""
        ids = set(run_ids)
        rows = self._database.look("SELECT * FROM run_notes")
        return {
            row["run_id"]: RunNote(tuple(json.loads(row["tags"])), row["text"]) for row in rows if row["run_id"] in ids
        }

    def put_note(self, run_id: str, *, tags: Sequence[str] = (), text: str = "") -> RunNote:
        """Replace the tags (at most 12, each once, in their order) and the note of a run.

        Raises:
            StoreError: there is no such run.
        """
        cleaned = list(dict.fromkeys(tag.strip()[:40] for tag in tags if tag.strip()))[:MOST_TAGS]
        note = RunNote(tuple(cleaned), text.strip()[:2000])

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is None:
                raise StoreError(f"There is no run {run_id} any more, so nothing can be noted on it.")
            connection.execute(
                "INSERT OR REPLACE INTO run_notes VALUES (?, ?, ?)", (run_id, canonical(cleaned), note.text)
            )

        self._database.change(work)
        return note

    # Uploads.

    def add_upload(self, upload_id: str, *, owner: str, name: str, kind: str, size: int) -> Upload:
        """Note that ``owner`` brought the archive whose bytes have this SHA-256; private until it is shared."""
        values = (upload_id, owner, name.strip()[:LONGEST_NAME] or "upload", kind, size, 0, time.time())
        self._database.change(
            lambda connection: connection.execute("INSERT OR IGNORE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        )
        return next(u for u in self.uploads(owner) if u.id == upload_id and u.owner == owner)

    def uploads(self, visitor: str) -> list[Upload]:
        """Return what this visitor uploaded and what others shared, newest first; the same bytes once, own first."""
        rows = self._database.look(
            "SELECT * FROM uploads WHERE owner = ?1 OR shared = 1 ORDER BY owner = ?1 DESC, created DESC", (visitor,)
        )
        once: dict[str, Upload] = {}
        for row in rows:
            once.setdefault(row["id"], _upload(row))
        return sorted(once.values(), key=lambda upload: -upload.created)

    def upload(self, upload_id: str) -> Upload | None:
        """Return an upload by its content's hash, of any visitor; ``None`` if there is none.

        The hash cannot be guessed, so a link that holds it is a way to show an upload to others.
        """
        rows = self._database.look("SELECT * FROM uploads WHERE id = ? ORDER BY created LIMIT 1", (upload_id,))
        return _upload(rows[0]) if rows else None

    def share_upload(self, upload_id: str, *, owner: str, shared: bool) -> None:
        """Show an own upload to every visitor, or stop doing so."""
        values = (int(shared), upload_id, owner)
        self._database.change(
            lambda connection: connection.execute("UPDATE uploads SET shared = ? WHERE id = ? AND owner = ?", values)
        )

    def remove_upload(self, upload_id: str, *, owner: str) -> bool:
        """Take an own upload off the shelf and return whether no other visitor holds it, so that its file may go."""

        def work(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM uploads WHERE id = ? AND owner = ?", (upload_id, owner))
            return connection.execute("SELECT 1 FROM uploads WHERE id = ?", (upload_id,)).fetchone() is None

        return self._database.change(work)


def _set(row: sqlite3.Row) -> SavedSet:
    return SavedSet(**{key: row[key] for key in row.keys()})  # noqa: SIM118 - a Row iterates over its values


def _upload(row: sqlite3.Row) -> Upload:
    return Upload(row["id"], row["owner"], row["name"], row["kind"], row["size"], bool(row["shared"]), row["created"])
