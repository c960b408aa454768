"""Reading files out of untrusted archives and folders; nothing is ever extracted to disk.

Members are yielded one by one, as bytes in memory. Names are checked, links and devices refused, and what is counted
against the limits is bytes actually read, not what a header claims: a tar file is read through a meter that sits behind
its decompressor, a zip member through a bounded read.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.data.base import DataError


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused as too much; defaults fit every picture data set that one machine can train on.

    ``ratio`` bounds how far the whole archive may expand, once more than ``ratio_floor`` bytes came out of it.
    ``pixels`` bounds one picture and ``decoded_bytes`` all of them after decoding.
    """

    files: int = 200_000
    total_bytes: int = 4 << 30
    file_bytes: int = 64 << 20
    ratio: int = 250
    ratio_floor: int = 32 << 20
    pixels: int = 4096 * 4096
    decoded_bytes: int = 8 << 30

    def allowed(self, packed: int) -> int:
        """Return how many bytes may come out of an archive of ``packed`` bytes."""
        return min(self.total_bytes, max(self.ratio_floor, self.ratio * packed))


LIMITS = Limits()

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    ValueError,  # also UnicodeError
    OverflowError,
    IndexError,
    KeyError,
    TypeError,
    RuntimeError,  # also NotImplementedError and RecursionError
    MemoryError,
)
"""What the standard library raises on damaged archives; several of these are seen only on hostile ones."""

_JUNK = {"__macosx", "thumbs.db", "desktop.ini"}

_UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and the halves of characters that stand for bytes of a broken encoding."""


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file: its relative name in parts, its bytes, and the share of the source read so far (0 to 1)."""

    parts: tuple[str, ...]
    data: bytes
    share: float

    @property
    def name(self) -> str:
        """The relative name with forward slashes."""
        return "/".join(self.parts)


