"""Starting the compute process: one per store, found again after a restart. No torch, no cluster: pages import this."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.store import Store

ROOT = Path(__file__).resolve().parent.parent


class AlreadyRunning(RuntimeError):
    """Another compute process holds this store."""


@contextmanager
def compute_lock(store: Store, *, patience: float = 0.0) -> Iterator[None]:
    """Hold the store's compute lock; the operating system drops it when the process ends, however it ends.

    With ``patience`` it tries for so many seconds: :func:`compute_running` holds the lock for a moment.

    Raises:
        AlreadyRunning: another process holds it.
    """
    deadline = time.monotonic() + patience
    with (store.path / "compute.lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise AlreadyRunning(f"a compute process already serves {store.path}") from error
            time.sleep(0.05)
        yield


def compute_running(store: Store) -> bool:
    """Return whether a process holds the compute lock now."""
    try:
        with compute_lock(store):
            return False
    except AlreadyRunning:
        return True


def ensure_compute(store: Store, *, idle_exit: float) -> subprocess.Popen[bytes] | None:
    """Start a compute process for the store unless one runs; return it, or None when there was one.

    It is its own session, so it outlives the caller; it ends by itself after ``idle_exit`` seconds without work. Two
    callers at once are harmless: the second process finds the lock taken and ends.
    """
    if compute_running(store):
        return None
    command = [sys.executable, "-m", "engine", "compute", "--store", str(store.path), "--idle-exit", str(idle_exit)]
    with (store.path / "compute.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
