"""The end of the KLOM page: whether the ensembles are large enough for what is read off them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from engine.metrics import statistics
from engine.metrics.klom import MetricError
from engine.queue import RunRow
from engine.store import StoreError
from engine.views import enough
from pages.klom import words
from pages.ui import results, say, show
from pages.ui.controls import switch


def draw(run: RunRow, result: results.Result, convention: str, statistic: str) -> None:
    """Show floor and KLOM of one method measured with fewer of its models, and the answer in words."""
    with (
        st.container(key="enough-part"),
        st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"),
    ):
        show.heading(enough.CARD)
        shown = switch(
            "Statistic of the curve",
            list(statistics()),
            key="curve",
            default=statistic,
            name=lambda key: statistics()[key].label,
        )
    try:
        table = result.by_size(convention)
    except (StoreError, MetricError) as error:
        st.warning(f"The curve cannot be drawn: {say.plain(error)}")
        return
    st.html(f'<p class="fs-small strong">{say.escaped(enough.sentence(table, result.name, statistic=shown))}</p>')
    if table.empty:
        return

    figure = partial(enough.figure, table, name=result.name, statistic=shown)
    show.chart(figure, "enough", alt="Noise floor and KLOM over the number of models, per split")
    subject = words.subject(run, [result], convention)
    show.behind(enough.CARD, "enough", table, figure, subject=subject, meanings=enough.documented())
