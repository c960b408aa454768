"""What runs take on disk, counted once for all visitors until something changes."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from engine.queue.uses import Use, disk_use
from engine.records import digest
from pages.ui import workspace

MOST_RUNS = 2_000
"""Runs that a page lists."""


def use() -> tuple[Mapping[str, Use], int]:
    """Return what each run takes on disk, by id, and the bytes of results that no run needs.

    Counted again when a run is added, ends or is deleted, else once a minute.
    """
    states = [[row.id, row.status] for row in workspace.queue().runs(limit=MOST_RUNS)]
    return _use(str(workspace.store().path), digest(states))


def recount() -> None:
    """Drop the cached counts after something was deleted."""
    _use.clear()
    workspace.forget_disk_use()


@st.cache_data(max_entries=4, ttl=60, show_spinner=False)
def _use(path: str, version: str) -> tuple[dict[str, Use], int]:  # noqa: ARG001 - part of the cache's key
    queue = workspace.queue()
    return disk_use(queue, workspace.store(), queue.runs(limit=1_000_000))
