"""A first look at a data set: every class with its name, its count and a few of its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from engine.pictures import Sheet
from pages.ui import say, served, workspace

CLASSES = 20
"""Classes shown at most."""
EACH = 3
"""Pictures shown of each."""
SIDE = 30
"""Pixels of a picture on the screen."""


@dataclass(frozen=True, eq=False)
class _Look:
    """The first classes by name, how many training pictures each has and which are shown, and those on one sheet."""

    classes: tuple[tuple[str, int, int], ...]
    more: int
    sheet: Sheet


def draw(known: Mapping[str, Any]) -> None:
    """Show the classes of a data set that was read; draws nothing when its pictures are not at hand."""
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
