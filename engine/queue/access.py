"""Visitors of a server, the runs that each may see, and those that each may delete."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from engine.queue.rows import RunRow
from engine.queue.shelf import Shelf
from engine.store import Store

COOKIE = "forgetscope_visitor"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
VISITOR = re.compile(r"[0-9a-f]{32}")
"""A visitor's id. Runs that the command line or a test submits have sessions of another form."""


def visitor_of(cookies: Mapping[str, str]) -> str:
    """Return the visitor's id that a browser sent, 32 hex digits; "" when it sent none, or no id."""
    known = str(cookies.get(COOKIE, ""))
    return known if VISITOR.fullmatch(known) else ""


def local(address: str) -> bool:
    """Return whether a server that listens on ``address`` is reached from this computer alone, by no other name."""
    return address in LOOPBACK and not os.environ.get("FORGETSCOPE_HOSTS", "").strip()


def visible(store: Store, shelf: Shelf, visitor: str, rows: Iterable[RunRow]) -> list[RunRow]:
    """Return the runs that a visitor may see, in the same order.

    A run on an upload may be seen by the visitor who started it, by the upload's owner, and by all while it is shared.
    Every other run may be seen by all.
    """
    listed = list(rows)
    on = {row.id: upload_id(store, row) for row in listed}
    seen = {upload.id for upload in shelf.uploads(visitor)} if any(on.values()) else set()
    return [row for row in listed if not on[row.id] or row.session == visitor or on[row.id] in seen]


def deletable(row: RunRow, visitor: str, *, local: bool) -> bool:
    """Return whether a visitor may delete a run: an own one, and one of the command line if the server is ``local``."""
    return row.session == visitor or (local and VISITOR.fullmatch(row.session) is None)


def upload_id(store: Store, row: RunRow) -> str:
    """Return the SHA-256 of the upload that a run's data are, "" when they are others."""
    path = PurePath(str(row.recipe.get("dataset", {}).get("path", "")))
    return path.name.partition(".")[0] if path.parent == store.uploads else ""
