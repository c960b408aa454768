"""The parts of the KLOM page and their order, from the headline down to one point."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from engine.queue import RunRow
from engine.records import Recipe
from engine.views import headline
from pages.klom import enough, further, points, words
from pages.klom import headline as klom_headline
from pages.ui import results, say, show, subject


def waiting(run: RunRow) -> None:
    """Draw the empty axes of the first figure and when it will be filled."""
    ensemble = Recipe.from_json(run.recipe).ensemble
    first = min(ensemble.chunk, ensemble.models)
    st.html(
        f'<p class="fs-lead">The first KLOM appears after {say.count(first, "model")} of each kind and sharpens with '
        f"every further {first}.</p>"
    )
    table = words.table(run, {})
    show.chart(partial(headline.figure, table), "headline-waiting", alt="Axes waiting for the first KLOM")


def measured_part(run: RunRow, measured: Sequence[results.Result]) -> None:
    """Show the headline of all methods and, below it, one method from its distribution down to one point.

    The switches are drawn before the figures that depend on them, so their places are laid out first.
    """
    above, between = st.container(key="headline-part"), st.container(key="switches")
    with above:
        head = klom_headline.head(measured[0].convention)
    with between:
        method = subject.method(run, measured)
    result = next(r for r in measured if r.method == method)
    with above:
        klom_headline.draw(run, measured, method, head)
    points.draw(run, measured, result, head.convention)
    enough.draw(run, result, head.convention, head.statistic)
    further.draw(run, result)
