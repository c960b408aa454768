"""Decoded pictures on disk: four .npy files and a JSON note in a folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import time
import tokenize
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from engine.data.base import Column, DataError, ImageData

FORMAT = 1
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_ABANDONED = 6 * 3600
"""Seconds after which a temporary folder belongs to a process that was killed."""


def fetch(home: Path, key: str, name: str) -> ImageData | None:
    """Return the pictures stored as ``key``, as read-only views of the files, or None when they must be decoded.

    Nothing is unpickled. A folder that is damaged or of another format counts as absent and is replaced.
    """
    folder = home / key
    try:
        note = json.loads((folder / "data.json").read_text("utf-8"))
        if note["format"] != FORMAT:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy's attempt to repair a header it cannot read
            arrays = {part: np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in _ARRAYS}
        if any([array.dtype.str, list(array.shape)] != note["arrays"][part] for part, array in arrays.items()):
            return None
        data = ImageData(
            name=name,
            classes=tuple(note["classes"]),
            x_train=np.asarray(arrays["x_train"]),
            y_train=np.array(arrays["y_train"]),
            x_test=np.asarray(arrays["x_test"]),
            y_test=np.array(arrays["y_test"]),
            top=note["top"],
            mean=tuple(note["mean"]),
            std=tuple(note["std"]),
            columns=tuple(Column(name, tuple(categories)) for name, categories in note.get("columns", ())),
            notes=tuple(note.get("notes", ())),
            target=note.get("target", ""),
            subsets={name: np.array(ids, np.int64) for name, ids in note.get("subsets", {}).items()},
        )
        vars(data)["hash"] = str(note["hash"])  # fills the cached property: a warm start need not read every pixel
        return data
    except (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, tokenize.TokenError, UserWarning):
        return None


def keep(folder: Path, data: ImageData) -> None:
    """Write what is missing of ``data`` into a temporary ``folder``: the arrays not there yet, then the note."""
    for part in _ARRAYS:
        if not (folder / f"{part}.npy").exists():
            np.save(folder / f"{part}.npy", getattr(data, part), allow_pickle=False)
    note = {
        "format": FORMAT,
        "arrays": {part: [getattr(data, part).dtype.str, list(getattr(data, part).shape)] for part in _ARRAYS},
        "classes": list(data.classes),
        "top": data.top,
        "mean": list(data.mean),
        "std": list(data.std),
        "hash": data.hash,
    }
    if data.subsets:
        note["subsets"] = {name: ids.tolist() for name, ids in data.subsets.items()}
    if data.tabular:
        columns = [[column.name, list(column.categories)] for column in data.columns]
        note |= {"columns": columns, "notes": list(data.notes), "target": data.target}
    (folder / "data.json").write_text(json.dumps(note, ensure_ascii=False, allow_nan=False), "utf-8")


@contextlib.contextmanager
def whole(home: Path, key: str) -> Iterator[Path]:
    """Give a temporary folder that becomes ``home / key`` if the block ends well and vanishes if it does not.

    Two processes may do this at once for the same key: both do the work, one folder stays.

    Raises:
        DataError: the disk is full or may not be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        temporary = home / f".part-{uuid.uuid4().hex}"
        temporary.mkdir()
    except OSError as error:
        raise _unwritable(home, error) from error
    try:
        yield temporary
        _publish(temporary, home / key)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG):
            raise _unwritable(home, error) from error
        raise
    finally:
        _remove(temporary)


def note(path: Path, value: object) -> None:
    """Write ``value`` as JSON to ``path``, whole or not at all.

    Raises:
        DataError: the disk is full or may not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".part-{uuid.uuid4().hex}"
        try:
            temporary.write_text(json.dumps(value), "utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _publish(temporary: Path, target: Path) -> None:
    """Rename into place; what is there already is another process's finished copy or a damaged one."""
    for _ in range(3):
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            try:
                temporary.rename(target)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
            else:
                return
        if fetch(target.parent, target.name, "") is not None:
            return
        with contextlib.suppress(FileNotFoundError):  # the other process may be replacing it as well
            old = temporary.parent / f".part-old-{uuid.uuid4().hex}"
            target.rename(old)
            _remove(old)
    raise DataError(f"{target} cannot be replaced; delete that folder and try again")


def _sweep(home: Path) -> None:
    """Remove temporary folders that killed processes left behind."""
    for folder in home.glob(".part-*"):
        with contextlib.suppress(FileNotFoundError):
            if folder.name.startswith(".part-old-") or time.time() - folder.stat().st_mtime > _ABANDONED:
                _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _unwritable(home: Path, error: OSError) -> DataError:
    return DataError(
        f"the decoded pictures cannot be stored in {home} ({error.strerror}); free space or move the store"
    )


class Rows:
    """A .npy file of uint8 written row by row in any order, with plain writes.

    A memory map would do the same, but on a full disk it kills the process instead of raising an error.
    """

    def __init__(self, path: Path, shape: Sequence[int]) -> None:
        self._row = int(np.prod(shape[1:]))
        self._file = path.open("wb")
        header = {"descr": "|u1", "fortran_order": False, "shape": tuple(int(n) for n in shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()
        self._file.truncate(self._start + self._row * int(shape[0]))

    def put(self, row: int, pixels: np.ndarray) -> None:
        """Write the pixels of one row."""
        self._file.seek(self._start + row * self._row)
        self._file.write(np.ascontiguousarray(pixels))

    def close(self) -> None:
        """Finish the file; errors of delayed writes appear here."""
        self._file.close()
