"""Forget KLOM against compute and damage: which method, or which setting of one, is worth its price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from engine.views import tradeoff
from pages.ui import say, show

_LEAST = 3
"""Methods, references aside, from which on there is a trade-off to see."""


def draw(
    table: pd.DataFrame, method: str, statistic: str, choose: Callable[[Sequence[Any]], None], *, subject: str
) -> None:
    """Show the trade-off of a headline's ``table``; nothing while fewer than three methods were measured."""
    points = tradeoff.frame(table, statistic)
    if len(tradeoff.tested(points)) < _LEAST:
        return
    show.heading(tradeoff.CARD)
    st.html(f'<p class="fs-small strong">{say.escaped(tradeoff.sentence(points))}</p>')
    figure = partial(tradeoff.figure, points, chosen=method, statistic=statistic)
    show.chart(figure, "tradeoff", on_click=choose, alt="Forget KLOM of each method over its share of a retrain")
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
