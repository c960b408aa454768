"""What several commands share: the store they work on, and the way they give up."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.store import Store, default_store


class Refused(Exception):
    """A command cannot go on; ``status`` is what the process exits with."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def open_store(arguments: argparse.Namespace) -> Store:
    """Open the store named by ``--store``, else by ``FORGETSCOPE_STORE``, else ``.store``.

    Raises:
        StoreError: it cannot be used; in plain words.
    """
    return Store.open(default_store() if arguments.store is None else Path(arguments.store))
