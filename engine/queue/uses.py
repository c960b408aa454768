"""Which parts of the store a run stands on, so that deleting it takes away exactly what no other run uses.

The compute process notes a run's parts when it plans it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.queue.queue import USES, Queue
from engine.queue.rows import RunRow
from engine.queue.shelf import Shelf
from engine.specs import KINDS, Analysed
from engine.store import Piece, Store, StoreError
from engine.store.uploads import discard, path_of

OWNED = frozenset(kind.kind for kind in KINDS if kind.owned)
"""Kinds of artefacts that belong to runs; probes, explorations and decoded data serve every later visitor."""
FRESH = 60.0


@dataclass(frozen=True)
class Use:
    """What a run takes on disk: bytes that only it needs, and bytes that it shares with other runs."""

    own: int
    shared: int


def note_uses(queue: Queue, run_id: str, pieces: Iterable[Piece], *, complete: bool) -> None:
    """Note the parts a run needs, finished or not; ``complete`` says that no more will follow. Replaces older notes."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for kind, key, part in sorted(set(pieces)):
        grouped.setdefault((kind, key), []).append(part)
    listed = [[kind, key, parts] for (kind, key), parts in grouped.items()]
    queue.remember(USES + run_id, {"pieces": listed, "complete": complete})


def used(queue: Queue, run_id: str) -> frozenset[Piece]:
    """Return the parts a run needs, as far as they are known."""
    noted = queue.recall(USES + run_id) or {"pieces": []}
    return frozenset(Piece(kind, key, part) for kind, key, parts in noted["pieces"] for part in parts)


def disk_use(queue: Queue, store: Store, runs: Iterable[RunRow]) -> tuple[dict[str, Use], int]:
    """Return what each run takes on disk, by its id, and the bytes of results that none of ``runs`` needs any more.

    ``runs`` must be all of them. Cost: one look at every file of the store, one small read per run.

    Raises:
        StoreError: the store cannot be read.
    """
    present = {piece: size for piece, size in store.pieces().items() if piece.kind in OWNED}
    based = _analyses(store, present)
    needs = {run.id: _with_analyses(used(queue, run.id), based) & present.keys() for run in runs}
    users: dict[Piece, int] = {}
    for pieces in needs.values():
        for piece in pieces:
            users[piece] = users.get(piece, 0) + 1
    uses = {}
    for run_id, pieces in needs.items():
        own = sum(present[piece] for piece in pieces if users[piece] == 1)
        uses[run_id] = Use(own, sum(present[piece] for piece in pieces) - own)
    left = sum(size for piece, size in present.items() if piece not in users)
    return uses, left


def delete_run(queue: Queue, store: Store, run_id: str) -> int:
    """Delete a finished run and every part that no other run needs; return the bytes freed.

    Raises:
        StoreError: there is no such run, it is not over, or the store may not be changed.
    """
    pieces = _with_analyses(used(queue, run_id), _analyses(store, store.pieces()))
    queue.delete(run_id)
    return store.free(_unneeded(queue, store, pieces)) + free_uploads(queue, store)


def free_unused(queue: Queue, store: Store) -> int:
    """Delete the results that no run needs any more and return the bytes freed.

    Raises:
        StoreError: the store cannot be read, or may not be changed.
    """
    return store.free(_unneeded(queue, store, store.pieces()))


def free_uploads(queue: Queue, store: Store) -> int:
    """Delete uploaded archives that are on no shelf and in no run's recipe; return the bytes freed.

    One that came less than :data:`FRESH` seconds ago may be on its way to a shelf and stays.

    Raises:
        StoreError: one may not be deleted.
    """
    try:
        now = time.time()
        lying = [entry.name for entry in store.uploads.iterdir() if now - entry.stat().st_mtime > FRESH]
    except FileNotFoundError:
        return 0
    shelf = Shelf(store.queue_path)
    named = {str(run.recipe.get("dataset", {}).get("path", "")) for run in queue.runs(limit=1_000_000)}
    return sum(
        discard(store, name)
        for name in lying
        if shelf.upload(name.partition(".")[0]) is None and str(path_of(store, name)) not in named
    )


def _analyses(store: Store, pieces: Iterable[Piece]) -> dict[Piece, frozenset[Piece]]:
    """Return the analyses of networks among ``pieces``, each with the parts of the networks that it looked at.

    No run notes them, because any visitor may ask for them later; their specs name the networks.
    """
    based = {}
    for piece in pieces:
        if piece.kind == Analysed.kind:
            with contextlib.suppress(StoreError):  # deleted meanwhile
                based[piece] = frozenset(_networks(store, piece))
    return based


def _networks(store: Store, piece: Piece) -> list[Piece]:
    """Return the parts of networks that one part of an analysis belongs to."""
    spec = Analysed.from_json(store.spec(piece.kind, piece.key))
    artefact = spec.owner.artefact(store)
    return [Piece(artefact.kind, artefact.key, part) for part in spec.parts or (piece.part,)]


def _with_analyses(used: frozenset[Piece], based: Mapping[Piece, frozenset[Piece]]) -> frozenset[Piece]:
    """Return the parts a run uses and the analyses of its networks."""
    return used | {analysis for analysis, networks in based.items() if networks <= used}


def _unneeded(queue: Queue, store: Store, pieces: Iterable[Piece]) -> list[Piece]:
    """Return those of ``pieces`` that belong to runs and that no run needs.

    None while a run is being planned: what it will need is not known yet.
    """
    runs = queue.runs(limit=1_000_000)
    if any(not run.over and not (queue.recall(USES + run.id) or {}).get("complete") for run in runs):
        return []
    based = _analyses(store, pieces)
    needed = {piece for run in runs for piece in _with_analyses(used(queue, run.id), based)}
    return sorted(piece for piece in set(pieces) - needed if piece.kind in OWNED)
