"""One way to show a figure: question, picture, and behind it the table, how to read it, and downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.metrics import scores
from engine.theme import LIGHT, Look, look
from engine.views.base import CHART_CONFIG, Column, ViewCard, as_html
from pages.ui import frame, nouns

Draw = Callable[[Look], go.Figure]


def heading(card: ViewCard) -> None:
    """Write a view's title and its question."""
    st.html(
        f'<p class="fs-step">{frame.say.escaped(nouns.spoken(card.title))}</p>'
        f'<p class="fs-small">{frame.say.escaped(nouns.spoken(card.question))}</p>',
        width="content",
    )


def chart(
    draw: partial[go.Figure],
    key: str,
    *,
    on_click: Callable[[Any], None] | None = None,
    on_choose: Callable[[list[Any]], None] | None = None,
    alt: str = "",
) -> None:
    """Draw the figure for the visitor's theme; ``on_click`` gets the custom data of a point that is clicked.

    ``on_choose`` gets those of all points that are clicked or that a line is drawn round.

    ``draw`` is a view's ``figure`` with its table and options, wanting only colours: all visitors who look at the same
    share one, for plotly takes longer to build a figure than everything else on a page together.
    """
    colours = frame.colours()
    figure = _shared(_content(draw), colours.dark, draw)
    if on_click is None and on_choose is None:
        st.plotly_chart(figure, theme=None, key=key, config=dict(CHART_CONFIG), alt=nouns.spoken(alt) or None)
        return

    def clicked() -> None:
        data = [point["customdata"] for point in st.session_state[key].selection.points if point.get("customdata")]
        if data and on_click is not None:
            on_click(data[0])
        if data and on_choose is not None:
            on_choose(data)

    st.plotly_chart(
        figure,
        theme=None,
        key=key,
        config=dict(CHART_CONFIG),
        on_select=clicked,
        selection_mode="points" if on_choose is None else ("points", "box", "lasso"),
        alt=nouns.spoken(alt) or None,
    )


def picture(draw: partial[go.Figure], key: str, *, alt: str) -> None:
    """Draw a figure that is mostly an image; not shared, because its table does not identify it."""
    st.plotly_chart(draw(frame.colours()), theme=None, key=key, config=dict(CHART_CONFIG), alt=alt)


def _content(draw: partial[go.Figure]) -> str:
    """Return a hash of everything that determines a figure except its colours."""
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update(f"{draw.func.__module__}.{draw.func.__qualname__} {sorted(draw.keywords.items())}".encode())
    for table in draw.args:
        hasher.update(f"{list(table.columns)} {len(table)}".encode())
        hasher.update(pd.util.hash_pandas_object(table).to_numpy().tobytes())
    return hasher.hexdigest()


@st.cache_resource(max_entries=128, show_spinner=False)
def _shared(content: str, dark: bool, _draw: Draw) -> go.Figure:  # noqa: ARG001 - part of the cache's key
    return _draw(look(dark=dark))


def numbers(columns: Sequence[scores.Column]) -> dict[str, Any]:
    """Return how a table shows columns of metrics: title, meaning and number of digits, as their cards have them."""
    return {
        column.name: st.column_config.NumberColumn(
            column.title,
            help=column.help,
            format="percent" if column.metric.form == "percent" else f"%.{column.metric.digits}f",
        )
        for column in columns
    }


def behind(
    card: ViewCard,
    key: str,
    table: pd.DataFrame,
    draw: Draw,
    *,
    subject: str,
    meanings: Mapping[str, Column] | None = None,
    columns: dict[str, Any] | None = None,
    order: list[str] | None = None,
) -> None:
    """Draw one row below a figure: how to read it, its table, and both downloads.

    ``meanings`` are the view's columns, whose headings explain themselves in the table; ``columns`` says how some of
    them are written there.
    """
    card = ViewCard(nouns.spoken(card.title), nouns.spoken(card.question), nouns.spoken(card.how))
    shown = st.segmented_control(
        "Behind this figure",
        ["How to read this", "Table", "Download"],
        key=f"behind-{key}",
        label_visibility="collapsed",
    )
    if shown == "How to read this":
        st.html(f'<p class="fs-small strong">{frame.say.escaped(card.how)}</p>')
    elif shown == "Table":
        st.dataframe(
            table,
            hide_index=True,
            column_config=_explained(meanings or {}, columns or {}),
            column_order=order,
            height="content" if len(table) < 30 else 360,
        )
    elif shown == "Download":
        with st.container(horizontal=True):
            st.download_button(
                "Numbers (CSV)",
                data=lambda: table.to_csv(index=False).encode(),
                file_name=f"forgetscope-{key}.csv",
                mime="text/csv",
                key=f"csv-{key}",
                on_click="ignore",
            )
            st.download_button(
                "Figure (HTML)",
                data=lambda: as_html(draw(LIGHT), card, subject=subject),
                file_name=f"forgetscope-{key}.html",
                mime="text/html",
                key=f"html-{key}",
                on_click="ignore",
                help="Opens anywhere, without network.",
            )


def _explained(meanings: Mapping[str, Column], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a table's columns are written, each with the meaning that its view documents where it has none."""
    explained = dict(columns)
    for name, column in meanings.items():
        config = columns.get(name)
        written = {"label": config} if isinstance(config, str) else config or {}
        known = {part: value for part, value in written.items() if value is not None}
        explained[name] = {"help": nouns.spoken(column.help), **known}
    return explained
