"""What the queue hands out: frozen rows of plain data, and the order in which waiting runs are served."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.store import process_exists, this_host

Status = Literal["queued", "running", "done", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = ("queued", "running", "done", "failed", "cancelled")
FINISHED: tuple[Status, ...] = ("done", "failed", "cancelled")

SILENT = 15.0
"""Seconds without a heartbeat after which the compute process counts as gone."""


@dataclass(frozen=True)
class RunRow:
    """One run as the queue knows it. Times are Unix seconds, ``None`` where it has not come to that.

    ``cancel`` counts presses of the button (0, 1 stop between frames, 2 kill). ``heartbeat`` is the last sign of life:
    the latest change of status or progress. ``error`` is for the visitor, ``trace`` holds technical details.
    """

    id: str
    session: str
    label: str
    recipe: Mapping[str, Any]
    status: Status
    created: float
    started: float | None
    finished: float | None
    cancel: int
    progress: Mapping[str, Any]
    error: str
    trace: str
    heartbeat: float

    @property
    def over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.status in FINISHED


@dataclass(frozen=True)
class ResultRow:
    """What was measured for one method of a run with its first ``models`` models; ``payload`` is plain data."""

    run_id: str
    method_id: str
    models: int
    payload: Any
    created: float


@dataclass(frozen=True)
class FramesRow:
    """The frames of one chunk of models of one method: what happened from step 0 to the end."""

    run_id: str
    method_id: str
    chunk: str
    frames: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ComputeRow:
    """The compute process's last heartbeat; ``age`` is how many seconds ago it came, when this row was read."""

    pid: int
    host: str
    device: str
    workers: int
    state: str
    message: str
    age: float

    @property
    def alive(self) -> bool:
        """Whether it beat less than 15 seconds ago, did not say ``stopped`` and, if on this host, its process runs."""
        if self.state == "stopped" or self.age >= SILENT:
            return False
        return self.host != this_host() or process_exists(self.pid)


def run_row(row: sqlite3.Row) -> RunRow:
    """Return a row of the table ``runs`` as the record it stands for."""
    return RunRow(
        id=row["id"],
        session=row["session"],
        label=row["label"],
        recipe=json.loads(row["recipe"]),
        status=row["status"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        cancel=row["cancel"],
        progress=json.loads(row["progress"]),
        error=row["error"],
        trace=row["trace"],
        heartbeat=row["heartbeat"],
    )


def fair(rows: Iterable[RunRow], *, served: Mapping[str, float] | None = None) -> list[RunRow]:
    """Return ``rows`` in turns: one run of every session, then the next of every session, and so on.

    Within a session, and among sessions, the oldest comes first. ``served`` (from :meth:`engine.queue.Queue.served`)
    gives the time each session last had its turn: the one that waited longest then comes first, and one that never had
    a turn before all. Without it, taking only the head of the list serves the oldest session until it is empty.
    """
    turns = served or {}
    sessions: dict[str, list[RunRow]] = {}
    for row in sorted(rows, key=lambda row: row.created):
        sessions.setdefault(row.session, []).append(row)
    order = sorted(sessions.values(), key=lambda own: (turns.get(own[0].session, 0.0), own[0].created))
    rounds = max((len(own) for own in order), default=0)
    return [own[i] for i in range(rounds) for own in order if i < len(own)]
