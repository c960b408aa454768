"""Finished parts as pieces: their sizes on disk, and deleting them one by one."""

from __future__ import annotations

import json
import os
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


def holds(artefacts: Path, piece: Piece) -> bool:
    """Return whether a part is finished; one look at the disk.

    Raises:
        StoreError: the store cannot be read.
    """
    with plain_words("read the store", artefacts):
        return (artefacts / piece.kind / piece.key / piece.part / MARKER).is_file()


def present(artefacts: Path, pieces: Iterable[Piece]) -> set[Piece]:
    """Return those of ``pieces`` that are finished.

    Cost: one listing per kind and per artefact that is there, one look at the disk per part that is there.

    Raises:
        StoreError: the store cannot be read.
    """
    by_kind: dict[str, dict[str, list[Piece]]] = {}
    for piece in pieces:
        by_kind.setdefault(piece.kind, {}).setdefault(piece.key, []).append(piece)
    finished: set[Piece] = set()
    with plain_words("read the store", artefacts):
        for kind, by_key in by_kind.items():
            folder = f"{artefacts}/{kind}"
            for key in by_key.keys() & _names(folder):
                parts = _names(f"{folder}/{key}")
                finished |= {
                    piece
                    for piece in by_key[key]
                    if piece.part in parts and os.path.isfile(f"{folder}/{key}/{piece.part}/{MARKER}")  # noqa: PTH113
                }
    return finished


def _names(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - a sweep has thousands of parts, and Path is slow
    except (FileNotFoundError, NotADirectoryError):
        return set()


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
