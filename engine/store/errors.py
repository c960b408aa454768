"""Errors of folders and disks, in words that say what to do about them."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM}


class StoreError(RuntimeError):
    """The store or its queue cannot do this; the text says why and what to do about it."""


def disk_full(path: Path) -> StoreError:
    """Return the error for a disk, or a quota, with no room left at ``path``."""
    return StoreError(
        f"The disk is full: nothing more can be written to {path}. "
        "Free space or delete runs you no longer need, then start again; what was finished is kept."
    )


def explain(error: OSError, *, doing: str, path: Path) -> StoreError:
    """Return ``error`` as a :class:`StoreError`; ``doing`` completes "could not ..." and ``path`` is where."""
    if error.errno in _FULL:
        return disk_full(path)
    if error.errno in _FORBIDDEN:
        return StoreError(
            f"Not allowed to {doing} at {path}: this user lacks permission. "
            "Give this user read and write access to the folder, or choose another store with FORGETSCOPE_STORE."
        )
    if error.errno == errno.EROFS:
        return StoreError(
            f"Could not {doing} at {path}: the disk is read-only. "
            "Make it writable, or choose another store with FORGETSCOPE_STORE."
        )
    return StoreError(
        f"Could not {doing} at {path}: {error.strerror or error}. "
        "Check that the disk is there and working, or choose another store with FORGETSCOPE_STORE."
    )


@contextlib.contextmanager
def plain_words(doing: str, path: Path) -> Iterator[None]:
    """Turn an ``OSError`` raised inside into a :class:`StoreError` in plain words.

    Raises:
        StoreError: whenever the body raises ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise explain(error, doing=doing, path=path) from error
