"""The top of the KLOM page: every method's number per split, in the statistic and convention that are chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine import metrics
from engine.metrics import statistics
from engine.metrics.klom import CONVENTIONS
from engine.queue import RunRow
from engine.store import StoreError
from engine.views import headline
from engine.views.base import ViewCard
from pages.klom import best, tradeoff, words
from pages.ui import results, say, show
from pages.ui.controls import switch

_MEANING = {"paper": "KL(oracle || unlearned), as the paper defines it",
            "easydub": "KL(unlearned || oracle), as the released benchmark code computes it"}  # fmt: skip
_MOST = 16
"""Methods in the headline's figure at most."""


@dataclass(frozen=True)
class Head:
    """Places above the figure for its sentences, and what was chosen there."""

    verdict: DeltaGenerator
    basis: DeltaGenerator
    convention: str
    statistic: str


def head(default: str) -> Head:
    """Lay out the top and let the visitor choose convention and statistic; ``default`` is the run's convention."""
    verdict = st.container(key="verdict")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom", key="basis"):
        basis = st.container(width="stretch")
        convention = switch("KLOM convention", CONVENTIONS, key="convention", default=default)
        statistic = switch(
            "Statistic",
            list(statistics()),
            key="statistic",
            default=metrics.headline().key,
            name=lambda key: statistics()[key].label,
        )
    return Head(verdict, basis, convention, statistic)


def draw(run: RunRow, measured: Sequence[results.Result], method: str, head: Head) -> None:
    """Show the verdict, what it rests on, and the figure; ``method`` is the one looked at closer."""
    convention, statistic = head.convention, head.statistic
    try:
        scores = {r.method: r.scores_in(convention) for r in measured}
    except StoreError as error:
        st.warning(f"The {convention} convention cannot be shown: {say.plain(error)}")
        convention = measured[0].convention
        scores = {r.method: r.scores for r in measured}
    table = words.table(run, scores)
    verdict = headline.verdict(table, statistic)
    if verdict:
        head.verdict.markdown(f"#### {verdict}")
    basis = f"{words.basis(run, measured, convention)} {results.stopped(run)}"
    head.basis.html(f'<p class="fs-small">{say.escaped(basis.strip())}</p>')

    def choose(data: Sequence[Any]) -> None:
        st.session_state["method"], st.session_state["split"] = data[0], data[1]

    shown = headline.nearest(table, statistic, most=_MOST, keep=method)
    figure = partial(headline.figure, shown, chosen=method, statistic=statistic)
    show.chart(figure, "headline", on_click=choose, alt="KLOM per method and split with intervals and noise floor")
    methods, drawn = table["method"].nunique(), shown["method"].nunique()
    if drawn < methods:
        st.html(f'<p class="fs-small">{drawn} of {methods} are drawn, the closest; the table below has all.</p>')
    columns = words.columns(statistic)
    subject = words.subject(run, measured, convention)
    show.behind(
        _card(statistic, convention),
        "headline",
        table,
        figure,
        subject=subject,
        meanings=headline.documented(),
        columns=columns,
        order=list(columns),
    )
    for text in words.warnings(measured):
        _note(text)
    tradeoff.draw(table, measured, method, (convention, statistic), choose, subject=subject)
    best.draw(run, table, statistic, choose, convention=convention, subject=subject)


def _card(statistic: str, convention: str) -> ViewCard:
    card = headline.card(statistic)
    return dataclasses.replace(card, how=f"{card.how} KLOM is {_MEANING[convention]}.")


def _note(text: str) -> None:
    st.html(f'<p class="fs-small"><span class="fs-dot bad"></span>{say.escaped(text)}</p>')
