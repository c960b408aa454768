"""Uploaded archives and tables: checked before they are stored, and stored under the hash of their bytes.

A visitor's file name never reaches the file system: the first bytes decide the kind, and the name is the SHA-256.
What is inside is read later, in the compute process, within the limits of :mod:`engine.data.archive` or
:mod:`engine.data.delimited`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from engine.store.errors import plain_words
from engine.store.files import file_bytes, folder_bytes, new_file, owned_name, remove, sync
from engine.store.root import Store

KINDS = (".zip", ".tar", ".tar.gz", ".tar.xz", ".csv")
LARGEST = 400 << 20
"""Bytes of one upload; ``server.maxUploadSize`` in .streamlit/config.toml says the same."""
RESERVE = 1 << 30
"""Bytes of disk that an upload leaves free."""
MOST_FILES = 20_000
"""Files in an uploaded folder; more take longer to send one by one than to pack."""
_BLOCK = 1 << 20
_FILE = re.compile(rf"([0-9a-f]{{64}})({'|'.join(map(re.escape, KINDS))})")
_TABLE = re.compile(rb"[^\x00-\x08\x0e-\x1f]*[,;\t][^\x00-\x08\x0e-\x1f]*")
"""How a table begins: text with a separator in it."""


class UploadError(ValueError):
    """This cannot be uploaded; the text says what is wrong with it and what to do."""


class Upload(NamedTuple):
    """An archive or table in the store: the SHA-256 of its bytes, its kind and its size."""

    id: str
    kind: str
    size: int


def kind_of(start: bytes) -> str:
    """Return the kind of an archive or table by its first 512 bytes; text with a separator in it is a table.

    Raises:
        UploadError: it is none of :data:`KINDS`.
    """
    if not start:
        raise UploadError("The file is empty.")
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return ".zip"
    if start[:2] == b"\x1f\x8b":
        return ".tar.gz"
    if start[:6] == b"\xfd7zXZ\x00":
        return ".tar.xz"
    if start[257:262] == b"ustar":
        return ".tar"
    if _TABLE.fullmatch(start) and start[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return ".csv"
    raise UploadError(
        "This is not a .zip, .tar, .tar.gz, .tgz or .tar.xz archive nor a .csv table, whatever its name says. Pack one "
        "folder of pictures per class into one of these, or save a table as CSV."
    )


def path_of(store: Store, file: str) -> Path:
    """Return where an upload lies, by its hash and kind.

    Raises:
        ValueError: ``file`` is not a hash and one of :data:`KINDS`.
    """
    if not _FILE.fullmatch(file):
        raise ValueError(f"an upload is named by its hash, not {file!r}")
    return store.uploads / file


def keep(store: Store, archive: BinaryIO) -> Upload:
    """Look at an archive and put it into the store; the same bytes again cost nothing.

    Raises:
        UploadError: no archive, too large, or too little disk left.
        StoreError: the disk refuses.
    """
    size = archive.seek(0, io.SEEK_END)
    archive.seek(0)
    kind = kind_of(archive.read(512))
    if size > LARGEST:
        raise _too_large()
    if store.free_bytes() < size + RESERVE:
        raise UploadError("There is too little room left on this disk. Delete runs or uploads, then try again.")
    with plain_words("keep the upload", store.uploads):
        store.uploads.mkdir(exist_ok=True)
        aside = store.path / "unfinished" / owned_name()
        try:
            archive.seek(0)
            sha = hashlib.sha256()
            with new_file(aside) as file:
                while block := archive.read(_BLOCK):
                    sha.update(block)
                    file.write(block)
            upload = Upload(sha.hexdigest(), kind, size)
            aside.replace(path_of(store, upload.id + kind))
            sync(store.uploads)
        finally:
            aside.unlink(missing_ok=True)
    return upload


def pack(files: Iterable[tuple[str, BinaryIO]]) -> io.BytesIO:
    """Pack a folder's files, by their names in it, into a zip; the same files always give the same bytes.

    Raises:
        UploadError: no files, too many, too large together, a name twice, or one that leads out of the folder.
    """
    listed = sorted(files, key=lambda item: item[0])
    if not listed:
        raise UploadError("There are no pictures in this folder.")
    if len(listed) > MOST_FILES:
        raise UploadError(f"The folder holds more than {MOST_FILES:,} files. Pack it into an archive and send that.")
    out = io.BytesIO()
    seen: set[str] = set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for name, file in listed:
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
                raise UploadError(f"{name[:80]!r} leads out of the folder; such a folder is not taken.")
            inner = "/".join(parts)
            if inner in seen:
                raise UploadError(f"{inner[:80]!r} is there twice.")
            seen.add(inner)
            packed.writestr(zipfile.ZipInfo(inner), file.read())
            if out.tell() > LARGEST:
                raise _too_large()
    out.seek(0)
    return out


def discard(store: Store, file: str) -> int:
    """Delete an upload and what was read from it, and return the bytes freed. One that is absent is no error.

    Raises:
        StoreError: it may not be deleted.
    """
    path = path_of(store, file)
    with plain_words("delete the upload", path):
        decoded = store.artefact("data", {"dataset": {"key": "folder", "path": str(path)}})
        freed = 0
        if decoded.has("whole"):
            freed += _discard_pictures(store, str(decoded.read("whole").json("info")["hash"]))
            decoded.discard("whole")
        freed += _discard_tables(store, path)
        freed += file_bytes(path)
        remove(path)
    return freed


def _too_large() -> UploadError:
    return UploadError(f"The pictures are larger than {LARGEST >> 20} MB together. Use fewer or smaller ones.")


def _discard_tables(store: Store, path: Path) -> int:
    """Delete what was read of a table, whatever column was to be predicted; its copies begin with its hash."""
    freed = 0
    for folder in (store.data_cache / "csv").glob(f"{path.name[:32]}-*"):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            target = json.loads((folder / "data.json").read_bytes())["target"]
            store.artefact("data", {"dataset": {"key": "csv", "path": str(path), "target": target}}).discard("whole")
        freed += folder_bytes(folder)
        remove(folder)
    return freed


def _discard_pictures(store: Store, data_hash: str) -> int:
    """Delete decoded copies of folders and archives with this hash; other users of one decode it again."""
    freed = 0
    for note in (store.data_cache / "folder").glob("*/data.json"):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            if json.loads(note.read_bytes())["hash"] == data_hash:
                freed += folder_bytes(note.parent)
                remove(note.parent)
    return freed
