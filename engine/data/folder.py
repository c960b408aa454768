"""A folder or an archive with one folder of pictures per class, decoded once and stored as plain arrays."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from engine.cards import Card
from engine.data.archive import LIMITS, Limits, Member, listing, members
from engine.data.base import DataError, Dataset, ImageData, Progress, image_data
from engine.data.decoded import Rows, fetch, keep, note, whole
from engine.data.layout import Layout, arrange
from engine.data.pictures import BadPicture, Look, bounded_decoder, decode, look
from engine.knobs import Knob
from engine.records import digest

LARGEST_SIDE = 224
_FORMAT = 2
"""Part of the key of a decoded copy; raise it when the same file would decode to other pixels."""

_RACY_NS = 2_000_000_000
"""A file touched this recently may change again without its time stamp showing it, so its hash is not remembered."""


@dataclass(frozen=True)
class Folder(Dataset):
    """Pictures from a folder or archive of class folders, with or without train/ and test/.

    All pictures are brought to one size, the most common one (at most 224 pixels a side, keeping its proportions);
    others are stretched to it with a bilinear antialiasing filter. They stay grey when every one of them is grey,
    otherwise all become RGB. The first load reads the source twice, once for sizes and once for pixels, so memory stays
    at one picture whatever the size of the archive.
    """

    key = "folder"
    order = 1
    needs = "path"
    limits: ClassVar[Limits] = LIMITS
    card = Card(
        name="Your own pictures",
        summary="A folder or archive with one folder of pictures per class, with or without train and test.",
        family="own",
        cost="decoded once (60,000 small JPEGs: well under a minute), then instant",
        fails="Very different picture shapes are stretched to the most common one.",
    )

    path: Annotated[
        str,
        Knob(
            "folder or archive",
            "A folder, .zip, .tar, .tar.gz, .tgz or .tar.xz of class folders, such as cat/1.png or train/cat/1.png "
            "and test/cat/2.png (val/ or valid/ serve as test when there is no test/).",
        ),
    ] = ""

    def read(self, cache: Path, progress: Progress) -> ImageData:
        """Return the pictures; the same content is decoded only once.

        Raises:
            DataError: nothing there, not readable as class folders of pictures, hostile or too large; in words.
        """
        if not self.path.strip():
            raise DataError('say which pictures to use: "path" is a folder or archive with one folder per class')
        progress(0.0, "looking at the files")
        try:
            source = Path(self.path).expanduser().resolve()
            exists = source.is_dir() or source.is_file()
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{self.path!r} is not a usable path: {error}") from error
        if not exists:
            raise DataError(f"{source}: there is no such folder or archive")
        home = cache / "folder"
        key = digest(["folder", _FORMAT, self._content(source, home, progress)])
        name = re.sub(r"\.(zip|tar|tgz|tar\.gz|tar\.xz)$", "", source.name, flags=re.IGNORECASE)
        data = fetch(home, key, name)
        if data is None:
            with whole(home, key) as temporary:
                self._decode(source, temporary, name, progress)
            data = fetch(home, key, name)
            if data is None:
                raise DataError(f"{home / key}: the decoded pictures cannot be read back; check the disk and try again")
        progress(1.0, "pictures ready")
        return data

    def _content(self, source: Path, home: Path, progress: Progress) -> str:
        """Return what identifies the content: names, sizes and times of a folder, the SHA-256 of an archive's bytes."""
        if source.is_dir():
            return digest([[name, s.st_size, s.st_mtime_ns] for name, s in listing(source, self.limits)])
        try:
            status = source.stat()
            stamp = [str(source), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]
            seen = home / "seen" / f"{digest(stamp)}.json"
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                return str(json.loads(seen.read_text("utf-8"))["sha256"])
            sha = hashlib.sha256()
            report = _Phase(progress, 0.0, 0.05, "checking the archive")
            with source.open("rb") as file:
                while block := file.read(1 << 20):
                    sha.update(block)
                    report(file.tell() / max(1, status.st_size))
        except OSError as error:
            raise DataError(f"{source} cannot be read: {error.strerror}") from error
        newest = max(status.st_mtime_ns, status.st_ctime_ns)
        if time.time_ns() - newest > _RACY_NS:
            note(seen, {"sha256": sha.hexdigest()})
        return sha.hexdigest()

    def _decode(self, source: Path, folder: Path, name: str, progress: Progress) -> None:
        """Read ``source`` twice and leave arrays and note in ``folder``."""
        report = _Phase(progress, 0.05, 0.3, "looking at the pictures")
        names: list[tuple[str, ...]] = []
        looks: list[Look] = []

        def see(member: Member) -> None:
            looks.append(look(member.data, self.limits.pixels))
            names.append(member.parts)
            report(member.share)

        self._each(source, see)
        layout = arrange(names, str(source))
        if len(layout.classes) < 2:
            raise DataError(
                f"{source}: all its pictures are of one class, {layout.classes[0]!r}; a classifier needs at least two: "
                "put a folder with pictures of another class beside it"
            )
        used = [looks[i] for i in np.flatnonzero(layout.place >= 0)]
        width, height = common_size(used)
        grey = all(each.grey for each in used)
        shape = (1 if grey else 3, height, width)
        if len(used) * int(np.prod(shape)) > self.limits.decoded_bytes:
            raise DataError(
                f"{source}: {len(used):,} pictures of {width}x{height} take more than "
                f"{self.limits.decoded_bytes / 2**30:g} GiB decoded; use fewer or smaller pictures"
            )
        self._write(source, folder, names, layout, shape, _Phase(progress, 0.3, 0.95, "decoding the pictures"))
        labels = {}
        for part, rows in (("train", ~layout.test & (layout.place >= 0)), ("test", layout.test)):
            labels[part] = np.empty(rows.sum(), np.int64)
            labels[part][layout.place[rows]] = layout.labels[rows]
        progress(0.95, "measuring the pictures")
        data = image_data(
            name=name,
            classes=layout.classes,
            x_train=np.load(folder / "x_train.npy", mmap_mode="r", allow_pickle=False),
            y_train=labels["train"],
            x_test=np.load(folder / "x_test.npy", mmap_mode="r", allow_pickle=False),
            y_test=labels["test"],
            subsets=layout.subsets(),
        )
        keep(folder, data)

    def _write(
        self,
        source: Path,
        folder: Path,
        names: list[tuple[str, ...]],
        layout: Layout,
        shape: tuple[int, int, int],
        report: Callable[[float], None],
    ) -> None:
        """Decode every picture into its row of x_train.npy or x_test.npy."""
        rows = {parts: i for i, parts in enumerate(names)}
        counts = [int((layout.place[layout.test == held] >= 0).sum()) for held in (False, True)]
        if not all(counts):
            raise DataError(f"{source}: too few pictures to hold some out for testing; add pictures to the classes")
        channels, height, width = shape
        files: list[Rows] = []
        done: set[int] = set()

        def put(member: Member) -> None:
            i = rows.get(member.parts, -1)
            if i < 0 or i in done:
                raise DataError(f"{source}: it changed while it was read; try again when nothing writes to it")
            done.add(i)
            if layout.place[i] >= 0:
                pixels = decode(
                    member.data, width=width, height=height, grey=channels == 1, max_pixels=self.limits.pixels
                )  # (C, H, W)
                files[int(layout.test[i])].put(int(layout.place[i]), pixels)
            report(member.share)

        with contextlib.ExitStack() as stack:
            for part, n in zip(("train", "test"), counts, strict=True):
                files.append(Rows(folder / f"x_{part}.npy", (n, *shape)))
                stack.callback(files[-1].close)
            self._each(source, put)
        if len(done) != len(names):
            raise DataError(f"{source}: it changed while it was read; try again when nothing writes to it")

    def _each(self, source: Path, use: Callable[[Member], None]) -> None:
        """Call ``use`` on every file; an error names those that are not pictures together."""
        bad: list[str] = []
        count = 0
        with bounded_decoder(), contextlib.closing(members(source, self.limits)) as files:
            for member in files:
                count += 1
                try:
                    use(member)
                except BadPicture as error:
                    bad.append(f"{member.name} ({error})")
        if bad:
            more = f" and {len(bad) - 5:,} more" if len(bad) > 5 else ""
            raise DataError(
                f"{source}: {len(bad):,} of {count:,} files cannot be used as pictures: {', '.join(bad[:5])}{more}; "
                "remove or repair them"
            )


def common_size(looks: list[Look]) -> tuple[int, int]:
    """Return the most common (width, height), scaled down to at most ``LARGEST_SIDE``; of equals the larger one."""
    counts = Counter((each.width, each.height) for each in looks)
    width, height = max(counts, key=lambda size: (counts[size], size[0] * size[1], size))
    scale = min(1.0, LARGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class _Phase:
    """Reports a phase's share to the progress callback, at most ten times a second so that small files stay fast."""

    def __init__(self, progress: Progress, low: float, high: float, what: str) -> None:
        self._progress, self._low, self._high, self._what = progress, low, high, what
        self._last = float("-inf")

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._last >= 0.1:
            self._last = now
            self._progress(self._low + (self._high - self._low) * share, self._what)
