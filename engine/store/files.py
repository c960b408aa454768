"""Files that are either whole or absent: written aside, forced to disk, and moved into place in one step.

A temporary name holds the host and process that write it, so what a killed writer left behind can be distinguished
from what a living one is still writing.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

DAY = 24 * 3600.0
"""Seconds after which an unfinished write counts as abandoned, whichever process owns it."""


def this_host() -> str:
    """Return this machine's name, the one heartbeats and temporary names carry."""
    return socket.gethostname()


def process_exists(pid: int) -> bool:
    """Return whether process ``pid`` of this host runs; one that ended but was not waited for does not."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and belongs to another user
    try:
        # The name in parentheses may hold anything; the state is the letter behind the last parenthesis.
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True  # no /proc on this system: the signal's word stands
    return state not in ("Z", "X")


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that must not exist yet, and force it to disk when the body ends well.

    Raises:
        OSError: it exists, or cannot be written.
    """
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Force a finished file or a folder's list of names to disk.

    Raises:
        OSError: the disk refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, data: bytes, *, temporary: Path) -> None:
    """Put ``data`` at ``path`` in one step, by way of a name in ``temporary`` (a folder on the same disk).

    Raises:
        OSError: it cannot be written; ``path`` is then as it was.
    """
    aside = temporary / owned_name()
    try:
        with new_file(aside) as file:
            file.write(data)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def owned_name() -> str:
    """Return a fresh temporary name that holds this host and process."""
    return f"{_plain(this_host())}.{os.getpid()}.{secrets.token_hex(6)}"


def abandoned(path: Path) -> bool:
    """Return whether an entry named by :func:`owned_name` has no writer any more.

    True when its process no longer runs on this host, or when nothing in it has changed for a day.
    """
    host, _, rest = path.name.rpartition(".")[0].rpartition(".")
    if host == _plain(this_host()) and rest.isdecimal() and not process_exists(int(rest)):
        return True
    try:
        newest = path.lstat().st_mtime
        if path.is_dir():
            newest = max([newest, *(entry.lstat().st_mtime for entry in path.iterdir())])
    except (FileNotFoundError, PermissionError):
        return False  # its owner finished while we looked, or is another user
    return time.time() - newest > DAY


def remove(path: Path) -> None:
    """Delete a file or a whole folder as far as possible; what another process deletes meanwhile is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def file_bytes(path: Path) -> int:
    """Return the size of a file, 0 if it has vanished."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def folder_bytes(path: Path) -> int:
    """Return the bytes of all files below ``path``; what vanishes meanwhile does not count, links are not followed."""
    return sum(file_bytes(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _plain(host: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", host)
