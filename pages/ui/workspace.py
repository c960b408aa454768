"""What every page uses: the store, the queue, the compute process and the catalogue, opened once per server."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import streamlit as st

from engine import catalog, launch
from engine.pictures import Pictures, find
from engine.queue import ComputeRow, Queue, Shelf, access
from engine.records import Choice
from engine.specs import DataSpec
from engine.store import Store, default_store

_cookie = st.components.v2.component(
    "forgetscope_cookie",
    js="""
export default function ({ data }) {
  document.cookie = `${data.name}=${data.value}; path=/; max-age=31536000; SameSite=Strict`;
}
""",
)

IDLE_EXIT = 600.0
"""Seconds without work after which the compute process exits; the next visit starts it again."""


@dataclass
class Keeper:
    """Keeps a compute process running for the store while a page is open; shared by all sessions of a server."""

    store: Store
    lock: threading.Lock = field(default_factory=threading.Lock)
    checked: float = 0.0
    process: Popen[bytes] | None = None

    def ensure(self, *, every: float = 5.0) -> None:
        """Start the compute process unless one runs; checks at most once in ``every`` seconds."""
        with self.lock:
            if time.monotonic() - self.checked < every:
                return
            self.checked = time.monotonic()
            if self.process is not None and self.process.poll() is None:
                return
            self.process = launch.ensure_compute(self.store, idle_exit=IDLE_EXIT)


def store() -> Store:
    """Return the store that ``FORGETSCOPE_STORE`` names.

    Raises:
        StoreError: it cannot be used; in words for a visitor.
    """
    return _open(str(default_store()))


def queue() -> Queue:
    """Return the queue of the store, whose log the server keeps open: a page reads it some twenty times."""
    return _queue(str(default_store()))[0]


def keeper() -> Keeper:
    """Return the object that keeps the compute process alive."""
    return _keeper(str(default_store()))


def compute() -> ComputeRow | None:
    """Return the compute process's last heartbeat."""
    return queue().compute()


def words() -> dict[str, Any]:
    """Return the catalogue: data sets, models, forget sets, methods, with their knobs, as plain data."""
    return _catalog(str(default_store()))


def pictures(data_hash: str) -> Pictures | None:
    """Return the pictures of a data set by its hash, None when they are not at hand."""
    return _pictures(str(default_store()), data_hash)


def labels(data_hash: str, dataset: Mapping[str, Any]) -> np.ndarray:
    """Return the labels of a data set that was read before, training examples first, int64 (N + T,).

    Raises:
        StoreError: it was not read yet.
    """
    return _labels(str(default_store()), data_hash, dict(dataset))


def disk_use() -> tuple[int, int]:
    """Return bytes the store takes and bytes still free; at most half a minute old."""
    return _disk(str(default_store()))


def forget_disk_use() -> None:
    """Drop the cached :func:`disk_use` after something was deleted."""
    _disk.clear()


def shelf() -> Shelf:
    """Return what visitors keep: saved forget sets, tags and notes, uploads."""
    return _shelf(str(default_store()))


def visitor() -> str:
    """Return the visitor's id, 32 hex digits: from the browser's cookie, else a new one, stored by :func:`remember`.

    It decides the turn in the queue, the setup to open, the uploads to list and the runs that may be seen or deleted,
    so no page shows it.
    """
    if "visitor" not in st.session_state:
        st.session_state["visitor"] = access.visitor_of(st.context.cookies) or uuid.uuid4().hex
    return st.session_state["visitor"]


def remember() -> None:
    """Keep the visitor's name in a cookie of this browser, for a year, for this address alone."""
    if st.context.cookies.get(access.COOKIE) != visitor():
        _cookie(key="visitor-cookie", data={"name": access.COOKIE, "value": visitor()})


def session() -> str:
    """Return the queue's session of this visitor: visitors are served in turn."""
    return visitor()


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(path: str) -> Store:
    return Store.open(Path(path))


@st.cache_resource(max_entries=4, show_spinner=False, on_release=lambda held: held[1].close())
def _queue(path: str) -> tuple[Queue, contextlib.ExitStack]:
    queue, log_open = Queue(_open(path).queue_path), contextlib.ExitStack()
    log_open.enter_context(queue.log_open())
    return queue, log_open


@st.cache_resource(max_entries=4, show_spinner=False)
def _shelf(path: str) -> Shelf:
    return Shelf(_open(path).queue_path)


@st.cache_resource(max_entries=4, show_spinner=False)
def _keeper(path: str) -> Keeper:
    return Keeper(_open(path))


@st.cache_resource(max_entries=2, show_spinner="Reading the list of methods")
def _catalog(path: str) -> dict[str, Any]:
    return catalog.load(_open(path))


@st.cache_resource(max_entries=4, ttl=3600, show_spinner=False)
def _pictures(path: str, data_hash: str) -> Pictures | None:
    return find(_open(path), data_hash)


@st.cache_resource(max_entries=4, show_spinner=False)
def _labels(path: str, data_hash: str, _dataset: Mapping[str, Any]) -> np.ndarray:  # noqa: ARG001
    return np.array(DataSpec(Choice.from_json(_dataset, "dataset")).artefact(_open(path)).read("whole").array("labels"))


@st.cache_data(max_entries=4, ttl=30, show_spinner=False)
def _disk(path: str) -> tuple[int, int]:
    opened = _open(path)
    return sum(opened.usage().values()), opened.free_bytes()
