"""Reading and writing one part of an artefact: arrays, tensors and JSON beside a done-marker."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.numpy

from engine.records import canonical
from engine.store.errors import StoreError, plain_words
from engine.store.files import new_file, sync

MARKER = "_done.json"
MARKER_FORMAT = 1
SMALL = 1 << 20
"""Files up to this many bytes carry a checksum that is verified on every read; of larger ones only the size is."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it can safely name a file, whatever the system.

    Raises:
        ValueError: it is empty, or holds anything but letters, digits, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what} must be letters, digits, _ and -, not {name!r}")
    return name


class _Sink:
    """A file that numpy takes for a stream.

    Given a real file numpy writes with ``tofile``, whose error on a full disk carries no error number.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)


@dataclass(frozen=True)
class PartWriter:
    """Takes the files of one part; they become visible together when the ``with`` block ends, or not at all."""

    folder: Path
    where: str

    def arrays(self, name: str, array: np.ndarray) -> None:
        """Write one array of any shape as ``name.npy``.

        Raises:
            ValueError: a bad or repeated name, or an array of objects (they would have to be pickled).
            StoreError: the disk is full or refuses.
        """
        path = self._path(name, ".npy")
        with plain_words(f"write {self.where}", path.parent), new_file(path) as file:
            np.lib.format.write_array(_Sink(file), np.asarray(array), allow_pickle=False)

    def tensors(self, name: str, tensors: Mapping[str, np.ndarray]) -> None:
        """Write named arrays (stacked parameters and buffers, say) as ``name.safetensors``.

        Raises:
            ValueError: a bad or repeated name, or a type of number safetensors does not know.
            StoreError: the disk is full or refuses.
        """
        path = self._path(name, ".safetensors")
        # asarray and not ascontiguousarray: the latter turns a scalar, shape (), into shape (1,).
        whole = {key: np.asarray(value, order="C") for key, value in tensors.items()}
        with plain_words(f"write {self.where}", path.parent):
            try:
                safetensors.numpy.save_file(whole, path)
            except safetensors.SafetensorError as error:
                # The library reports a failing disk as text; the number in it is the system's own.
                number = re.search(r"os error (\d+)", str(error))
                if number is None:
                    raise ValueError(f"{self.where}: {name} cannot be written as safetensors: {error}") from error
                raise OSError(int(number[1]), str(error)) from error
            sync(path)

    def json(self, name: str, value: object) -> None:
        """Write plain data as ``name.json``, in canonical form.

        Raises:
            ValueError: a bad or repeated name, or a number that is not finite (write ``None`` instead).
            StoreError: the disk is full or refuses.
        """
        path = self._path(name, ".json")
        data = canonical(value).encode()
        with plain_words(f"write {self.where}", path.parent), new_file(path) as file:
            file.write(data)

    def _path(self, name: str, suffix: str) -> Path:
        path = self.folder / (check_name(name, "a file's name") + suffix)
        if path.exists():
            raise ValueError(f"{self.where}: {path.name} is written twice")
        return path


@dataclass(frozen=True)
class Part:
    """A finished, checked part. Only files its marker lists exist for a reader."""

    folder: Path
    where: str
    files: Mapping[str, int] = field(default_factory=dict)

    def array(self, name: str, *, mmap: bool = True) -> np.ndarray:
        """Return an array; with ``mmap`` it is read-only and its pages are fetched from disk as they are touched.

        Raises:
            StoreError: no such array, or its file is damaged or was deleted since the part was opened.
        """
        path = self._path(name, ".npy")
        with plain_words(f"read {self.where}", path):
            try:
                return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise damaged(self.where, str(error)) from error

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """Return the named arrays that :meth:`PartWriter.tensors` wrote.

        Raises:
            StoreError: no such file, or it is damaged or was deleted since the part was opened.
        """
        path = self._path(name, ".safetensors")
        with plain_words(f"read {self.where}", path):
            try:
                return safetensors.numpy.load_file(path)
            except safetensors.SafetensorError as error:
                raise damaged(self.where, str(error)) from error

    def json(self, name: str) -> Any:
        """Return the plain data that :meth:`PartWriter.json` wrote.

        Raises:
            StoreError: no such file, or it is damaged or was deleted since the part was opened.
        """
        path = self._path(name, ".json")
        with plain_words(f"read {self.where}", path):
            try:
                return json.loads(path.read_bytes())
            except ValueError as error:
                raise damaged(self.where, str(error)) from error

    def _path(self, name: str, suffix: str) -> Path:
        if name + suffix not in self.files:
            raise StoreError(
                f"{self.where} has no {name}{suffix} (it has: {', '.join(sorted(self.files)) or 'nothing'})"
            )
        return self.folder / (name + suffix)


def damaged(where: str, why: str) -> StoreError:
    """Return the error for a part that is not what its writer left."""
    return StoreError(f"{where} is damaged ({why}). Discard it and run again: it will be computed afresh.")


def write_marker(folder: Path, *, key: str, part: str) -> None:
    """Write the done-marker: the part's identity, and size and checksum of every file in ``folder``.

    Raises:
        OSError: the disk is full or refuses.
    """
    files: dict[str, dict[str, int]] = {}
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size
        files[path.name] = {"bytes": size}
        if size <= SMALL:
            files[path.name]["crc32"] = zlib.crc32(path.read_bytes())
    marker = {"format": MARKER_FORMAT, "artefact": key, "part": part, "files": files}
    with new_file(folder / MARKER) as file:
        file.write(canonical(marker).encode())
    sync(folder)


def read_marker(folder: Path, *, key: str, part: str, where: str) -> Part:
    """Return the part in ``folder`` after checking every file against the marker.

    Raises:
        StoreError: there is no marker (unfinished), or anything differs from it (damaged).
        OSError: the folder cannot be read.
    """
    try:
        marker = json.loads((folder / MARKER).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{where} is not finished. Start the run again, or wait until it is computed.") from None
    except ValueError as error:
        raise damaged(where, f"its marker is unreadable: {error}") from error
    try:
        if (marker["format"], marker["artefact"], marker["part"]) != (MARKER_FORMAT, key, part):
            raise damaged(where, "its marker belongs to something else")
        files = {name: (entry["bytes"], entry.get("crc32")) for name, entry in marker["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise damaged(where, f"its marker lacks {error}") from error
    for name, (size, crc) in files.items():
        try:
            on_disk = (folder / name).stat().st_size
            if on_disk != size:
                raise damaged(where, f"{name} has {on_disk} bytes instead of {size}")
            if crc is not None and zlib.crc32((folder / name).read_bytes()) != crc:
                raise damaged(where, f"the checksum of {name} is wrong")
        except FileNotFoundError:
            raise damaged(where, f"{name} is missing") from None
    return Part(folder, where, {name: size for name, (size, _) in files.items()})
