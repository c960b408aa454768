"""The store: one folder with everything Forgetscope has computed.

::

    VERSION                            {"format": 1}
    artefacts/<kind>/<key>/spec.json   what it is a result of
    artefacts/<kind>/<key>/<part>/     data files and _done.json, the marker
    data/                              decoded data sets
    uploads/                           archives visitors brought, named by the hash of their bytes
    unfinished/                        parts being written, swept when their writer has ended
    queue.sqlite3                      runs, progress, results (engine.queue)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from engine.records import canonical
from engine.store.artefact import Artefact
from engine.store.errors import StoreError, plain_words
from engine.store.files import abandoned, file_bytes, folder_bytes, remove, replace_file
from engine.store.pieces import Piece, free, holds, present, sizes, stored_spec

STORE_FORMAT = 1
_FOLDERS = ("artefacts", "data", "unfinished")


def default_store() -> Path:
    """Return the default folder of results: ``FORGETSCOPE_STORE``, else ``.store`` beside ``engine/``."""
    chosen = os.environ.get("FORGETSCOPE_STORE", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(__file__).resolve().parents[2] / ".store"


@dataclass(frozen=True)
class Store:
    """An opened store. A plain value: cheap to copy, picklable, safe in any number of threads and processes."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the store at ``path``, making it if there is nothing yet, and sweep what killed writers left.

        A full disk does not stop it from opening: reading and deleting must still be possible then.

        Raises:
            StoreError: a file is in the way, the folder holds something else, was written by an unknown version, or
                cannot be read or written. Nothing in it is changed.
        """
        store = cls(Path(path).expanduser().absolute())
        store._create()
        store._probe()
        store.sweep()
        return store

    @property
    def data_cache(self) -> Path:
        """Folder for decoded data sets."""
        return self.path / "data"

    @property
    def uploads(self) -> Path:
        """Folder for uploaded archives, named by the hash of their bytes; made with the first of them."""
        return self.path / "uploads"

    @property
    def queue_path(self) -> Path:
        """File of the queue, for :class:`engine.queue.Queue`."""
        return self.path / "queue.sqlite3"

    def artefact(self, kind: str, spec: Mapping[str, object]) -> Artefact:
        """Return the artefact that ``spec`` names; nothing is created before it is written to.

        ``spec`` must be the *whole* specification, the data's own hash included: equal specs share results.

        Raises:
            ValueError: ``kind`` is not lower-case letters and ``_``, or the spec is not plain, finite JSON data.
            StoreError: its folder was written from a different spec.
        """
        return Artefact.of(kind, spec, root=self.path / "artefacts", temporary=self.path / "unfinished")

    def usage(self) -> dict[str, int]:
        """Return bytes on disk by kind of artefact, then for the rest of the store.

        The other entries ("decoded data", "uploaded archives", "unfinished writes", "queue file") hold a
        space and so never meet a kind's name. Cost: one look at every file.

        Raises:
            StoreError: the store cannot be read.
        """
        with plain_words("read the store", self.path):
            used = {kind.name: folder_bytes(kind) for kind in sorted(_folders(self.path / "artefacts"))}
            used["decoded data"] = folder_bytes(self.data_cache)
            used["uploaded archives"] = folder_bytes(self.uploads)
            used["unfinished writes"] = folder_bytes(self.path / "unfinished")
            used["queue file"] = sum(file_bytes(entry) for entry in self.path.glob(f"{self.queue_path.name}*"))
        return used

    def free_bytes(self) -> int:
        """Return the bytes still free on the store's disk.

        Raises:
            StoreError: the store cannot be read.
        """
        with plain_words("read the store", self.path):
            return shutil.disk_usage(self.path).free

    def spec(self, kind: str, key: str) -> dict[str, Any]:
        """Return the spec of a stored artefact.

        Raises:
            StoreError: there is none of this name.
        """
        return stored_spec(self.path / "artefacts", kind, key)

    def pieces(self) -> dict[Piece, int]:
        """Return every finished part with its bytes on disk; one look at every file.

        Raises:
            StoreError: the store cannot be read.
        """
        return sizes(self.path / "artefacts")

    def holds(self, piece: Piece) -> bool:
        """Return whether a part is finished; one look at the disk.

        Raises:
            StoreError: the store cannot be read.
        """
        return holds(self.path / "artefacts", piece)

    def present(self, pieces: Iterable[Piece]) -> set[Piece]:
        """Return those of ``pieces`` that are finished: a listing per artefact instead of a look per part that is not.

        Raises:
            StoreError: the store cannot be read.
        """
        return present(self.path / "artefacts", pieces)

    def free(self, pieces: Iterable[Piece]) -> int:
        """Delete these parts and return the bytes freed; no other run may need them.

        Raises:
            StoreError: the store may not be changed.
        """
        return free(self.path / "artefacts", pieces, unfinished=self.path / "unfinished")

    def sweep(self) -> None:
        """Delete unfinished writes whose process no longer runs on this host, or that are older than a day.

        Raises:
            StoreError: the store cannot be read.
        """
        with plain_words("read the store", self.path):
            for entry in (self.path / "unfinished").iterdir():
                if abandoned(entry):
                    remove(entry)

    def _create(self) -> None:
        version = self.path / "VERSION"
        with plain_words("open the store", self.path):
            if self.path.exists() and not self.path.is_dir():
                raise StoreError(
                    f"The store {self.path} is a file, not a folder. Move it away, or choose another folder with "
                    "FORGETSCOPE_STORE."
                )
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                content = version.read_bytes()
            except FileNotFoundError:
                self._refuse_foreign()
                text = canonical({"format": STORE_FORMAT}).encode()
                # Hidden and in the root: "unfinished" must not exist before the folder is marked as a store.
                hidden = self.path / f".VERSION-{secrets.token_hex(6)}"
                hidden.mkdir()
                try:
                    replace_file(version, text, temporary=hidden)
                finally:
                    remove(hidden)
                content = version.read_bytes()
        try:
            written = json.loads(content)["format"]
        except (ValueError, KeyError, TypeError):
            raise StoreError(
                f"The file {version} is damaged: it should read {canonical({'format': STORE_FORMAT})}. If this folder "
                "is a store, write that into it; nothing else was touched."
            ) from None
        if written != STORE_FORMAT:
            raise StoreError(
                f"The store {self.path} has format {written!r}; this Forgetscope reads format {STORE_FORMAT}. Use the "
                "Forgetscope that wrote it, or choose another folder with FORGETSCOPE_STORE. Nothing was changed."
            )

    def _refuse_foreign(self) -> None:
        """Refuse to make a store of a folder that holds other files: their ``data/`` would become the store's."""
        foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".") and p.name != "lost+found"]
        if foreign and not (self.path / "VERSION").exists():  # another process may have just made it
            raise StoreError(
                f"The folder {self.path} is not a store and not empty (it holds {sorted(foreign)[0]}). Choose an "
                "empty or new folder."
            )

    def _probe(self) -> None:
        """Make the folders and find out now, not in the middle of a run, whether they can be used."""
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            with plain_words("read and write the store", folder):
                try:
                    folder.mkdir(exist_ok=True)
                    next(folder.iterdir(), None)
                    trial = folder / f".probe-{secrets.token_hex(6)}"
                    trial.mkdir()
                    trial.rmdir()
                except FileExistsError:
                    raise StoreError(
                        f"A file is in the way at {folder}, where the store keeps a folder. Move it away."
                    ) from None
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not folder.is_dir():
                        raise


def _folders(path: Path) -> list[Path]:
    folders = []
    with contextlib.suppress(FileNotFoundError):
        folders = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return folders
