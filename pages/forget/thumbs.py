"""A grid of thumbnails to pick and unpick, all on one image. A small component without a build step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from engine.pictures import Sheet

_CSS = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(var(--side), 1fr)); gap: 6px;
  font: 13px/1.25 var(--st-font); color: var(--st-text-color); font-variant-numeric: tabular-nums; }
.tile { border: 1px solid var(--st-border-color); border-radius: 6px; padding: 4px; min-width: 0; }
.tile.on { border-color: var(--st-text-color); box-shadow: inset 0 0 0 1px var(--st-text-color); }
.tile.pair { grid-column: span 1; }
button { all: unset; box-sizing: border-box; cursor: pointer; display: block; }
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 1px; border-radius: 3px; }
.picture { position: relative; width: 100%; aspect-ratio: 1; background-color: #000; background-repeat: no-repeat;
  border-radius: 3px; }
.picture:hover { box-shadow: 0 0 0 2px color-mix(in srgb, var(--st-text-color) 40%, transparent); }
.tile:not(.on) .picture.fade { opacity: .5; }
.lines { min-height: 4em; padding: 2px; width: 100%; }
.two > *, .one { min-width: 0; }
.lines div { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.tile:not(.on) .lines.fade { opacity: .5; }
.words { display: flex; justify-content: space-between; gap: 4px; margin-top: 3px; }
.words span, .words button { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.words span { opacity: .62; }
.words button:hover { text-decoration: underline; text-underline-offset: 2px; }
.note { opacity: .62; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
"""

_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  let grid = parentElement.querySelector(".grid");
  if (!grid) {
    grid = document.createElement("div");
    grid.className = "grid";
    parentElement.appendChild(grid);
  }
  grid.style.setProperty("--side", data.side + "px");
  grid.setAttribute("role", "group");
  grid.setAttribute("aria-label", data.alt);
  const { sheet } = data;
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (tag === "button") node.type = "button";
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const share = (at, of) => (of < 2 ? 0 : (at / (of - 1)) * 100) + "%";
  const place = (at) =>
    `${share(at % sheet.columns, sheet.columns)} ${share(Math.floor(at / sheet.columns), sheet.rows)}`;
  const picture = (face) => {
    const node = make("button", sheet ? "picture" : "lines");
    if (sheet) Object.assign(node.style, {
      backgroundImage: `url("${sheet.url}")`,
      backgroundSize: `${sheet.columns * 100}% ${sheet.rows * 100}%`,
      backgroundPosition: place(face.at),
      imageRendering: sheet.cell < 80 ? "pixelated" : "auto",
    });
    else node.append(...face.lines.map((line) => make("div", "", line)));
    node.dataset.point = face.point;
    node.title = face.title;
    node.setAttribute("aria-label", face.title);
    node.setAttribute("aria-pressed", face.on ? "true" : "false");
    node.onclick = () => setTriggerValue("picked", face.point);
    return node;
  };
  const words = (face) => {
    const node = make("div", "words");
    const more = make("button", "more", String(face.point));
    more.title = `Look closer at ${sheet ? "picture" : "row"} ${face.point}`;
    more.setAttribute("aria-label", more.title);
    more.onclick = () => setTriggerValue("closer", face.point);
    node.append(make("span", "", face.label), more);
    return node;
  };
  const at = grid.getRootNode().activeElement?.dataset?.point;
  grid.replaceChildren(...data.tiles.map((tile) => {
    const node = make("div", "tile" + (tile.faces.some((face) => face.ring) ? " on" : ""));
    const faces = make("div", tile.faces.length > 1 ? "two" : "");
    for (const face of tile.faces) {
      const one = make("div");
      one.append(picture(face), words(face));
      faces.append(one);
    }
    node.append(faces);
    if (tile.note) node.append(make("div", "note", tile.note));
    return node;
  }));
  if (at) grid.querySelector(`[data-point="${at}"]`)?.focus();
}
"""

_component = st.components.v2.component("forgetscope_thumbs", css=_CSS, js=_JS)


@dataclass(frozen=True)
class Face:
    """One picture of a tile: its number, its place on the sheet, its caption and whether it is chosen.

    ``lines`` stand in place of a picture where there is no sheet.
    """

    point: int
    at: int
    label: str
    on: bool
    title: str
    ring: bool = False
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tile:
    """One picture, or two that belong together with a ``note`` under them."""

    faces: tuple[Face, ...]
    note: str = ""


def grid(
    tiles: Sequence[Tile],
    sheet: Sheet | None,
    *,
    key: str,
    alt: str,
    pick: Callable[[int], None],
    closer: Callable[[int], None],
    side: int = 0,
) -> None:
    """Show tiles; ``pick`` is called with a picture that is clicked, ``closer`` with one whose number is.

    ``side`` is the least width of a tile in pixels; 0 fits the pictures, 62 for tiny ones to 128.
    """

    def came(event: str, act: Callable[[int], None]) -> Callable[[], None]:
        def read() -> None:
            value = st.session_state[key].get(event)
            if value is not None:
                act(int(value))

        return read

    _component(
        key=key,
        data={
            "tiles": [_plain(tile) for tile in tiles],
            "sheet": None
            if sheet is None
            else {"url": sheet.url(), "columns": sheet.columns, "rows": sheet.rows, "cell": sheet.cell},
            "side": side or (150 if sheet is None else max(62, min(128, sheet.cell + 12))),
            "alt": alt,
        },
        on_picked_change=came("picked", pick),
        on_closer_change=came("closer", closer),
    )


def _plain(tile: Tile) -> Mapping[str, Any]:
    return {"faces": [vars(face) for face in tile.faces], "note": tile.note}
