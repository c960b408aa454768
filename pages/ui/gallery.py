"""A grid of pictures to click on. A small component without a build step: data in, the clicked point out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

_CSS = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(70px, 1fr)); gap: 6px; }
button { all: unset; box-sizing: border-box; cursor: pointer; padding: 4px;
  border: 1px solid var(--st-border-color); border-radius: 6px; color: var(--st-text-color);
  font: 13px/1.2 var(--st-font); font-variant-numeric: tabular-nums; background: var(--st-background-color); }
button:hover { border-color: var(--st-text-color); }
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 1px; }
button.on { border-color: var(--st-text-color); box-shadow: inset 0 0 0 1px var(--st-text-color); }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: var(--fs-rendering, auto);
  border-radius: 3px; background: #000; }
.grid.rows { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.lines { min-height: 4.1em; font-size: 13px; line-height: 1.35; }
.lines div { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.grid.rows .words span:first-child { max-width: 6em; }
.empty { aspect-ratio: 1; display: grid; place-items: center; opacity: .5; }
.words { display: flex; justify-content: space-between; margin-top: 4px; }
.words span:first-child { opacity: .62; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  max-width: 3.4em; }
.bar { position: relative; height: 3px; margin-top: 3px; border-radius: 2px; background: var(--st-border-color); }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: 2px; }
.bar b { position: absolute; top: -1px; bottom: -1px; width: 2px; }
"""

_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  let grid = parentElement.querySelector(".grid");
  if (!grid) {
    grid = document.createElement("div");
    grid.className = "grid";
    parentElement.appendChild(grid);
  }
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  grid.style.gridTemplateColumns = data.across ? `repeat(${data.across}, minmax(0, 76px))` : "";
  grid.classList.toggle("rows", data.tiles.some((tile) => tile.lines.length));
  const share = (value) => Math.max(0, Math.min(1, value / data.ceiling)) * 100 + "%";
  grid.replaceChildren(...data.tiles.map((tile) => {
    const button = make("button", tile.on ? "on" : "");
    button.type = "button";
    button.dataset.point = tile.point;
    button.title = tile.title;
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-pressed", tile.on ? "true" : "false");
    if (tile.src) {
      const image = make("img");
      image.src = tile.src;
      image.alt = "";
      button.append(image);
    } else if (tile.lines.length) {
      const lines = make("div", "lines");
      lines.append(...tile.lines.map((line) => make("div", "", line)));
      button.append(lines);
    } else button.append(make("div", "empty", tile.point));
    const words = make("div", "words");
    words.append(make("span", "", tile.label), make("span", "", tile.value));
    button.append(words);
    if (tile.klom !== null) {
      const bar = make("div", "bar"), fill = make("i"), mark = make("b");
      fill.style.width = share(tile.klom);
      fill.style.background = data.hue;
      bar.append(fill);
      if (tile.floor !== null) {
        mark.style.left = share(tile.floor);
        mark.style.background = data.floorHue;
        bar.append(mark);
      }
      button.append(bar);
    }
    button.onclick = () => setTriggerValue("picked", tile.point);
    return button;
  }));
}
"""

_component = st.components.v2.component("forgetscope_gallery", css=_CSS, js=_JS)


def tile(
    point: int,
    *,
    src: str,
    label: str,
    value: str,
    klom: float | None = None,
    floor: float | None = None,
    on: bool = False,
    title: str = "",
    lines: Sequence[str] = (),
) -> dict[str, Any]:
    """Return one picture of a grid: ``label`` and ``value`` stand under it, ``title`` is read aloud and on hover.

    With ``klom`` (nats) a bar is drawn, with ``floor`` a mark on it; ``on`` rings the picture. ``lines`` stand in place
    of a picture that there is none of.
    """
    return {
        "point": point,
        "src": src,
        "label": label,
        "value": value,
        "klom": klom,
        "floor": floor,
        "on": on,
        "title": (title or f"point {point}, label {label}, {value}") + "".join(f"; {line}" for line in lines),
        "lines": list(lines),
    }


def gallery(
    tiles: Sequence[dict[str, Any]],
    *,
    key: str,
    pick: Callable[[int], None],
    ceiling: float = 1.0,
    hue: str = "",
    floor_hue: str = "",
    across: int = 0,
) -> None:
    """Show tiles, made by :func:`tile`, in a grid; ``pick`` is called with the point that is clicked.

    ``ceiling`` is the KLOM at which a bar is full, ``hue`` its colour and ``floor_hue`` that of the mark. ``across`` is
    how many tiles stand in a row; 0 is as many as fit.
    """

    def picked() -> None:
        value = st.session_state[key].get("picked")
        if value is not None:
            pick(int(value))

    _component(
        key=key,
        data={"tiles": list(tiles), "ceiling": ceiling, "hue": hue, "floorHue": floor_hue, "across": across},
        on_picked_change=picked,
    )
