"""A run that is one request of a sequence: its number, links to the others, and all of them in one figure."""

from __future__ import annotations

from functools import partial

import streamlit as st

from engine.metrics import headline
from engine.queue import RunRow
from engine.queue.sequences import Place, place_of
from engine.views import palette
from engine.views import requests as view
from pages.ui import results, runs, say, show, workspace
from pages.ui.controls import switch

EVERY = 2.0
"""Seconds between reads of newer numbers of any request; only while one of them is not over."""
_STATES = {"queued": "waiting", "running": "running", "failed": "failed", "cancelled": "cancelled"}


def place(run: RunRow) -> Place | None:
    """Return which request of which sequence a run is, None for a single one."""
    return place_of(workspace.queue(), run)


def line(where: Place | None, page: str) -> None:
    """Draw which request of its sequence a run is, with links to the others on ``page``; nothing for a single one."""
    if where is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="sequence"):
        st.html(f'<p class="fs-small strong">Request {where.number} of {where.total}:</p>', width="content")
        for number, (forget_set, other) in enumerate(zip(where.forget_sets, where.runs, strict=True), start=1):
            title = say.forget_name(forget_set)
            name = f"{number}. {title}"
            if number == where.number:
                st.html(f'<p class="fs-small strong"><b>{say.escaped(name)}</b></p>', width="content")
            elif other is None:
                st.html(
                    f'<p class="fs-small" title="Nobody ran this request by itself.">{say.escaped(name)}</p>',
                    width="content",
                )
            else:
                state = _STATES.get(other.status)
                label = f"{number}\\. {say.plain(title)}" + (f" ({state})" if state else "")  # a number, not a list
                runs.link(page, label, run_id=other.id)


def draw(run: RunRow, where: Place | None) -> None:
    """Show all requests of the run's sequence in one figure, which fills in as they are measured."""
    if where is None:
        return
    waiting = any(other is not None and not other.over for other in where.runs)
    with st.container(key="requests-place"):
        st.fragment(run_every=EVERY if waiting else None)(_draw)(run.id)


def _draw(run_id: str) -> None:
    run = runs.find(run_id)
    where = None if run is None else place_of(workspace.queue(), run)
    if run is None or where is None:
        return
    table = view.frame(_entries(where))
    if table.empty:
        return
    with st.container(key="requests-part"):
        show.heading(view.CARD)
        missing = [number for number, other in enumerate(where.runs, start=1) if other is None]
        gaps = f" Nobody ran request {missing[0]} by itself, so it is not drawn." if missing else ""
        st.html(f'<p class="fs-small strong">{say.escaped(view.sentence(table) + gaps)}</p>')
        quantities = view.quantities()
        quantity = switch(
            "What of each request",
            list(quantities),
            key="of-requests",
            default=headline().key,
            name=lambda key: quantities[key].title(),
        )
        places = palette.places(say.method_facts(workspace.words(), run.recipe))
        figure = partial(view.figure, table, quantity=quantity, total=where.total, shades=places)
        requests = ", ".join(f"{i}. {say.forget_name(one)}" for i, one in enumerate(where.forget_sets, start=1))
        alt = f"{quantities[quantity].card.name} of each method over {where.total} requests: {requests}"
        show.chart(figure, "requests", alt=alt)
        columns = {
            "request": st.column_config.NumberColumn("Request", format="%d"),
            "asked": "Asked for",
            "name": "Method",
            "split": "Split",
            **show.numbers(view.columns()),
        }
        show.behind(
            view.CARD,
            "requests",
            table,
            figure,
            subject=f"{', '.join(say.subject(workspace.words(), run.recipe).values())}; requests: {requests}",
            meanings=view.documented(),
            columns=columns,
            order=list(columns),
        )


def _entries(where: Place) -> list[view.Entry]:
    return [
        view.Entry(number, say.forget_name(forget_set), one.method, one.name, one.scores, one.facts.reference)
        for number, (forget_set, row) in enumerate(zip(where.forget_sets, where.runs, strict=True), start=1)
        if row is not None
        for one in results.results(row)
    ]
