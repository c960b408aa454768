"""What a method makes on its way, such as UNSIR's noise: made again by the compute process on request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from engine.queue import RunRow
from engine.store import StoreError
from engine.views import exhibit as view
from pages.ui import analysis, asking, nouns, say, show, workspace


def offer(run: RunRow) -> None:
    """Offer the pictures of each method of a run that makes some, and show those that the URL asks for (``made``)."""
    if run.status == "failed":
        return
    words = workspace.words()
    whats = {entry["key"]: entry.get("exhibits", "") for entry in words["methods"]}
    names = say.method_names(words, run.recipe)
    for (method, name), choice in zip(names.items(), run.recipe["methods"], strict=True):
        what = whats.get(choice["key"])
        if what and nouns.tabular(str(run.recipe["dataset"].get("key"))):
            st.html(
                f'<p class="fs-small">{say.escaped(name)}: {what} is rows of this table, which make no picture.</p>'
            )
        elif what:
            _one(run, method, name, what)


def _one(run: RunRow, method: str, name: str, what: str) -> None:
    key = f"exhibit-{method}"
    if st.query_params.get("made") != method:
        st.button(f"Show {what} ({name})", key=f"show-{key}", on_click=st.query_params.update, args=({"made": method},))
        return
    st.button(f"Hide {what}", key=f"hide-{key}", type="tertiary", on_click=st.query_params.pop, args=("made",))
    reply = asking.ask(analysis.question({"key": "exhibit"}, run.recipe, method=method), key=f"{key}-{run.id}")
    if reply.error:
        st.warning(f"{say.plain(name)}: {say.plain(say.sentence(reply.error))}")
    elif reply.answer is None:
        asking.wait(reply, what=f"{name}, {what}", key=key)
    else:
        _draw(run, name, what, reply.answer, key=key)


def _draw(run: RunRow, name: str, what: str, answer: Mapping[str, Any], *, key: str) -> None:
    try:
        measurement = analysis.measured(answer)
    except StoreError as error:
        st.warning(f"{say.plain(name)}: {say.plain(error)}")
        return
    names, classes = measurement.facts["names"], measurement.facts["classes"]
    card, table = view.card(name, what), view.frame(measurement)
    show.heading(card)
    if classes > len(names):
        st.html(f'<p class="fs-small">The first {len(names)} of {classes} classes.</p>')
    draw = partial(view.figure, table, **view.beside(measurement))
    alt = f"Pictures of {what}, one row for each of the classes {', '.join(names)}"
    with st.container(key=key):
        show.picture(draw, f"{key}-chart", alt=alt)
        columns = {"probability": st.column_config.NumberColumn("probability of its class", format="%.4f")}
        subject = f"{run.label}; {run.id}; first network"
        show.behind(card, key, table, draw, subject=subject, meanings=view.COLUMNS, columns=columns)
