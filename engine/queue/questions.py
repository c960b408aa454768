"""Questions that pages put to the compute process: what a recipe takes, how the data lie, which points it forgets.

A question is plain JSON with a ``kind``; equal questions are one. :mod:`engine.answers` says which kinds there are.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from engine.queue.database import Database
from engine.records import canonical, digest

PATIENCE = 60.0
"""Seconds after which a question is dropped that no work was begun for: its visitor has left."""
ANSWER_SECONDS = 600.0
"""Seconds an answer is kept; what was computed for it stays in the store."""


class Questions:
    """The part of the queue that holds questions and answers."""

    _database: Database

    def ask(self, question: Mapping[str, Any], *, afresh: bool = True) -> str:
        """Ask the compute process and return the question's id.

        ``afresh`` drops an earlier answer, which may be older than the newest change of the store; without it an answer
        that is there stays and asking is only a sign that a page still waits.
        """
        question_id = digest(dict(question))
        text, now = canonical(dict(question)), time.time()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO questions (id, question, asked) VALUES (?1, ?2, ?3) "
                "ON CONFLICT (id) DO UPDATE SET asked = ?3, withdrawn = 0, "
                "answer = iif(?4, NULL, answer), answered = iif(?4, NULL, answered)",
                (question_id, text, now, afresh),
            )

        self._database.change(work)
        return question_id

    def withdraw(self, question_id: str) -> None:
        """Take a question back: work that only this question needs is stopped."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE questions SET withdrawn = 1 WHERE id = ? AND answer IS NULL", (question_id,))

        self._database.change(work)

    def questions(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the questions without an answer, as (id, question), oldest first."""
        rows = self._database.look(
            "SELECT id, question FROM questions WHERE answer IS NULL AND withdrawn = 0 "
            "AND (asked > ? OR progress != '{}') ORDER BY asked",
            (time.time() - PATIENCE,),
        )
        return [(row["id"], json.loads(row["question"])) for row in rows]

    def withdrawn(self) -> list[str]:
        """Return the ids of questions that were taken back before they were answered."""
        rows = self._database.look("SELECT id FROM questions WHERE withdrawn = 1 AND answer IS NULL")
        return [row["id"] for row in rows]

    def note_progress(self, question_id: str, progress: Mapping[str, Any]) -> None:
        """Note how far the work on a question is: ``share``, ``message``, ``seconds``, ``steps`` left."""
        text = canonical(dict(progress))

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE questions SET progress = ? WHERE id = ? AND answer IS NULL", (text, question_id))

        self._database.change(work)

    def question_progress(self, question_id: str) -> Mapping[str, Any] | None:
        """Return how far the work on a question is (empty before it began), ``None`` when it is not open."""
        rows = self._database.look(
            "SELECT progress FROM questions WHERE id = ? AND answer IS NULL AND withdrawn = 0", (question_id,)
        )
        return json.loads(rows[0]["progress"]) if rows else None

    def answer(self, question_id: str, answer: Mapping[str, Any]) -> None:
        """Answer a question; answers older than ten minutes are swept away."""
        text, now = canonical(dict(answer)), time.time()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE questions SET answer = ?, answered = ?, progress = '{}' WHERE id = ?", (text, now, question_id)
            )
            connection.execute(
                "DELETE FROM questions WHERE answered < ?1 OR (asked < ?1 AND answer IS NULL AND progress = '{}')",
                (now - ANSWER_SECONDS,),
            )

        self._database.change(work)

    def drop(self, question_id: str) -> None:
        """Remove a question that was taken back, unless it was asked again in the meantime."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM questions WHERE id = ? AND withdrawn = 1", (question_id,))

        self._database.change(work)

    def answer_to(self, question_id: str) -> Mapping[str, Any] | None:
        """Return the answer to a question, ``None`` while there is none."""
        rows = self._database.look("SELECT answer FROM questions WHERE id = ? AND answer IS NOT NULL", (question_id,))
        return json.loads(rows[0]["answer"]) if rows else None
