"""Finished parts as pieces: their sizes on disk, and deleting them one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from engine.store.errors import StoreError, plain_words
from engine.store.files import folder_bytes, owned_name, remove, sync
from engine.store.parts import MARKER, check_name


class Piece(NamedTuple):
    """One finished part of one artefact."""

    kind: str
    key: str
    part: str


def sizes(artefacts: Path) -> dict[Piece, int]:
    """Return the bytes of every finished part below the folder ``artefacts``; what vanishes meanwhile does not count.

    Cost: one look at every file, like ``du``.

    Raises:
        StoreError: the store cannot be read.
    """
    with plain_words("read the store", artefacts):
        return {
            Piece(marker.parent.parent.parent.name, marker.parent.parent.name, marker.parent.name): folder_bytes(
                marker.parent
            )
            for marker in artefacts.glob(f"[!.]*/[!.]*/[!.]*/{MARKER}")
        }


def stored_spec(artefacts: Path, kind: str, key: str) -> dict[str, Any]:
    """Return the spec of one artefact below the folder ``artefacts``.

    Raises:
        StoreError: it is not there, or damaged.
    """
    path = artefacts / check_name(kind, "a kind") / check_name(key, "a key") / "spec.json"
    with plain_words("read the store", path):
        try:
            return json.loads(path.read_bytes())["spec"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"The file {path} is damaged. Delete its folder.") from error


def free(artefacts: Path, pieces: Iterable[Piece], *, unfinished: Path) -> int:
    """Delete these parts, and artefacts that have none left, and return the bytes freed.

    Each is first moved to ``unfinished``, so a reader sees it whole or not at all.

    Raises:
        StoreError: the store may not be changed.
        ValueError: a piece that no store can hold.
    """
    freed = 0
    with plain_words("delete results", artefacts):
        for piece in pieces:
            folder = artefacts / check_name(piece.kind, "a kind") / check_name(piece.key, "a key")
            aside = unfinished / owned_name()
            try:
                (folder / check_name(piece.part, "a part")).rename(aside)
            except FileNotFoundError:
                continue  # another process deletes the same
            sync(folder)
            before = folder_bytes(aside)
            remove(aside)
            freed += before - folder_bytes(aside)
            if not any(entry.is_dir() for entry in folder.iterdir()):
                # A writer that misses it makes it anew.
                empty = unfinished / owned_name()
                folder.rename(empty)
                remove(empty)
    return freed
