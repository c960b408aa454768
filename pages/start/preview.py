"""A first look at a data set: every class with its count and a few of its pictures, or the first rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from engine import rows
from engine.pictures import Sheet
from pages.start import target
from pages.ui import say, served, workspace

CLASSES = 20
"""Classes shown at most."""
EACH = 3
"""Pictures shown of each."""
ROWS = 5
COLUMNS = 40
"""Rows and columns of a table shown at most."""
SIDE = 30
"""Pixels of a picture on the screen."""


@dataclass(frozen=True, eq=False)
class _Look:
    """The first classes by name, how many training pictures each has and which are shown, and those on one sheet."""

    classes: tuple[tuple[str, int, int], ...]
    more: int
    sheet: Sheet


def draw(known: Mapping[str, Any]) -> None:
    """Show the classes of a data set that was read; draws nothing when its pictures are not available."""
    if "columns" in known:
        _table(known)
        return
    look = _look(str(known["hash"]))
    if look is None:
        return
    address = served.address(look.sheet.file, look.sheet.mime, key="preview")
    cells, place = [], 0
    for name, count, shown in look.classes:
        tiles = "".join(_tile(address, look.sheet, place + i) for i in range(shown))
        place += shown
        cells.append(
            f'<figure title="{say.escaped(name)}"><div role="img" aria-label="examples of {say.escaped(name)}">{tiles}'
            f'</div><figcaption>{say.escaped(name)} <span class="fs-quiet">{count:,}</span></figcaption></figure>'
        )
    tail = f'<p class="fs-small">and {say.count(look.more, "more class", "more classes")}</p>' if look.more > 0 else ""
    st.html(f'<div class="fs-preview">{"".join(cells)}</div>{tail}')


def first_rows(path: str) -> None:
    """Show the first rows of a table whose target is not chosen yet, as in the file."""
    reply = target.seen(path)
    if not reply.ready or reply.answer is None:
        return
    columns = reply.answer["columns"]
    notes = [f"The first rows. Kinds are those of the first {reply.answer['looked']:,}.", *reply.answer["notes"]]
    _rows([(c["name"], c["kind"]) for c in columns], reply.answer["rows"], notes)


def _table(known: Mapping[str, Any]) -> None:
    """Show the first training rows, how many rows each class has, and how the table was read."""
    look = _first(known["hash"])
    if look is None:
        return
    columns, listed, classes = look
    counts = ", ".join(f"{name} {count:,}" for name, count in classes[:CLASSES])
    more = f" and {len(classes) - CLASSES:,} more classes" if len(classes) > CLASSES else ""
    label = (
        f"Training rows of each class of {known['target']}" if known.get("target") else "Training rows of each class"
    )
    _rows(columns, listed, [f"{label}: {counts}{more}.", *known.get("notes", [])])


def _rows(columns: Sequence[tuple[str, str]], listed: Sequence[Sequence[str]], remarks: Sequence[str]) -> None:
    shown = columns[:COLUMNS]
    heads = "".join(f"<th>{say.escaped(name)}<br><span>{say.escaped(kind)}</span></th>" for name, kind in shown)
    body = "".join(
        "<tr>" + "".join(f"<td>{say.escaped(cell)}</td>" for cell in row[: len(shown)]) + "</tr>" for row in listed
    )
    left = len(columns) - len(shown)
    notes = [*remarks, *([f"The first {COLUMNS} of {len(columns):,} columns."] if left > 0 else [])]
    st.html(
        f'<div class="fs-row fs-first" tabindex="0" role="region" aria-label="First rows of the table"><table><thead>'
        f"<tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        + "".join(f'<p class="fs-small">{say.escaped(note)}</p>' for note in notes)
    )


@st.cache_resource(max_entries=16, ttl=3600, show_spinner=False)
def _first(data_hash: str) -> tuple[list[tuple[str, str]], list[list[str]], list[tuple[str, int]]] | None:
    pictures = workspace.pictures(data_hash)
    if pictures is None:
        return None
    data = pictures.data
    listed = rows.frame(data, range(min(ROWS, len(data.y_train))))
    labels = [data.classes[label] for label in data.y_train[: len(listed)]]
    columns = [(data.target or "label", "to predict"), *zip(listed.columns, rows.shapes(data), strict=True)]
    counts = np.bincount(data.y_train, minlength=len(data.classes)).tolist()
    body = [[label, *cells] for label, cells in zip(labels, listed.to_numpy().tolist(), strict=True)]
    return columns, body, list(zip(data.classes, counts, strict=True))


def _tile(address: str, sheet: Sheet, place: int) -> str:
    row, column = divmod(place, sheet.columns)
    drawn = "pixelated" if sheet.cell < SIDE else "auto"
    return (
        f"<i style=\"background-image:url('{say.escaped(address)}');background-position:{-column * SIDE}px "
        f'{-row * SIDE}px;background-size:{sheet.columns * SIDE}px {sheet.rows * SIDE}px;image-rendering:{drawn}"></i>'
    )


@st.cache_resource(max_entries=16, ttl=3600, show_spinner=False)
def _look(data_hash: str) -> _Look | None:
    pictures = workspace.pictures(data_hash)
    if pictures is None:
        return None
    labels, names = pictures.data.y_train, pictures.data.classes
    classes, points = [], []
    for number, name in enumerate(names[:CLASSES]):
        members = np.flatnonzero(labels == number)  # (n,)
        classes.append((name, len(members), len(members[:EACH])))
        points += members[:EACH].tolist()
    return _Look(tuple(classes), len(names) - CLASSES, pictures.sheet(points, side=2 * SIDE, columns=12))
