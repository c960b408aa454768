"""Handing out stored files: one as it is, several as an uncompressed zip that is written while it is read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.store.errors import plain_words
from engine.store.files import file_bytes

_BLOCK = 1 << 20
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """Files to take away under a plain ASCII ``name``: each with the name it gets, and what a manifest says of all."""

    name: str
    files: tuple[tuple[str, Path], ...]
    manifest: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the files; a zip adds a few hundred for each."""
        return sum(file_bytes(path) for _, path in self.files)

    @property
    def zipped(self) -> bool:
        """Whether it takes a zip to hold the files."""
        return len(self.files) != 1

    @property
    def file_name(self) -> str:
        """The name to save it under."""
        return f"{self.name}.zip" if self.zipped else f"{self.name}{Path(self.files[0][0]).suffix}"

    def blocks(self) -> Iterator[bytes]:
        """Yield what is to be saved, a megabyte of memory at a time whatever the size.

        Raises:
            StoreError: a file cannot be read any more.
        """
        if not self.zipped:
            yield from _read(self.files[0][1])
            return
        out = _Pipe()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:  # type: ignore[call-overload]
            packed.writestr(zipfile.ZipInfo("manifest.json", _LONG_AGO), json.dumps(self.manifest, indent=1))
            for name, path in self.files:
                with packed.open(zipfile.ZipInfo(name, _LONG_AGO), "w", force_zip64=True) as inside:
                    for block in _read(path):
                        inside.write(block)
                        yield out.taken()
        yield out.taken()


class _Pipe:
    """A file that only goes forward: what is written can be taken out block by block."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._blocks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def taken(self) -> bytes:
        whole = b"".join(self._blocks)
        self._blocks.clear()
        return whole


def _read(path: Path) -> Iterator[bytes]:
    with plain_words("read the stored networks", path), path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
