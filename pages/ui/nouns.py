"""What one point of the data is called: "picture", or "row" for a table.

A page sets the noun with :func:`use`; texts are written for pictures and go through :func:`spoken`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine import rows
from engine.data.base import ImageData
from engine.pictures import Pictures
from pages.ui import say, workspace

_NOUN = "noun"
_PICTURE = re.compile(r"\b([Pp])ictures?\b")
_PHRASES: Mapping[str, str] = {
    "pixel for pixel": "value for value",
    "of pixels, 0 the same, 1 black against white": "of standardised values, 0 the same, 1 a standard deviation apart",
    "0 the same, 1 black against white": "0 the same, 1 a standard deviation in every column",
    "by pixels": "by their values",
    "By pixels": "By values",
}
_MOST = 400
"""Columns of one row shown at most."""


def use(recipe: Mapping[str, Any] | None) -> None:
    """Set the noun of points to that of this recipe's data set."""
    key = str(recipe["dataset"].get("key")) if recipe is not None else ""
    st.session_state[_NOUN] = "row" if tabular(key) else "picture"


def tabular(key: str) -> bool:
    """Return whether a data set, by its key, is a table."""
    return any(entry["key"] == key and entry.get("tabular") for entry in workspace.words()["datasets"])


def spoken(text: str) -> str:
    """Return a text that is written for pictures in the noun of the page."""
    if st.session_state.get(_NOUN) != "row":
        return text
    for phrase, instead in _PHRASES.items():
        text = text.replace(phrase, instead)
    return _PICTURE.sub(lambda match: ("R" if match[1] == "P" else "r") + "ow" + "s" * match[0].endswith("s"), text)


def lines(images: Pictures | None, point: int) -> list[str]:
    """Return the lines on a tile without a picture: a row's three most unusual cells, nothing for a picture."""
    if images is None or not images.data.tabular:
        return []
    return [cell.text for cell in rows.unusual(images.data, point)]


def row(data: ImageData, point: int) -> str:
    """Return a row as an HTML table, the most unusual cells first."""
    cells = sorted(rows.cells(data, point), key=lambda cell: -cell.rank)
    listed = "".join(
        f"<tr><th scope='row'>{say.escaped(cell.name)}</th><td>{say.escaped(cell.value)}</td>"
        f"<td>{say.escaped(cell.usual)}</td><td>{say.escaped(_apart(cell))}</td></tr>"
        for cell in cells[:_MOST]
    )
    more = f" The first {_MOST} of {len(cells):,}." if len(cells) > _MOST else ""
    return (
        '<div class="fs-row" tabindex="0" role="region" aria-label="The values of this row"><table><thead><tr>'
        "<th>column</th><th>value</th><th>usual</th><th>apart</th></tr></thead>"
        f'<tbody>{listed}</tbody></table></div><p class="fs-small">A row has no picture: these are its values, the '
        f"most unusual first; sd are standard deviations from the training mean.{more}</p>"
    )


def _apart(cell: rows.Cell) -> str:
    return "" if cell.apart is None else f"{cell.apart:+.1f} sd"
