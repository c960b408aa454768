"""A CSV file as a data set, read once under limits, with the column to predict chosen by its name."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from engine.cards import Card
from engine.data.base import DataError, Dataset, ImageData, Progress
from engine.data.decoded import fetch, keep, whole
from engine.data.delimited import EMPTY, LIMITS, Form, Limits, form, number, rows
from engine.data.split import held_out
from engine.data.table import MISSING, Raw, shortest, table_data
from engine.knobs import Knob
from engine.records import digest

CLASSES = 100
"""Most classes a column to predict may have."""
_FORMAT = 1
"""Part of the key of a decoded copy; raise it when the same file would become another table."""
_LOOK = 1_000
"""Rows behind a first look."""
_SHOWN = 6
_CELLS = 1_000_000
"""Cells held as text at once."""


@dataclass(frozen=True)
class Csv(Dataset):
    """A CSV file with a header line: every column but the target is a feature, a fixed stratified fifth is for testing.

    A column is numeric when every cell that is not empty holds a number, else it is a category of at most 100 values.
    """

    key = "csv"
    order = 5
    needs = "path"
    tabular = True
    limits: ClassVar[Limits] = LIMITS
    card = Card(
        name="Your own table",
        summary="A CSV file with a header line; you choose the column to predict by its name.",
        family="own",
        cost="read once (a million cells: about a second), then instant",
        fails="Numbers are kept as float32: seven digits. Free text, dates and identifiers are no features.",
    )

    path: Annotated[str, Knob("file", "A .csv file: comma, semicolon or tab between columns, names first.")] = ""
    target: Annotated[str, Knob("target", "Name of the column to predict; it holds classes.")] = ""

    def read(self, cache: Path, progress: Progress) -> ImageData:
        """Return the table; the same content and target are read only once.

        Raises:
            DataError: no such file or column, not readable as CSV, or not fit to learn from; in words.
        """
        source = _source(self.path)
        if not self.target:
            raise DataError(f'{source}: say which column to predict: "target" is its name')
        progress(0.0, "looking at the table")
        home = cache / "csv"
        key = decoded_key(_sha(source), self.target)
        name = re.sub(r"\.(csv|tsv|txt)$", "", source.name, flags=re.IGNORECASE)
        data = fetch(home, key, name)
        if data is None:
            read = self._read(source, name, progress)
            with whole(home, key) as temporary:
                keep(temporary, read)
            data = fetch(home, key, name)
            if data is None:
                raise DataError(f"{home / key}: the table cannot be read back; check the disk and try again")
        progress(1.0, "table ready")
        return data

    def _read(self, source: Path, name: str, progress: Progress) -> ImageData:
        written = form(source, self.limits)
        if self.target not in written.names:
            near = ", ".join(written.names[:12]) + (", ..." if len(written.names) > 12 else "")
            raise DataError(f"{source}: there is no column {self.target!r} (columns: {near})")
        target = written.names.index(self.target)
        kinds = [_Kind(name) for name in written.names]
        total = labelled = 0
        for block in _blocks(source, written, self.limits):
            progress(0.1, f"reading row {total:,}")
            total += len(block)
            records = [(line, cells) for line, cells in block if cells[target].lower() not in EMPTY]
            labelled += len(records)
            if records:
                lines = [line for line, _ in records]
                for kind, cells in zip(kinds, zip(*(c for _, c in records), strict=True), strict=True):
                    kind.see(lines, cells, written.separator, self.limits)
        if labelled < 10:
            raise DataError(f"{source}: {labelled} rows have a value of {self.target}; a table needs at least ten")
        classes = _classes(source, kinds[target])
        for kind in kinds[:target] + kinds[target + 1 :]:
            kind.check(source, self.limits)
        values = np.empty((len(kinds), labelled), np.float64)  # (columns, N)
        start = 0
        for block in _blocks(source, written, self.limits):
            progress(0.2 + 0.7 * start / labelled, f"reading row {start:,}")
            records = [cells for _, cells in block if cells[target].lower() not in EMPTY]
            for row, (kind, cells) in enumerate(zip(kinds, zip(*records, strict=True), strict=True) if records else ()):
                values[row, start : start + len(records)] = kind.read(cells, written.separator)
            start += len(records)
        progress(0.9, "preparing the table")
        labels = _labels(source, values[target], kinds[target], classes)  # (N,)
        notes = list(written.notes)
        if total > labelled:
            omitted = total - labelled
            rows_had = "1 row had" if omitted == 1 else f"{omitted:,} rows had"
            notes.append(f"{rows_had} no {self.target} and {'was' if omitted == 1 else 'were'} left out.")
        return table_data(
            name=name,
            columns=[Raw(k.name, values[i], k.categories) for i, k in enumerate(kinds) if i != target],
            labels=labels,
            classes=classes,
            test=held_out(labels, [str(i) for i in range(labelled)]),
            notes=notes,
            target=self.target,
        )


def look(path: str, limits: Limits = LIMITS) -> dict[str, Any]:
    """Return what a file's first rows show, for choosing the target: plain JSON data.

    ``columns`` (name, kind "number", "category" or "empty", and the first different values), ``rows`` (the first six,
    as text), ``notes``, and ``looked``, how many rows the kinds rest on.

    Raises:
        DataError: it cannot be read; in words.
    """
    source = _source(path)
    written = form(source, limits)
    first = [cells for _, cells in islice(rows(source, written, limits), _LOOK)]
    if not first:
        raise DataError(f"{source}: there are no rows under the names of the columns")
    columns = []
    for name, cells in zip(written.names, zip(*first, strict=True), strict=True):
        filled = [cell for cell in cells if cell.lower() not in EMPTY]
        numeric = all(number(cell, written.separator) is not None for cell in filled)
        kind = "empty" if not filled else "number" if numeric else "category"
        columns.append(
            {"name": name, "kind": kind, "values": [cell[:40] for cell in list(dict.fromkeys(filled))[:_SHOWN]]}
        )
    shown = [[cell[:40] for cell in cells] for cells in first[:_SHOWN]]
    return {"columns": columns, "rows": shown, "notes": list(written.notes), "looked": len(first)}


def decoded_key(content: str, target: str) -> str:
    """Return what the decoded copy of a file with this SHA-256 is called; it begins with 32 digits of that."""
    return f"{content[:32]}-{digest(['csv', _FORMAT, target])[:16]}"


@dataclass
class _Kind:
    """What a column turns out to hold, block by block."""

    name: str
    numeric: bool = True
    values: dict[str, None] = field(default_factory=dict)
    text: tuple[int, str] = (0, "")
    numbers: int = 0
    filled: int = 0
    categories: tuple[str, ...] = ()

    def see(self, lines: Sequence[int], cells: Sequence[str], separator: str, limits: Limits) -> None:
        counts = Counter(cells)
        for cell, times in counts.items():
            if cell.lower() in EMPTY:
                continue
            self.filled += times
            if number(cell, separator) is not None:
                self.numbers += times
            elif self.numeric or not self.text[1]:
                self.numeric = False
                self.text = (lines[cells.index(cell)], cell)
            if len(self.values) <= max(limits.categories, CLASSES):
                self.values[cell] = None

    def check(self, source: Path, limits: Limits) -> None:
        """Settle the categories of a column that is not numeric, or refuse it."""
        if self.numeric:
            return
        if len(self.values) > limits.categories:
            line, text = self.text
            if 2 * self.numbers > self.filled:
                raise DataError(
                    f"{source}: {self.name} holds numbers, but not in line {line:,} ({text[:40]!r}); repair such cells "
                    "or leave them empty"
                )
            raise DataError(
                f"{source}: {self.name} holds more than {limits.categories} different texts, such as {text[:40]!r}; it "
                "is likely a name, a date or an identifier: remove that column, or join rare values"
            )
        long = next((value for value in self.values if len(value) > limits.text), None)
        if long is not None:
            raise DataError(f"{source}: {self.name} holds long text ({long[:40]!r}...); remove that column")
        self.categories = tuple(sorted(map(_printable, self.values), key=lambda v: (v == MISSING, v)))
        if len(set(self.categories)) < len(self.categories):
            raise DataError(f"{source}: {self.name} holds values that differ in unseen characters only; repair them")

    def read(self, cells: Sequence[str], separator: str) -> np.ndarray:
        """Return cells as numbers, or as places among the categories; NaN where empty."""
        if self.categories:
            place: dict[str, float] = {value: float(i) for i, value in enumerate(self.categories)}
            value = {c: np.nan if c.lower() in EMPTY else place[_printable(c)] for c in set(cells)}
        else:
            value = {c: np.nan if c.lower() in EMPTY else number(c, separator) for c in set(cells)}
        return np.array([value[c] for c in cells], np.float64)  # (n,)


def _classes(source: Path, kind: _Kind) -> tuple[str, ...]:
    """Return the classes of the column to predict, in order; numbers by value, text by name."""
    if kind.numeric:
        values = sorted({float(v.replace(",", ".")) for v in kind.values})
        if len(kind.values) > CLASSES or (len(values) > 10 and any(v != int(v) for v in values)):
            raise DataError(
                f"{source}: {kind.name} holds too many different numbers to be classes; choose a column of classes, or "
                "cut it into ranges first"
            )
        kind.categories = ()
        classes = tuple(shortest(v) for v in values)
    else:
        if len(kind.values) > CLASSES:
            raise DataError(
                f"{source}: {kind.name} holds more than {CLASSES} different texts, too many to be classes; choose "
                "another column"
            )
        classes = tuple(sorted(map(_printable, kind.values)))
        kind.categories = classes
    if len(set(classes)) < 2 or len(set(classes)) < len(classes):
        raise DataError(
            f"{source}: {kind.name} must hold at least two classes that can be told apart; it has {classes}"
        )
    return classes


def _labels(source: Path, values: np.ndarray, kind: _Kind, classes: Sequence[str]) -> np.ndarray:
    """Return each row's place among the classes, int64 (N,)."""
    labels = values.astype(np.int64) if kind.categories else np.unique(values, return_inverse=True)[1]  # (N,)
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        raise DataError(
            f"{source}: class {classes[int(counts.argmin())]} of {kind.name} has one row only; add rows or remove it"
        )
    return labels


def _blocks(source: Path, written: Form, limits: Limits) -> Iterator[list[tuple[int, list[str]]]]:
    """Yield lists of (line, cells), about a million cells each."""
    every = rows(source, written, limits)
    while block := list(islice(every, max(1, _CELLS // len(written.names)))):
        yield block


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "(unseen)"


def _source(path: str) -> Path:
    if not path.strip():
        raise DataError('say which table to use: "path" is a .csv file')
    try:
        source = Path(path).expanduser().resolve()
        exists = source.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{path!r} is not a usable path: {error}") from error
    if not exists:
        raise DataError(f"{source}: there is no such file")
    return source


def _sha(source: Path) -> str:
    sha = hashlib.sha256()
    try:
        if source.stat().st_size > LIMITS.file_bytes:
            raise DataError(f"{source}: it is larger than {LIMITS.file_bytes >> 20} MiB; use fewer rows or columns")
        with source.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}") from error
    return sha.hexdigest()
