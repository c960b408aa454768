"""Reading untrusted CSV files: text only, within limits, every record of one length; errors name the line.

The standard library's reader in strict mode, because it guesses nothing: a record that is too long or too short is
refused instead of shifted. Cells are text; what looks like a formula is text too and is never evaluated.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from engine.data.base import DataError


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused as too much."""

    file_bytes: int = 200 << 20
    rows: int = 1_000_000
    columns: int = 2_000
    categories: int = 100
    text: int = 200


LIMITS = Limits()
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
EMPTY = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""What an empty cell may hold, in small letters."""
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_SAMPLE = 20
"""Records that decide the separator."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Form:
    """How a file is written: its encoding, its separator and the names of its columns."""

    encoding: str
    separator: str
    names: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """How the file is read where that is not a matter of course, in sentences."""
        notes = []
        if self.encoding == "latin-1":
            notes.append("The file is not UTF-8 and was read as Latin-1; look whether letters with accents are right.")
        if self.separator != ",":
            notes.append(
                f"Columns are separated by a {SEPARATORS[self.separator]}; a comma inside a number is decimal."
            )
        return tuple(notes)


def form(path: Path, limits: Limits = LIMITS) -> Form:
    """Look at a whole file for what is not text, and at its first records for its form.

    Raises:
        DataError: too large, not text, no header line, no separator, column names missing, twice or too many.
    """
    encoding = _encoding(path, limits)
    cuts: list[tuple[bool, int, str, list[str]]] = []
    for separator in SEPARATORS:
        first: list[list[str]] = []
        with _text(path, encoding) as file, contextlib.suppress(csv.Error):  # rows() names the line
            for record in islice((r for r in csv.reader(file, delimiter=separator, strict=True) if r), _SAMPLE):
                first.append(record)
        if first:
            cuts.append((len({len(r) for r in first}) == 1, len(first[0]), separator, first[0]))
    if not cuts:
        raise DataError(f"{path}: the first line cannot be read as names of columns; save it as CSV again")
    # A separator that cuts every record alike, else the one that cuts the first line most.
    _, count, separator, header = max(cuts, key=lambda cut: (cut[0] and cut[1] > 1, cut[1]))
    if count < 2:
        raise DataError(
            f"{path}: the first line names one column only; separate columns by comma, semicolon or tab, and have at "
            "least one besides the one to predict"
        )
    if count > limits.columns:
        raise DataError(f"{path}: it has {count:,} columns, more than {limits.columns:,}; leave some out")
    return Form(encoding, separator, _names(path, header, separator, limits))


def rows(path: Path, written: Form, limits: Limits = LIMITS) -> Iterator[tuple[int, list[str]]]:
    """Yield each record after the header: the number of its last line in the file, and its cells, stripped.

    Raises:
        DataError: a record with another number of cells, quotes that do not close, too many rows; with the line.
    """
    width, count = len(written.names), 0
    with _text(path, written.encoding) as file:
        reader = csv.reader(file, delimiter=written.separator, strict=True)
        try:
            for record in reader:
                if not record:
                    continue
                count += 1
                if count == 1:
                    continue  # the header
                if len(record) != width:
                    raise DataError(
                        f"{path}: line {reader.line_num:,} has {len(record):,} cells, and the header names {width:,}; "
                        "repair it (a cell that holds a separator needs quotes)"
                    )
                if count - 1 > limits.rows:
                    raise DataError(f"{path}: it has more than {limits.rows:,} rows; use fewer")
                yield reader.line_num, [cell.strip() for cell in record]
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num:,} cannot be read ({error}); look at its quotes") from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read; did it change? Try again") from error


def number(text: str, separator: str) -> float | None:
    """Return the number a cell holds, ``None`` when it holds none; beside other separators a comma is decimal."""
    if separator != "," and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if "_" in text or not text.isascii():
        return None  # Python would read 1_000 and digits of other scripts
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _encoding(path: Path, limits: Limits) -> str:
    """Return "utf-8-sig" or "latin-1" after a look at every byte."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    encoding = "utf-8-sig"
    try:
        with path.open("rb") as file:
            if path.stat().st_size > limits.file_bytes:
                raise DataError(f"{path}: it is larger than {limits.file_bytes >> 20} MiB; use fewer rows or columns")
            start = file.read(4)
            if not start:
                raise DataError(f"{path}: the file is empty")
            if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"{path}: it is written as UTF-16; save it as CSV in UTF-8")
            if start[:2] == b"PK":
                raise DataError(f"{path}: it is a workbook or an archive, whatever its name says; save it as CSV")
            file.seek(0)
            while block := file.read(_BLOCK):
                if _BINARY.search(block):
                    raise DataError(f"{path}: it holds bytes that are no text; save it as CSV again")
                if encoding == "latin-1":
                    continue
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    encoding = "latin-1"
            if encoding != "latin-1":
                try:
                    decoder.decode(b"", final=True)
                except UnicodeDecodeError:
                    encoding = "latin-1"
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return encoding


@contextlib.contextmanager
def _text(path: Path, encoding: str) -> Iterator[io.TextIOBase]:
    try:
        file = path.open(encoding=encoding, newline="")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


def _names(path: Path, header: Sequence[str], separator: str, limits: Limits) -> tuple[str, ...]:
    names = [" ".join("".join(c if c.isprintable() else " " for c in name).split()) for name in header]
    long = next((name for name in names if len(name) > limits.text), None)
    if long is not None:
        raise DataError(f"{path}: a column's name is longer than {limits.text} characters ({long[:40]}...); shorten it")
    values = [number(name, separator) for name in names]
    if 2 * sum(v is not None for v in values) >= len(names) and any(v is not None and v != int(v) for v in values):
        raise DataError(f"{path}: the first line holds numbers; it must name the columns")
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise DataError(f"{path}: two columns are called {twice}; the first line must name each column differently")
    return tuple(names)
