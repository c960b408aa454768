"""Fetching published data sets with torchvision's downloader and MD5 checks, and reading the two formats most come in.

torchvision's own CIFAR classes unpickle what they downloaded; here the binary editions are parsed as plain bytes, and
so are the others. After the first load the decoded arrays come from the cache: neither network nor torchvision is used.
"""

from __future__ import annotations

import abc
import http.client
import shutil
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from engine.data.archive import Limits, members
from engine.data.base import DataError, Dataset, ImageData, Progress, image_data
from engine.data.decoded import fetch, keep, whole
from engine.data.idx import read_idx

_LIMITS = Limits(file_bytes=1 << 28)
_KEY = "decoded-1"


class Remote(NamedTuple):
    """One file to fetch: where it is, other places to try, the name to keep it under, its MD5."""

    url: str
    mirrors: tuple[str, ...]
    name: str
    md5: str


class Parsed(NamedTuple):
    """What the files hold: class names, uint8 pictures (N, C, H, W) and (T, C, H, W), labels (N,) and (T,)."""

    classes: tuple[str, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


@dataclass(frozen=True)
class Downloaded(Dataset, abc.ABC):
    """A data set that is fetched once and then read from the cache.

    Fetched files stay in ``cache/KEY/downloads``; on a machine without network they can be put there by hand.
    """

    needs = "network"

    @abc.abstractmethod
    def remotes(self) -> tuple[Remote, ...]:
        """Return the files to fetch."""

    @abc.abstractmethod
    def parse(self, files: dict[str, Path]) -> Parsed:
        """Read the fetched files, by the names of :meth:`remotes`."""

    def read(self, cache: Path, progress: Progress) -> ImageData:
        """Return the data, downloaded if it is not in the cache.

        Raises:
            DataError: no network, a server that fails, a file that is not what it should be.
        """
        progress(0.0, f"looking for {self.card.name}")
        home = cache / self.key
        data = fetch(home, _KEY, self.key)
        if data is None:
            files = self.installed() or self._downloads(home / "downloads", progress)
            progress(0.8, f"reading {self.card.name}")
            with whole(home, _KEY) as temporary:
                try:
                    parsed = self.parse(files)
                except DataError:
                    raise
                except (ValueError, KeyError, IndexError, EOFError, OSError, zlib.error) as error:
                    raise DataError(
                        f"{self.card.name}: the files in {next(iter(files.values())).parent} are not what was expected "
                        f"({error}); delete them and try again"
                    ) from error
                keep(temporary, image_data(name=self.key, **parsed._asdict()))
            data = fetch(home, _KEY, self.key)
            if data is None:
                raise DataError(
                    f"{home / _KEY}: the decoded pictures cannot be read back; check the disk and try again"
                )
        progress(1.0, f"{self.card.name} ready")
        return data

    def installed(self) -> dict[str, Path]:
        """Return the files by name where a package of the system has put all of them, else nothing."""
        return {}

    def _downloads(self, folder: Path, progress: Progress) -> dict[str, Path]:
        remotes = self.remotes()
        files = {}
        for i, remote in enumerate(remotes):
            progress(0.8 * i / len(remotes), f"downloading {remote.name}")
            files[remote.name] = self._obtain(remote, folder)
        return files

    def _obtain(self, remote: Remote, folder: Path) -> Path:
        """Return the local copy of ``remote``; a file appears in ``folder`` only after its MD5 was checked."""
        utils = torchvision_utils(self.card.name)
        target = folder / remote.name
        if utils.check_integrity(str(target), remote.md5):
            return target
        failures = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".part-{uuid.uuid4().hex}"
            temporary.mkdir()
        except OSError as error:
            raise DataError(f"{folder} cannot be written ({error.strerror}); choose another store") from error
        try:
            for url in (remote.url, *remote.mirrors):
                try:
                    utils.download_url(url, str(temporary), filename=remote.name, md5=remote.md5)
                    return (temporary / remote.name).replace(target)
                except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
                    failures.append(f"{url}: {error}")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        raise DataError(
            f"{self.card.name} could not be downloaded: {'; '.join(failures)}. Connect to the network and try again, "
            f"put {remote.name} into {folder} by hand, or use a folder or archive of your own with --dataset PATH"
        )


def torchvision_utils(name: str):  # noqa: ANN202 - a module, imported late because it takes seconds
    from engine.data._torchvision_shim import prepare_torchvision

    try:
        prepare_torchvision()
        from torchvision.datasets import utils
    except (ImportError, RuntimeError, OSError) as error:
        raise DataError(
            f"{name} is downloaded with torchvision, which does not work here ({error}); install the torchvision that "
            "fits the installed torch, or use a folder or archive with --dataset PATH"
        ) from error
    return utils


@dataclass(frozen=True)
class IdxFiles(Downloaded, abc.ABC):
    """Four IDX files, as MNIST and its successors are published."""

    source: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]

    def remotes(self) -> tuple[Remote, ...]:
        """Take addresses and checksums from torchvision's class of the same data set."""
        torchvision_utils(self.card.name)
        from torchvision import datasets

        theirs = getattr(datasets, self.source)
        first, *others = theirs.mirrors
        return tuple(
            Remote(first + name, tuple(mirror + name for mirror in others), name, md5) for name, md5 in theirs.resources
        )

    def parse(self, files: dict[str, Path]) -> Parsed:
        """Read pictures (N, 28, 28) and labels (N,)."""
        parts = [
            read_idx(files[f"{split}-{what}-ubyte.gz"])
            for split in ("train", "t10k")
            for what in ("images-idx3", "labels-idx1")
        ]
        return Parsed(self.classes, parts[0][:, None], parts[1], parts[2][:, None], parts[3])


@dataclass(frozen=True)
class CifarRecords(Downloaded, abc.ABC):
    """The binary edition: one record per picture, label bytes and then 3 x 32 x 32 pixel bytes."""

    remote: ClassVar[Remote]
    train: ClassVar[tuple[str, ...]]
    test: ClassVar[str]
    names: ClassVar[str]
    label_bytes: ClassVar[int]

    def remotes(self) -> tuple[Remote, ...]:
        return (self.remote,)

    def parse(self, files: dict[str, Path]) -> Parsed:
        """Read the records out of the archive in memory; the last label byte is the class."""
        names = {*self.train, self.test, self.names}
        contents = {m.parts[-1]: m.data for m in members(files[self.remote.name], _LIMITS) if m.parts[-1] in names}
        classes = tuple(contents[self.names].decode("utf-8").split())
        x_train, y_train = self._records(b"".join(contents[part] for part in self.train))
        x_test, y_test = self._records(contents[self.test])
        return Parsed(classes, x_train, y_train, x_test, y_test)

    def _records(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        records = np.frombuffer(data, np.uint8).reshape(-1, self.label_bytes + 3072)  # (N, labels + 3072)
        pictures = records[:, self.label_bytes :].reshape(-1, 3, 32, 32)  # (N, 3, 32, 32)
        return pictures, records[:, self.label_bytes - 1]
