"""A map of many points to choose from by drawing: a small component without a build step (``assets/scatter.js``).

Coordinates, colours and thumbnails travel as files that a browser fetches once; a run of the page carries only the
chosen points, a bit each. Usable at 60,000 points. What is drawn comes back as a polygon in data coordinates.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from engine.pictures import Sheet
from engine.theme import Look
from pages.ui import frame, served

HEIGHT = 500
"""Pixels."""
_BINARY = "application/octet-stream"


@dataclass(frozen=True, eq=False)
class Column:
    """What points are coloured by.

    ``kind`` "group": ``values`` uint16 (N,) are places in ``names``, of which there are ``counts``; "scale": float32
    (N,) shown from ``low`` to ``high`` in ``unit``; "chosen": whether a point is chosen, without values.
    """

    key: str
    kind: str
    title: str
    colours: tuple[str, ...]
    values: np.ndarray | None = None
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 1.0
    unit: str = ""


@dataclass(frozen=True)
class Sheets:
    """Thumbnails of all points in their order, ``per`` of them on each sheet."""

    sheets: tuple[Sheet, ...]
    per: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a visitor drew: corners float64 (K, 2) in data coordinates, and what to do with what is inside."""

    polygon: np.ndarray
    mode: str


_component = st.components.v2.component(
    "forgetscope_scatter",
    css=(frame.ASSETS / "scatter.css").read_text("utf-8"),
    js=(frame.ASSETS / "scatter.js").read_text("utf-8"),
)


def scatter(
    *,
    key: str,
    name: str,
    xy: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    column: Column,
    chosen: np.ndarray,
    sheets: Sheets | None,
    lines: bytes | None,
    noun: str,
    focus: int | None,
    colours: Look,
    axes: tuple[str, str],
    alt: str,
    on_region: Callable[[Drawn], None],
    on_point: Callable[[int], None],
    on_group: Callable[[int, str, str], None],
) -> None:
    """Show the map.

    Args:
        key: of the component.
        name: names the coordinates; another name shows the whole map again, the same keeps the view.
        xy: float32 (N, 2).
        labels: places in ``classes``, (N,).
        classes: names of the classes.
        column: what colours the points.
        chosen: numbers of the chosen points, int64 (F,).
        sheets: thumbnails shown on hover.
        lines: what stands on hover instead, a list of texts per point as JSON.
        noun: what a point is called.
        focus: a point to ring.
        colours: of the visitor's theme.
        axes: what across and up mean.
        alt: the map in words, read aloud.
        on_region: called with what was drawn.
        on_point: called with a point that was clicked.
        on_group: called with a legend entry's number, the mode and the column's key.
    """
    total = len(xy)
    mask = np.zeros(total, bool)
    mask[chosen] = True
    colouring: dict[str, Any] = {
        "kind": column.kind,
        "key": column.key,
        "title": column.title,
        "colours": list(column.colours),
        "names": list(column.names),
        "counts": list(column.counts),
        "low": column.low,
        "high": column.high,
        "unit": column.unit,
        "url": "",
    }
    if column.values is not None:
        kind = np.dtype("<f4") if column.kind == "scale" else np.dtype("<u2")
        colouring["url"] = served.address(np.asarray(column.values, kind).tobytes(), _BINARY, key=f"{key}-{column.key}")
    data = {
        "name": name,
        "total": total,
        "size": int(mask.sum()),
        "xy": served.address(np.ascontiguousarray(xy, np.dtype("<f4")).tobytes(), _BINARY, key=f"{key}-xy"),
        "labels": served.address(np.asarray(labels, np.dtype("<u2")).tobytes(), _BINARY, key=f"{key}-labels"),
        "classes": list(classes),
        "column": colouring,
        "chosen": base64.b64encode(np.packbits(mask, bitorder="little").tobytes()).decode("ascii"),
        "sheets": _sheets(sheets, key),
        "lines": "" if lines is None else served.address(lines, "application/json", key=f"{key}-lines"),
        "noun": noun,
        "focus": -1 if focus is None else focus,
        "theme": {"ink": colours.ink, "quiet": colours.quiet},
        "axes": list(axes),
        "alt": alt,
        "height": HEIGHT,
    }

    def came(event: str, act: Callable[[Mapping[str, Any]], None]) -> Callable[[], None]:
        def read() -> None:
            value = st.session_state[key].get(event)
            if isinstance(value, Mapping):
                act(value)

        return read

    def region(value: Mapping[str, Any]) -> None:
        if value.get("map") == name:
            on_region(Drawn(np.asarray(value["polygon"], dtype=np.float64), str(value["mode"])))

    def point(value: Mapping[str, Any]) -> None:
        number = int(value["point"])
        if value.get("map") == name and 0 <= number < total:
            on_point(number)

    _component(
        key=key,
        data=data,
        on_region_change=came("region", region),
        on_point_change=came("point", point),
        on_group_change=came("group", lambda v: on_group(int(v["group"]), str(v["mode"]), str(v["column"]))),
    )


def _sheets(sheets: Sheets | None, key: str) -> dict[str, Any] | None:
    if sheets is None:
        return None
    addresses = [
        {
            "url": served.address(sheet.file, sheet.mime, key=f"{key}-sheet-{i}"),
            "columns": sheet.columns,
            "cell": sheet.cell,
        }
        for i, sheet in enumerate(sheets.sheets)
    ]
    return {"per": sheets.per, "sheets": addresses}