def members(path: Path, limits: Limits = LIMITS) -> Iterator[Member]:
    """Yield every regular file of a folder or of a .zip, .tar, .tar.gz, .tgz or .tar.xz archive.

    The content decides the kind of an archive. Dot files, ``__MACOSX``, ``Thumbs.db`` and ``desktop.ini`` are left
    out. A folder is read in the order of names, an archive in its own order.

    Raises:
        DataError: no such file, not an archive, damaged, over a limit, or a member that could do harm (by name).
    """
    with _damage_of(path):
        folder = path.is_dir()
        if not folder and not path.is_file():
            raise DataError(f"{path}: there is no such folder or archive")
        magic = b"" if folder else _start_of(path)
    if folder:
        yield from _folder(path, limits)
    elif magic[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _zip(path, limits)
    elif magic[:2] == b"\x1f\x8b" or magic[:6] == b"\xfd7zXZ\x00" or magic[257:262] == b"ustar":
        yield from _tar(path, limits, magic)
    else:
        raise DataError(f"{path}: this is not a folder of pictures nor a .zip, .tar, .tar.gz, .tgz or .tar.xz archive")


def listing(root: Path, limits: Limits = LIMITS) -> list[tuple[str, os.stat_result]]:
    """Return (relative name, status) of every regular file under a folder, in the order of names.

    Raises:
        DataError: a symbolic link or a device (they could lead out of the folder or never end), too many files.
    """
    files: list[tuple[str, os.stat_result]] = []
    pending = [""]
    with _damage_of(root):
        while pending:
            below = pending.pop()
            with os.scandir(root / below) as entries:
                here = sorted(entries, key=lambda entry: entry.name)
            for entry in here:
                name = f"{below}{entry.name}"
                if _junk(entry.name):
                    continue
                _parts(name, root)
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    raise DataError(
                        f"{root}: {name} is a symbolic link; links are not followed, put the pictures themselves there"
                    )
                if stat.S_ISDIR(status.st_mode):
                    pending.append(f"{name}/")
                elif stat.S_ISREG(status.st_mode):
                    files.append((name, status))
                else:
                    raise DataError(f"{root}: {name} is a device or a pipe, not a picture; remove it")
                if len(files) + len(pending) > limits.files:
                    raise _too_many(root, limits)
    return sorted(files, key=lambda item: item[0])


def _folder(root: Path, limits: Limits) -> Iterator[Member]:
    files = listing(root, limits)
    total = 0
    for i, (name, _) in enumerate(files):
        with _damage_of(root):
            handle = os.open(root / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(handle, "rb") as file:
                data = file.read(limits.file_bytes + 1)
        total += len(data)
        _check_sizes(root, name, len(data), total, limits.total_bytes, limits)
        yield Member(_parts(name, root), data, (i + 1) / len(files))


def _zip(path: Path, limits: Limits) -> Iterator[Member]:
    _count_zip_entries(path, limits)
    allowed = limits.allowed(path.stat().st_size)
    total = 0
    with contextlib.ExitStack() as stack:
        with _damage_of(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            entries = archive.infolist()
        for i, info in enumerate(entries):
            parts = _parts(info.orig_filename, path)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(path, info.orig_filename)
            if info.flag_bits & 0x41:
                raise DataError(f"{path}: {info.filename} is encrypted; pack it again without a password")
            if info.orig_filename.endswith("/") or kind == stat.S_IFDIR or not parts or any(map(_junk, parts)):
                continue
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(
                    f"{path}: {info.filename} is packed in a rare way; zip it again with normal compression"
                )
            _check_sizes(path, info.filename, info.file_size, total, allowed, limits)
            with _damage_of(path, info.filename), archive.open(info) as file:
                data = file.read(limits.file_bytes + 1)
            total += len(data)
            _check_sizes(path, info.filename, len(data), total, allowed, limits)
            yield Member(parts, data, (i + 1) / len(entries))


def _count_zip_entries(path: Path, limits: Limits) -> None:
    """Refuse a directory of millions of entries before the zip reader builds an object for each of them."""
    entries, tail = 0, b""
    with _damage_of(path), path.open("rb") as file:
        while block := file.read(1 << 20):
            entries += (tail + block).count(b"PK\x01\x02")
            tail = block[-3:]
            if entries > limits.files:
                raise _too_many(path, limits)


class _Meter:
    """A forward-only file for the tar reader: counts every byte that comes out of the decompressor, and stops in time.

    It must see single large reads too, because the tar reader takes a whole extended header at once, as long as the
    header says it is.
    """

    def __init__(self, stream: IO[bytes], path: Path, limits: Limits) -> None:
        self._stream = stream
        self._path = path
        self._limits = limits
        self._allowed = limits.allowed(path.stat().st_size)
        self._position = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("the headers point backwards")
        while self._position < position:
            if not self.read(min(position - self._position, 1 << 20)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= max(self._limits.file_bytes, tarfile.RECORDSIZE):
            raise DataError(f"{self._path}: one file in it is larger than {_size(self._limits.file_bytes)}")
        data = self._stream.read(size)
        self._last = data
        self._position += len(data)
        if self._position > self._allowed:
            raise _too_large(self._path, self._allowed, self._limits)
        return data

    def finish(self) -> None:
        """Check that the tar reader stopped at an end mark, and read on so that the decompressor's checksum is tested.

        The reader takes any damaged header for the end, and so would silently lose all that follows.
        """
        if len(self._last) < tarfile.BLOCKSIZE or self._last.strip(b"\0"):
            raise tarfile.ReadError("it ends without an end mark")
        while self.read(tarfile.RECORDSIZE):
            pass


def _tar(path: Path, limits: Limits, magic: bytes) -> Iterator[Member]:
    with contextlib.ExitStack() as stack:
        with _damage_of(path):
            raw = stack.enter_context(path.open("rb"))
            packed = max(1, path.stat().st_size)
            stream: IO[bytes] = raw
            if magic[:2] == b"\x1f\x8b":
                stream = stack.enter_context(gzip.GzipFile(fileobj=raw))  # type: ignore[assignment]
            elif magic[:6] == b"\xfd7zXZ\x00":
                stream = stack.enter_context(lzma.LZMAFile(raw))  # type: ignore[assignment]
            meter = _Meter(stream, path, limits)
            archive = stack.enter_context(tarfile.TarFile(fileobj=meter, mode="r"))  # type: ignore[arg-type]
        for count in range(limits.files + 1):
            with _damage_of(path):
                info = archive.next()
                if info is None:
                    meter.finish()
            if info is None:
                return
            if count == limits.files:
                break
            parts = _parts(info.name, path)
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                raise _special(path, info.name)
            _check_sizes(path, info.name, info.size, 0, limits.total_bytes, limits)
            if not parts or any(map(_junk, parts)):
                continue  # the next header is behind its bytes; the reader goes there through the meter
            with _damage_of(path, info.name):
                data = meter.read(info.size)
                if len(data) < info.size:
                    raise EOFError("it ends in the middle of a file")
            yield Member(parts, data, min(1.0, raw.tell() / packed))
    raise _too_many(path, limits)


def _parts(name: str, path: Path) -> tuple[str, ...]:
    """Split a member's name, refusing what could leave the folder it belongs to."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{path}: {name!r} names a place outside the archive; such an archive is not read")
    if len(name) > 4096 or _UNREADABLE.search(name):
        raise DataError(f"{path}: {name[:80]!r} is not a readable file name; rename it and pack again")
    return parts


def _junk(part: str) -> bool:
    return part.startswith(".") or part.lower() in _JUNK


def _check_sizes(path: Path, name: str, size: int, total: int, allowed: int, limits: Limits) -> None:
    if size > limits.file_bytes:
        raise DataError(f"{path}: {name} is larger than {_size(limits.file_bytes)}, too large for one picture")
    if total > allowed:
        raise _too_large(path, allowed, limits)


def _too_large(path: Path, allowed: int, limits: Limits) -> DataError:
    if allowed < limits.total_bytes:
        return DataError(
            f"{path}: it unpacks to more than {limits.ratio} times its size, as a decompression bomb does; "
            "if it is genuine, unpack it and give the folder instead"
        )
    return DataError(f"{path}: it holds more than {_size(allowed)} of files; use fewer or smaller pictures")


def _too_many(path: Path, limits: Limits) -> DataError:
    return DataError(f"{path}: it holds more than {limits.files:,} files; use fewer pictures")


def _special(path: Path, name: str) -> DataError:
    return DataError(
        f"{path}: {name} is a link, a device or another special file, not a picture; such an archive is not read"
    )


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count} bytes"


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


@contextlib.contextmanager
def _damage_of(path: Path, name: str = "") -> Iterator[None]:
    """Turn whatever a reader raises on broken input into a sentence."""
    where = f"{path}: {name}" if name else str(path)
    try:
        yield
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"{where} may not be read: {error.strerror}; change its permissions") from error
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{where} is damaged or cannot be read ({reason}); fetch or pack it again") from error
