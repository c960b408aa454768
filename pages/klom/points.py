"""The middle of the KLOM page: one method from its distribution over points down to one point."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from engine.queue import RunRow
from engine.records import EARLIER, SPLITS
from engine.store import StoreError
from engine.views import distribution, points, versus
from engine.views.base import CEILING, SPLIT_TITLES
from pages.klom import words
from pages.ui import frame, inspector, nouns, results, say, show, workspace
from pages.ui.controls import switch
from pages.ui.gallery import gallery, tile

_TILES = 40
_WAYS = ("worst", "best", "two methods")


def draw(run: RunRow, measured: Sequence[results.Result], result: results.Result, convention: str) -> None:
    """Show the distribution of one method's KLOM, its points as pictures or against another method, and one point."""
    try:
        klom, floor = result.values(convention)
        ids = result.points()
    except StoreError as error:
        st.warning(f"The numbers of single points cannot be shown: {say.plain(error)}")
        return
    above = st.container(key="distribution-part")
    with above, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        show.heading(distribution.CARD)
        shape = switch("Shape", distribution.SHAPES, key="shape", default=distribution.SHAPES[0])
    with st.container(key="points-part"):
        grid, one = st.columns([7, 5], gap="large")
        below = st.container()
    with grid:
        heading = st.container()
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            splits = [one for one in (*SPLITS, EARLIER) if one in ids]
            if st.session_state.get("split") not in (None, *splits):
                del st.session_state["split"]  # left by a later request of a sequence
            split = switch("Split", splits, key="split", default="forget", name=lambda key: SPLIT_TITLES[key])
            ways = _WAYS if len(measured) > 1 else _WAYS[:2]
            order = switch("Order", ways, key="order", default="worst", name=str.capitalize)
    with heading:
        show.heading(versus.CARD if order == "two methods" else points.CARD)
    images = workspace.pictures(result.data_hash)
    ranked = points.frame(
        klom=klom,
        floor=floor,
        points=ids[split],
        labels=images.labels if images is not None else None,
        most=len(ids[split]),
        worst=order != "best",
    )
    chosen = inspector.point(len(klom), default=int(ranked["point"].iloc[0]))
    subject = words.subject(run, [result], convention)
    with above:
        _distribution(distribution.frame(klom=klom, floor=floor, points=ids), shape, chosen, subject)
    with grid:
        if order == "two methods":
            _versus(run, measured, result, convention, split, chosen)
        else:
            _gallery(result, ranked.head(_TILES), chosen)
    with one:
        inspector.panel(
            run,
            chosen,
            data_hash=result.data_hash,
            key="",
            method=result.method,
            convention=convention,
            among=ranked["point"].tolist(),
            below=below,
        )


def pick(number: int, split: str) -> None:
    """Choose a point: it goes into the URL, and the page switches to its split."""
    st.query_params["point"] = str(number)
    st.session_state["split"] = split


def _distribution(table: pd.DataFrame, shape: str, chosen: int, subject: str) -> None:
    figure = partial(distribution.figure, table, shape=shape, point=chosen)
    show.chart(
        figure,
        "distribution",
        on_click=lambda data: pick(int(data[0]), str(data[1])),
        alt=f"{distribution.CARD.title} of forget, retain and test set, {shape.lower()}",
    )
    show.behind(distribution.card(shape), "distribution", table, figure, subject=subject, meanings=distribution.COLUMNS)


def _gallery(result: results.Result, table: pd.DataFrame, chosen: int) -> None:
    images = workspace.pictures(result.data_hash)
    colours = frame.colours()
    tiles = []
    for row in table.itertuples():
        number, value = int(row.point), float(row.klom)
        label = images.class_name(number) if images is not None else ""
        tiles.append(
            tile(
                number,
                src=images.url(number) if images is not None else "",
                label=label,
                value=f"{value:.1f}",
                klom=value,
                floor=float(row.floor) if np.isfinite(row.floor) else None,
                on=number == chosen,
                title=f"point {number}, label {label}, KLOM {value:.2f}",
                lines=nouns.lines(images, number),
            )
        )
    gallery(
        tiles,
        key="gallery",
        ceiling=CEILING,
        hue=colours.unlearned,
        floor_hue=colours.oracle,
        pick=inspector.pick,
    )
    st.html(f'<p class="fs-small">{say.escaped(nouns.spoken(points.CARD.how))}</p>')


def _versus(
    run: RunRow,
    measured: Sequence[results.Result],
    result: results.Result,
    convention: str,
    split: str,
    chosen: int,
) -> None:
    others = {r.method: r for r in measured if r.method != result.method}
    if st.session_state.get("against") not in others:
        st.session_state.pop("against", None)
    against = st.selectbox(
        f"{result.name} against",
        list(others),
        format_func=lambda key: others[key].name,
        key="against",
        bind="query-params",
    )
    other = others[str(against)]
    try:
        first, floor = result.values(convention)
        second, _ = other.values(convention)
    except StoreError as error:
        st.warning(f"The points of {say.plain(other.name)} cannot be shown: {say.plain(error)}")
        return
    table = versus.frame(first=first, second=second, floor=floor, points=result.points())
    names = (result.name, other.name)

    figure = partial(versus.figure, table, names=names, split=split, point=chosen)
    sentence = nouns.spoken(versus.sentence(table, names, split=split))
    st.html(f'<p class="fs-small strong">{say.escaped(sentence)}</p>')
    if other.models != result.models:
        unequal = f"{result.name} rests on {result.models} models, {other.name} on {other.models}: wait until equal."
        st.html(f'<p class="fs-small"><span class="fs-dot bad"></span>{say.escaped(unequal)}</p>')
    show.chart(
        figure,
        "versus",
        on_click=lambda data: pick(int(data[0]), str(data[1])),
        alt=f"KLOM of each picture under {names[0]} and under {names[1]}",
    )
    subject = words.subject(run, [result, other], convention)
    columns = {"first": names[0], "second": names[1]}
    meanings = {columns.get(name, name): column for name, column in versus.COLUMNS.items()}
    show.behind(versus.CARD, "versus", table.rename(columns=columns), figure, subject=subject, meanings=meanings)
