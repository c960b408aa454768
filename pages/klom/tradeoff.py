"""KLOM against compute, beside a retrain that is stopped early: which method, or setting, is worth its price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from engine.metrics.klom import MetricError
from engine.store import StoreError
from engine.views import course, tradeoff
from engine.views.headline import ranked
from pages.ui import nouns, results, say, show

_LEAST = 3
"""Methods, references aside, from which on there is a trade-off to see."""


def draw(
    table: pd.DataFrame,
    measured: Sequence[results.Result],
    method: str,
    head: tuple[str, str],
    choose: Callable[[Sequence[Any]], None],
    *,
    subject: str,
) -> None:
    """Show the trade-off of a headline's ``table`` beside the course of a retrain, in a convention and a statistic.

    Nothing is shown for a single method without such a course, nor for two.
    """
    convention, statistic = head
    points = tradeoff.frame(table, statistic)
    tried = tradeoff.tested(points)
    way = _course(measured, convention)
    if tried.empty or (way.empty and len(tried) < _LEAST):
        return
    show.heading(tradeoff.CARD)
    best = ranked(points)["forget"].min()
    same = course.sentence(way, float(best), statistic=statistic) if pd.notna(best) else ""
    text = nouns.spoken(f"{tradeoff.sentence(points)} {same}".strip())
    st.html(f'<p class="fs-small strong">{say.escaped(text)}</p>')
    figure = partial(tradeoff.figure, points, chosen=method, statistic=statistic, course=way)
    show.chart(figure, "tradeoff", on_click=choose, alt="KLOM of each method per split over its share of a retrain")
    show.behind(
        tradeoff.CARD,
        "tradeoff",
        points,
        figure,
        subject=subject,
        meanings=tradeoff.COLUMNS,
        columns={
            "name": st.column_config.TextColumn("Method", pinned=True),
            "forget": st.column_config.NumberColumn("forget KLOM", format="%.2f"),
            "retain": st.column_config.NumberColumn("retain KLOM", format="%.2f"),
            "test": st.column_config.NumberColumn("test KLOM", format="%.2f"),
            "floor": st.column_config.NumberColumn("floor", format="%.2f", help="Noise floor of the forget set."),
            "compute": st.column_config.NumberColumn("of a retrain", format="percent"),
            "seconds": st.column_config.NumberColumn("seconds", format="%.3f"),
            "front": st.column_config.CheckboxColumn("on the front", help="No other is as good in all three."),
        },
        order=["name", "forget", "retain", "test", "floor", "compute", "seconds", "front"],
    )
    if way.empty:
        return
    with st.expander(f"{course.CARD.title}: {course.CARD.question}"):
        line = partial(course.figure, way, statistic=statistic)
        show.chart(line, "course", alt="KLOM of a retrain stopped after each epoch, per split")
        show.behind(course.CARD, "course", way, line, subject=subject, meanings=course.documented())


def _course(measured: Sequence[results.Result], convention: str) -> pd.DataFrame:
    """Return the course of a retrain with the most networks there are, empty where none was kept."""
    try:
        return max(measured, key=lambda one: one.models).course(convention)
    except (StoreError, MetricError):
        return course.empty()
