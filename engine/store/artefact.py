"""Results named by what they are results of: ``artefacts/<kind>/<key>``, the key being the hash of the whole spec.

Order on disk is the promise: the spec first, a part's data next, its done-marker last. A part is written in a folder
aside and moved into place in one step, so a reader sees it whole or not at all, also after a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from engine.records import canonical, digest
from engine.store.errors import StoreError, plain_words
from engine.store.files import owned_name, remove, replace_file, sync
from engine.store.parts import MARKER, Part, PartWriter, check_name, read_marker, write_marker

ARTEFACT_VERSIONS: Mapping[str, int] = MappingProxyType({"unlearned": 4, "evaluation": 3})
"""Raise a kind's number here when its code changes what it computes: old results then no longer match.

A kind that is not listed is at 1.
"""

_KIND = re.compile(r"[a-z][a-z_]*")
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_ATTEMPTS = 20


def key_of(kind: str, spec: Mapping[str, object]) -> str:
    """Return the name of the artefact's folder, without a look at the disk: 32 hex digits."""
    return digest({"kind": kind, "version": ARTEFACT_VERSIONS.get(kind, 1), "spec": dict(spec)})


@dataclass(frozen=True)
class Artefact:
    """One content-addressed folder of parts (chunks of models, or ``whole``). Looking at it creates nothing.

    ``spec`` is plain JSON data; ``key`` is 32 hex digits over (kind, the kind's code version, spec). Picklable, so it
    can be sent to a worker.
    """

    kind: str
    key: str
    spec: Mapping[str, Any]
    path: Path
    temporary: Path

    @classmethod
    def of(cls, kind: str, spec: Mapping[str, object], *, root: Path, temporary: Path) -> Self:
        """Return the artefact that ``spec`` names below ``root``; :meth:`engine.store.Store.artefact` calls this.

        Raises:
            ValueError: ``kind`` is not lower-case letters and ``_``, or the spec is not plain JSON data.
            StoreError: the folder exists and was written from a different spec.
        """
        if not _KIND.fullmatch(kind):
            raise ValueError(f"an artefact's kind must be lower-case letters and _, not {kind!r}")
        # Through JSON and back, so that tuples and lists, which look the same on disk, are equal here too.
        plain = json.loads(canonical(dict(spec)))
        key = key_of(kind, plain)
        artefact = cls(kind, key, plain, root / kind / key, temporary)
        artefact._check_spec()
        return artefact

    def has(self, part: str) -> bool:
        """Return whether ``part`` is finished. Costs one look at the disk; its contents are checked by :meth:`read`.

        Raises:
            StoreError: the folder cannot be read.
        """
        path = self.path / check_name(part, "a part") / MARKER
        with plain_words(f"read {self._where(part)}", path):
            return path.is_file()

    def parts(self) -> list[str]:
        """Return the finished parts, sorted by name.

        Raises:
            StoreError: the folder cannot be read.
        """
        with plain_words(f"read the {self.kind} artefact", self.path):
            try:
                return sorted(entry.name for entry in self.path.iterdir() if (entry / MARKER).is_file())
            except FileNotFoundError:
                return []

    def read(self, part: str) -> Part:
        """Return a finished part after checking all sizes, and the checksums of small files.

        Raises:
            StoreError: it is unfinished, damaged (then :meth:`discard` it) or cannot be read.
        """
        folder = self.path / check_name(part, "a part")
        with plain_words(f"read {self._where(part)}", folder):
            return read_marker(folder, key=self.key, part=part, where=self._where(part))

    @contextlib.contextmanager
    def write(self, part: str) -> Iterator[PartWriter]:
        """Write a part: ``with artefact.write("0000-0020") as writer: writer.arrays("margins", margins)``.

        The part appears when the block ends. When it raises, nothing stays. When another process finished the same
        part meanwhile, that one stays and this one is dropped: equal specs hold the same. A damaged one is
        replaced.

        Raises:
            StoreError: the disk is full, or refuses; whatever the body raises.
        """
        final = self.path / check_name(part, "a part")
        where = self._where(part)
        aside = self.temporary / owned_name()
        with plain_words(f"write {where}", self.path):
            self._write_spec()
            aside.mkdir()
        try:
            yield PartWriter(aside, where)
            with plain_words(f"finish {where}", self.path):
                write_marker(aside, key=self.key, part=part)
                self._place(aside, final, part)
        finally:
            remove(aside)

    def discard(self, part: str) -> None:
        """Forget a part, damaged or not, so that it is computed again. One that is absent is no error.

        Raises:
            StoreError: the folder may not be changed.
        """
        final = self.path / check_name(part, "a part")
        aside = self.temporary / owned_name()
        with plain_words(f"delete {self._where(part)}", final):
            try:
                final.rename(aside)
            except FileNotFoundError:
                return
            sync(self.path)
            remove(aside)

    def _place(self, aside: Path, final: Path, part: str) -> None:
        """Move a complete folder into place, or leave it aside when a good part is there already."""
        for _ in range(_ATTEMPTS):
            try:
                aside.rename(final)
            except FileNotFoundError:
                if not aside.is_dir():
                    raise StoreError(
                        f"{self._where(part)} was cleaned away while it was being written. Run again."
                    ) from None
                self._write_spec()  # the artefact was deleted meanwhile: its folder is made anew
                continue
            except OSError as error:
                if error.errno not in _OCCUPIED:
                    raise
                try:
                    read_marker(final, key=self.key, part=part, where=self._where(part))
                except StoreError:
                    self.discard(part)
                    continue
                return
            sync(self.path)
            return
        raise StoreError(f"{self._where(part)} could not be put in place: others keep deleting it. Run again.")

    def _write_spec(self) -> None:
        if self._check_spec():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # deleted again in between: _place comes back here
            replace_file(self.path / "spec.json", canonical(self._full_spec()).encode(), temporary=self.temporary)
            sync(self.path.parent)

    def _check_spec(self) -> bool:
        """Return whether the spec is on disk; one that differs is refused."""
        path = self.path / "spec.json"
        with plain_words(f"read the {self.kind} artefact", path):
            try:
                on_disk = json.loads(path.read_bytes())
            except FileNotFoundError:
                return False
            except ValueError:
                on_disk = None
        if on_disk != self._full_spec():
            raise StoreError(
                f"The {self.kind} artefact at {self.path} was made from a different specification than its name says. "
                "It is not used. Delete that folder and run again."
            )
        return True

    def _full_spec(self) -> dict[str, object]:
        return {"kind": self.kind, "version": ARTEFACT_VERSIONS.get(self.kind, 1), "spec": self.spec}

    def _where(self, part: str) -> str:
        return f"part {part} of {self.kind} {self.key[:8]}"
