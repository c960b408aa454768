"""Points chosen on a figure by a line drawn round them: ringed, looked at one by one, or made a new forget set."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.forget.base import spans
from engine.queue import RunRow
from pages.ui import draft, inspector, nouns, results, runs, say, show, workspace
from pages.ui.gallery import gallery, tile

_TILES = 24


def draw(run: RunRow, table: pd.DataFrame, figure: partial[go.Figure], key: str, alt: str) -> partial[go.Figure]:
    """Draw a figure whose marks can be chosen, what is chosen, and what to do with it; return it with what is ringed.

    ``table`` is the figure's, with the columns point and class; what is chosen stays with the session.
    """
    place = f"{key}-chosen-{run.id}"

    def choose(data: list[Any]) -> None:
        st.session_state[place] = sorted({int(one[0]) for one in data})

    known = set(table["point"])
    points = [number for number in st.session_state.get(place, ()) if number in known]
    figure = partial(figure, chosen=tuple(points))
    show.chart(figure, key, on_choose=choose, alt=alt)
    with st.container(key=f"{key}-picked"):
        if not points:
            st.html('<p class="fs-small">Nothing is chosen: draw a line round some marks, or click one.</p>')
            return figure
        _what(run, table, points, place)
    return figure


def _what(run: RunRow, table: pd.DataFrame, points: list[int], place: str) -> None:
    measured = results.results(run)
    train = int(measured[0].payload["train"]) if measured else 0
    images = workspace.pictures(measured[0].data_hash) if measured else None
    noun = nouns.spoken("picture")
    trained = [number for number in points if number < train]
    more = f" The first {_TILES} are shown." if len(points) > _TILES else ""
    st.html(
        f'<p class="fs-small strong" role="status"><b>{say.count(len(points), noun)} chosen</b>, '
        f"{len(trained):,} of the training set.{more}</p>"
    )
    with st.container(horizontal=True, gap="small", key=f"{place}-acts"):
        if st.button("Forget these instead", key=f"{place}-forget", disabled=not trained):
            _forget(run, trained)
        if st.button("Choose none", key=f"{place}-none", type="tertiary"):
            st.session_state.pop(place)
            st.rerun()
    names = table.drop_duplicates("point").set_index("point")["class"]
    tiles = [
        tile(
            number,
            src="" if images is None else images.url(number),
            label=str(names[number]),
            value=str(number),
            lines=nouns.lines(images, number),
        )
        for number in points[:_TILES]
    ]
    gallery(tiles, key=f"{place}-tiles", pick=inspector.pick)
    if measured:
        inspector.linked(run, measured[0].data_hash)


def _forget(run: RunRow, numbers: list[int]) -> None:
    """Set up a run like this one that forgets these training points, and go to the Unlearn page."""
    forget = {"key": "indices", "indices": spans(np.array(numbers)), "name": "chosen on a map"}
    draft.update(**{**draft.of(run.recipe), "forget": forget, "then": []})
    st.switch_page(runs.UNLEARN_PAGE, query_params={"draft": draft.link()})
