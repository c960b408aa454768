"""The parts of the Forget set page beside its map: what is chosen, what is wrong with it, and what to do with it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import streamlit as st

from engine.forget.indices import LONGEST_NAME
from engine.pictures import Sheet
from pages.forget import map as forget_map
from pages.forget import state, thumbs, tools
from pages.forget.map import Measured
from pages.forget.sets import Share, composition
from pages.forget.state import Pool, Selection
from pages.ui import draft, inspector, nouns, runs, say, workspace
from pages.ui.controls import switch

_CLASSES = 12
_PAIRS = 12
_SIDE = 96
"""Largest thumbnail in a grid, in pixels."""


def arrive(pool: Pool, chosen: Selection) -> None:
    """Apply the action of a link from the inspector: choose its picture too ("add"), or more like it ("like")."""
    doing = st.query_params.get("do", "")
    if doing not in ("add", "like"):
        return
    number = inspector.point(len(pool))
    for name in ("do", "point"):
        st.query_params.pop(name, None)
    if number is None:
        return
    like(number) if doing == "like" else forget_map.look_at(number)
    if doing == "add":
        state.change(pool, chosen, np.array([number]), "add")
    st.rerun()


def panel(pool: Pool, chosen: Selection, known: Measured) -> None:
    """Draw how much is chosen, warnings, and the actions on the selection.

    What comes and goes has a container that stays, so that the actions are the same elements before and after.
    """
    _headline(pool, chosen)
    _steps(pool, chosen)
    with st.container(key="composition"):
        _composition(pool, chosen)
    with st.container(key="warnings"):
        _warnings(pool, chosen, known)
    _keep(pool, chosen)
    _looked_at(pool, chosen)


def _headline(pool: Pool, chosen: Selection) -> None:
    total = len(pool)
    share = f" · {len(chosen) / total:.1%}" if len(chosen) else ""
    name = f"“{chosen.name}”" if chosen.name else chosen.how
    st.html(
        f'<p class="fs-step" id="fs-chosen" role="status">{len(chosen):,} of {total:,} training {pool.noun}s chosen</p>'
        f'<p class="fs-small">{say.escaped(" · ".join(filter(None, (name, (share or " · none")[3:]))))}</p>'
    )


def _steps(pool: Pool, chosen: Selection) -> None:
    undo, redo = state.steps(pool)
    everything = np.arange(len(pool))
    with st.container(horizontal=True, gap="small", key="steps"):
        st.button("Undo", key="undo", type="tertiary", disabled=not undo, on_click=state.step, args=(pool, -1))
        st.button("Redo", key="redo", type="tertiary", disabled=not redo, on_click=state.step, args=(pool, 1))
        st.button(
            "Clear",
            key="clear",
            type="tertiary",
            disabled=not len(chosen),
            on_click=state.choose,
            args=(pool, everything[:0]),
        )
        st.button(
            "Invert",
            key="invert",
            type="tertiary",
            on_click=lambda: state.choose(pool, np.setdiff1d(everything, chosen.numbers)),
        )


def _composition(pool: Pool, chosen: Selection) -> None:
    """Draw how many pictures of each class are chosen, as bars with their text."""
    if not len(chosen):
        return
    shares = composition(chosen.numbers, pool.labels, pool.classes)
    shown = shares if len(shares) <= _CLASSES else sorted((s for s in shares if s.chosen), key=lambda s: -s.chosen)
    most = max(share.chosen for share in shares)
    rows = "".join(_bar(share, most) for share in shown[:_CLASSES])
    rest = len(shown) - _CLASSES
    more = f'<p class="fs-small">and {rest:,} other classes</p>' if rest > 0 else ""
    st.html(
        '<div role="table" aria-label="Chosen pictures of each class" style="display:grid;'
        "grid-template-columns:minmax(2rem,max-content) 1fr max-content;gap:2px 10px;align-items:center;"
        f'font-size:.87rem;line-height:1.25">{rows}</div>{more}'
    )


def _bar(share: Share, most: int) -> str:
    width = 100 * share.chosen / most if most else 0
    quiet = "" if share.chosen else "opacity:.45;"
    name = say.escaped(share.name)
    return (
        f'<span style="{quiet}max-width:9rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">{name}</span>'
        '<span style="height:7px;border-radius:2px;background:color-mix(in srgb,currentColor 8%,transparent)">'
        f'<i style="display:block;height:7px;border-radius:2px;width:{width:.1f}%;'
        'background:color-mix(in srgb,currentColor 55%,transparent)"></i></span>'
        f'<span style="{quiet}text-align:right">{share.chosen:,} of {share.total:,}</span>'
    )


def _warnings(pool: Pool, chosen: Selection, known: Measured) -> None:
    if not len(chosen):
        st.html(
            f'<p class="fs-small strong">Draw a line around {pool.noun}s on the map, click an entry of its legend, '
            "or choose by one of the ways below.</p>"
        )
        tools.start(pool)
        return
    if len(chosen) == len(pool):
        st.warning(f"Everything is chosen: nothing is left to retain. Take some {pool.noun}s away.")
        return
    gone = [s.name for s in composition(chosen.numbers, pool.labels, pool.classes) if s.chosen == s.total > 0]
    if gone:
        which = f"class {gone[0]}" if len(gone) == 1 else f"{len(gone)} classes ({', '.join(gone[:6])})"
        st.info(
            f"Nothing of {say.plain(which)} is left to retain: networks that never saw it are the standard, so "
            "unlearned ones should no longer name it at all."
        )
    _twins(pool, chosen, known)


def _twins(pool: Pool, chosen: Selection, known: Measured) -> None:
    """Warn of near-duplicates that stay in retain, and take them in with one click."""
    if known.alike is None:
        return
    left = known.alike.left(chosen.numbers)
    if not len(left):
        return
    twins = len(np.unique(left.second))
    same = int((left.distance == 0).sum())
    what = say.count(twins, "near-duplicate stays", "near-duplicates stay")
    exact = nouns.spoken(f" ({same:,} of them pixel for pixel the same)") if same else ""
    with st.container(border=True, key="twins"):
        st.html(
            f'<p class="fs-small strong" role="status"><b>{what} in retain</b>{exact}. The network still learns from a '
            f"copy, so it cannot forget these {pool.noun}s, and even one retrained without them remembers.</p>"
        )
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Choose them too" if twins > 1 else "Choose it too",
                key="take-twins",
                on_click=lambda: state.choose(pool, known.alike.spread(chosen.numbers)),  # type: ignore[union-attr]
            )
            st.button("See the pairs", key="see-twins", type="tertiary", on_click=_see_pairs)


def _see_pairs() -> None:
    st.session_state["shown"] = "pairs"


def _keep(pool: Pool, chosen: Selection) -> None:
    """Name, download and use the selection."""
    fits = 0 < len(chosen) < len(pool)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="keep"):
        name = st.text_input(
            "Name",
            value=chosen.name,
            key=f"name-{chosen.id}",
            placeholder=chosen.how or "Name this set",
            label_visibility="collapsed",
            max_chars=LONGEST_NAME,
            disabled=not fits,
        )
        if st.button("Save", key="save", disabled=not fits or not name.strip() or name.strip() == chosen.name):
            workspace.shelf().save(
                data_hash=pool.hash,
                data_name=pool.name,
                indices=chosen.numbers,
                name=name,
                owner=workspace.visitor(),
            )
            st.rerun()
        with st.popover("Download", disabled=not fits):
            downloads(pool, chosen)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="go"):
        if st.button("Use this set", type="primary", key="use", disabled=not fits):
            use(chosen)
            st.switch_page(runs.UNLEARN_PAGE, query_params={"draft": draft.link()})
        if st.button("Back to Start", type="tertiary", key="to-start"):
            st.switch_page(runs.START_PAGE, query_params={"draft": draft.link()})


def use(chosen: Selection) -> None:
    """Put the selection into the setup."""
    saved = workspace.shelf().saved(chosen.id)
    draft.update(
        forget={
            "key": "indices",
            "indices": saved.indices if saved is not None else "",
            "name": chosen.name or chosen.how,
        }
    )


def downloads(pool: Pool, chosen: Selection) -> None:
    """Offer the numbers as a list and with what they belong to."""
    stem = f"forget-set-{chosen.id}"
    st.download_button(
        "Numbers (CSV)",
        data=lambda: "".join(f"{n}\n" for n in chosen.numbers.tolist()).encode(),
        file_name=f"{stem}.csv",
        mime="text/csv",
        key="csv-set",
        on_click="ignore",
        help="One number a line, no header: what “A list” and “A file” below read back.",
    )
    st.download_button(
        "With its data's name and hash (JSON)",
        data=lambda: as_json(pool, chosen),
        file_name=f"{stem}.json",
        mime="application/json",
        key="json-set",
        on_click="ignore",
    )


def as_json(pool: Pool, chosen: Selection) -> bytes:
    """Return a set as a file with a description of its numbers."""
    whole = {
        "format": 1,
        "name": chosen.name,
        "how": chosen.how,
        "id": chosen.id,
        "data": {"name": pool.name, "hash": pool.hash, "training_pictures": len(pool)},
        "size": len(chosen),
        "indices": chosen.numbers.tolist(),
    }
    return json.dumps(whole, indent=1).encode()


def _looked_at(pool: Pool, chosen: Selection) -> None:
    """Show the picture that was clicked on the map, and what can be done with it."""
    number = forget_map.focus(pool)
    if number is None:
        return
    here = bool(np.isin(number, chosen.numbers))
    label = pool.classes[int(pool.labels[number])]
    description = f"label {label}" + (", chosen" if here else "")
    data = pool.pictures.data
    with st.container(key="looked-at", gap="small"):
        image = ""
        if not data.tabular:
            image = f'<img src="{say.escaped(pool.pictures.url(number))}" alt="{say.escaped(pool.describe(number))}">'
        st.html(
            f'<div class="fs-picture">{image}'
            f"<dl><dt>{pool.noun.capitalize()}</dt><dd>{number}</dd><dt>Label</dt><dd>{say.escaped(label)}</dd>"
            f"<dt>Chosen</dt><dd>{'yes' if here else 'no'}</dd></dl></div>"
            + (nouns.row(data, number) if data.tabular else "")
        )
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Take away" if here else "Choose",
                key="toggle-this",
                type="tertiary",
                on_click=state.toggle,
                args=(pool, chosen, number),
                help=description,
            )
            st.button("More like this", key="like-this", type="tertiary", on_click=like, args=(number,))
            st.button("Look closer", key="closer", type="tertiary", on_click=inspector.pick, args=(number,))
            st.button("Close", key="close-this", type="tertiary", on_click=lambda: st.query_params.pop("at", None))


def like(number: int) -> None:
    """Open the form that chooses the pictures nearest to this one."""
    forget_map.look_at(number)
    st.session_state["by"] = "nearest"


def grid(pool: Pool, chosen: Selection, known: Measured) -> None:
    """Show the chosen pictures, everything else, or pairs of near-duplicates; a click picks or unpicks."""
    left = None if known.alike is None else known.alike.left(chosen.numbers)
    names = {"chosen": "Chosen", "others": "Everything else"}  # these words are also in the URL, so without counts
    if left is not None and len(left):
        names["pairs"] = "Near-duplicates in retain"
    with st.container(horizontal=True, vertical_alignment="center", key="grid-switches"):
        shown = switch(
            nouns.spoken("Pictures"), list(names), key="shown", default="chosen", name=lambda key: names[key]
        )
        place = st.container(width="content")
    if shown == "pairs" and left is not None:
        _pairs(pool, chosen, known)
        return
    numbers = chosen.numbers if shown == "chosen" else np.setdiff1d(np.arange(len(pool)), chosen.numbers)
    if not len(numbers):
        nothing = "Nothing is chosen yet." if shown == "chosen" else "Everything is chosen."
        st.html(f'<p class="fs-small">{nothing}</p>')
        return
    per = 40 if max(pool.pictures.data.shape[1:]) > 40 else 72
    with place:
        start = _page(len(numbers), per, key=f"page-{shown}")
    part = numbers[start : start + per]
    on = set(part.tolist()) & set(chosen.numbers.tolist())
    tiles = [thumbs.Tile((_face(pool, n, at, n in on),)) for at, n in enumerate(part.tolist())]
    sheet = _sheet(pool.hash, tuple(part.tolist()), pool)
    alt = nouns.spoken(
        "Chosen pictures, a click takes one away" if shown == "chosen" else "Pictures not chosen, a click chooses one"
    )
    _grid(pool, chosen, tiles, sheet, alt)


def _grid(
    pool: Pool, chosen: Selection, tiles: Sequence[thumbs.Tile], sheet: Sheet | None, alt: str, side: int = 0
) -> None:
    def pick(number: int) -> None:
        if 0 <= number < len(pool):
            state.toggle(pool, chosen, number)

    thumbs.grid(tiles, sheet, key="grid", alt=alt, pick=pick, closer=inspector.pick, side=side)


def _face(pool: Pool, number: int, at: int, on: bool, *, caption: str = "", ring: bool = False) -> thumbs.Face:
    label = pool.classes[int(pool.labels[number])]
    doing = "chosen; click to take away" if on else "click to choose"
    lines = tuple(nouns.lines(pool.pictures, number))
    return thumbs.Face(number, at, caption or label, on, f"{pool.describe(number)}, {doing}", ring, lines)


def _pairs(pool: Pool, chosen: Selection, known: Measured) -> None:
    left = known.alike.left(chosen.numbers)  # type: ignore[union-attr]
    shown = left.first[:_PAIRS].tolist(), left.second[:_PAIRS].tolist(), left.distance[:_PAIRS].tolist()
    more = f" The nearest {_PAIRS} of {len(left):,} pairs." if len(left) > _PAIRS else ""
    st.html(
        nouns.spoken(
            '<p class="fs-small">Left of each pair a picture to forget, right its twin that stays. The distance is the '
            "root-mean-square difference of pixels, 0 the same, 1 black against white; closer than "
            f"{known.near:.3f}, half the usual distance to the nearest picture, counts as nearly the same.{more}</p>"
        )
    )
    tiles, points = [], []
    for first, second, distance in zip(*shown, strict=True):
        faces = (
            _face(pool, first, len(points), on=True, caption="forget", ring=False),
            _face(pool, second, len(points) + 1, on=False, caption="stays"),
        )
        points += [first, second]
        labels = [pool.classes[int(pool.labels[n])] for n in (first, second)]
        other = "" if labels[0] == labels[1] else f"; labels {labels[0]} and {labels[1]}"
        tiles.append(thumbs.Tile(faces, f"the same{other}" if distance == 0 else f"{distance:.3f} apart{other}"))
    sheet = _sheet(pool.hash, tuple(points), pool)
    _grid(
        pool,
        chosen,
        tiles,
        sheet,
        "Pairs of near-duplicates; a click on the right one chooses it",
        side=170 if sheet else 300,
    )


def _page(total: int, per: int, *, key: str) -> int:
    """Draw the buttons between pages and return the index at which the current page starts."""
    pages = -(-total // per)
    page = min(int(st.session_state.get(key, 0)), pages - 1)
    if pages == 1:
        return 0

    def go(to: int) -> None:
        st.session_state[key] = to

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Previous", key=f"{key}-back", type="tertiary", disabled=page == 0, on_click=go, args=(page - 1,))
        span = f"{page * per + 1:,} to {min(total, (page + 1) * per):,} of {total:,}"
        st.html(f'<span class="fs-small">{span}</span>', width="content")
        st.button("Next", key=f"{key}-on", type="tertiary", disabled=page + 1 == pages, on_click=go, args=(page + 1,))
    return page * per


@st.cache_resource(max_entries=64, show_spinner=False)
def _sheet(data_hash: str, points: tuple[int, ...], _pool: Pool) -> Sheet | None:  # noqa: ARG001 - part of the key
    return None if _pool.pictures.data.tabular else _pool.pictures.sheet(points, side=_SIDE, columns=12)
