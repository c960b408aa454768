"""A forget set picked by hand: numbers of training pictures, typed or from a file."""

from __future__ import annotations

import io
import re
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np

from engine.cards import Card
from engine.forget.base import ForgetError, Left, Scene, Selector, checked, spans
from engine.knobs import Knob

LARGEST_FILE = 10_000_000
"""Bytes of a list that are read at most."""

LONGEST_NAME = 80
"""Most characters of a forget set's name."""

_MOST = 10_000_000
"""Numbers in a list at most, so that a range such as 0-999999999999 costs nothing."""

_UNREADABLE = (tokenize.TokenError, UserWarning)
"""What numpy also raises on a damaged header."""

_ITEM = re.compile(r"(\d{1,12})(?:-(\d{1,12}))?", re.ASCII)


@dataclass(frozen=True)
class Indices(Selector):
    """Exactly these training pictures. ``indices`` has one canonical spelling: sorted, runs as "20-25"."""

    key = "indices"
    order = 6
    forms = ("indices:FILE",)
    names_pictures = True
    card = Card(
        name="Picked by hand",
        summary="Training pictures by their numbers, selected in a picture or read from a file.",
        family="list",
        cost="none",
    )

    indices: Annotated[
        str, Knob("numbers", "Numbers of training pictures, from 0, with commas and ranges: 3,17,20-25.")
    ] = ""
    name: Annotated[str, Knob("name", "What to call this forget set.", advanced=True)] = ""

    def __post_init__(self) -> None:
        """Bring the numbers into the canonical spelling, so that equal lists are equal settings."""
        super().__post_init__()
        object.__setattr__(self, "indices", spans(read_numbers(self.indices)))
        object.__setattr__(self, "name", " ".join(self.name.split())[:LONGEST_NAME])

    @classmethod
    def of(cls, numbers: np.ndarray) -> Self:
        """Return the selector of these numbers, whole ones, (F,), in any order.

        Raises:
            ForgetError: not a flat array of whole numbers from 0 up, or a number twice.
        """
        return cls(indices=spans(_sorted(numbers)))

    def title(self) -> str:
        return self.name or f"picked {len(read_numbers(self.indices))}"

    def among(self, left: Left) -> Self:
        """Count the same pictures among those that are left."""
        return type(self)(indices=spans(left.places(read_numbers(self.indices))), name=self.name)

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:  # noqa: ARG002
        """Return the numbers after checking that the data has such pictures."""
        return checked(read_numbers(self.indices), scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the numbers from the file at this path."""
        return cls.of(read_file(Path(text)))


def read_numbers(text: str) -> np.ndarray:
    """Read numbers and ranges separated by commas, semicolons or white space into sorted int64 (F,).

    Raises:
        ForgetError: something that is not a number from 0 up, a range that runs backwards, a number twice, too many.
    """
    parts: list[np.ndarray] = []
    total = 0
    for word in re.split(r"[\s,;]+", text.strip(" \t\r\n,;\ufeff")):
        if not word:
            continue
        match = _ITEM.fullmatch(word)
        if match is None:
            raise ForgetError(
                f"{word[:40]!r} is not the number of a training picture; a list holds whole numbers from 0 up, "
                "such as 3,17,20-25, and no header line"
            )
        low = int(match[1])
        high = int(match[2] or low)
        if high < low:
            raise ForgetError(f"the range {word} runs backwards; write {high}-{low}")
        total += high - low + 1
        if total > _MOST:
            raise ForgetError(f"the list holds more than {_MOST:,} numbers; no data set here has so many pictures")
        parts.append(np.arange(low, high + 1, dtype=np.int64))
    return _sorted(np.concatenate(parts) if parts else np.empty(0, np.int64))


def read_file(path: Path) -> np.ndarray:
    """Read sorted int64 (F,) from a text or CSV file of numbers, or from a .npy file of whole numbers.

    A .npy file is recognised by its first bytes; nothing in it is unpickled.

    Raises:
        ForgetError: no such file, too large, empty, a header line, anything but numbers.
    """
    try:
        path = path.expanduser()
        if not path.is_file():
            raise ForgetError(
                f"{path}: there is no such file; give a text, CSV or .npy file of training picture numbers"
            )
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: ~name without such a user
        if isinstance(error, ForgetError):
            raise
        raise ForgetError(f"{path} cannot be read: {error}") from error
    if len(data) > LARGEST_FILE:
        raise ForgetError(f"{path} is larger than {LARGEST_FILE // 10**6} MB, too large for a list of numbers")
    try:
        return read_bytes(data)
    except ForgetError as error:
        raise ForgetError(f"{path}: {error}") from error


def read_bytes(data: bytes) -> np.ndarray:
    """Read sorted int64 (F,) from a file's bytes: text or CSV of numbers, or a .npy file, recognised by its beginning.

    Raises:
        ForgetError: as :func:`read_file`.
    """
    if len(data) > LARGEST_FILE:
        raise ForgetError(f"it is larger than {LARGEST_FILE // 10**6} MB, too large for a list of numbers")
    try:
        numbers = _sorted(_npy(data)) if data.startswith(b"\x93NUMPY") else read_numbers(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ForgetError("it is not text; give a text, CSV or .npy file of training picture numbers") from error
    if len(numbers) == 0:
        raise ForgetError("it holds no numbers; list at least one training picture")
    return numbers


def _npy(data: bytes) -> np.ndarray:
    """Read the array of a .npy file without trusting its header about the memory it takes."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy's attempt to repair a header it cannot read
            shape, _, kind = read(file)
        if kind.kind not in "iu" or len(shape) != 1:
            raise ForgetError(f"it holds {kind} of shape {shape}; a list is one row of whole numbers")
        return np.frombuffer(data, kind, count=shape[0], offset=file.tell())
    except (ValueError, TypeError, SyntaxError, OverflowError, MemoryError, RecursionError, *_UNREADABLE) as error:
        if isinstance(error, ForgetError):
            raise
        raise ForgetError("it is not a whole .npy file of numbers; save it again with numpy.save") from error


def _sorted(numbers: np.ndarray) -> np.ndarray:
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ForgetError(f"a list is one row of whole numbers, not {numbers.dtype} of shape {numbers.shape}")
    if numbers.size and (numbers.min() < 0 or numbers.max() > 10**12):
        bad = numbers.min() if numbers.min() < 0 else numbers.max()
        raise ForgetError(f"{bad} is not the number of a training picture; numbers start at 0")
    values, times = np.unique(numbers.astype(np.int64), return_counts=True)
    if (times > 1).any():
        twice = values[times > 1]
        more = f" (and {len(twice) - 1:,} more)" if len(twice) > 1 else ""
        raise ForgetError(f"number {twice[0]}{more} is listed more than once; list each one once")
    return values
