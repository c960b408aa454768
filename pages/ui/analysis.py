"""An analysis on a page: knobs as a form, price, progress and cancel, the picture, its table and downloads.

Nothing here knows an analysis by name: the catalogue says which there are and what they need, the view of the same key
draws what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.measurement import Measurement
from engine.queue import RunRow
from engine.records import canonical, digest
from engine.store import StoreError, default_store
from engine.store.measurements import answered
from engine.views import views
from pages.ui import asking, knobs, nouns, say, show, workspace

Choosing = Callable[[RunRow, pd.DataFrame, partial[go.Figure], str, str], partial[go.Figure]]
"""Draws a figure (its table, the figure without colours, key and words) and what is chosen on it; returns it ringed."""


def question(
    choice: Mapping[str, Any],
    recipe: Mapping[str, Any],
    *,
    method: str = "",
    point: int | None = None,
    models: int | None = None,
) -> dict[str, Any]:
    """Return the question that has an analysis measured, ``choice`` being its key and settings."""
    place = {"method": method, "point": point, "models": models}
    given = {name: value for name, value in place.items() if value not in ("", None)}
    return {"kind": "analysis", "analysis": dict(choice), "recipe": dict(recipe), **given}


def offered(about: str, method: Mapping[str, Any]) -> dict[str, str]:
    """Return the analyses that can be asked about a method (its entry in the catalogue) or a point: names by key."""
    entries = workspace.words()["analyses"]
    return {
        entry["key"]: str(entry["card"]["name"])
        for entry in entries
        if entry["about"] == about and (not entry["requires"] or method.get(entry["requires"]))
    }


def offer(
    run: RunRow,
    method: str,
    key: str,
    point: int | None = None,
    *,
    models: int | None = None,
    choosing: Choosing | None = None,
) -> None:
    """Draw the form of an analysis of a run's method, what it takes, and its picture once it was measured.

    ``models`` is the number of networks to look at, all of the run's by default. A figure whose marks can be chosen is
    drawn by ``choosing``, where it is given.
    """
    entry = next(entry for entry in workspace.words()["analyses"] if entry["key"] == key)
    place = f"look-{key}"
    with st.container(key=f"{place}-part"):
        st.html(f'<p class="fs-small strong">{say.escaped(nouns.spoken(_about(entry["card"])))}</p>')
        choice = {"key": key, **knobs.form(entry["fields"], place, advanced=True)}
        answer = _obtained(question(choice, run.recipe, method=method, point=point, models=models), entry, place)
        if answer is not None:
            _picture(run, subject(run, method, answer), key, answer, choosing)


def obtain(
    run: RunRow,
    method: str,
    key: str,
    *,
    settings: Mapping[str, Any] | None = None,
    point: int | None = None,
    models: int | None = None,
) -> tuple[Measurement, Mapping[str, Any]] | None:
    """Return an analysis's measurement and its answer for a page that draws it itself, or None after saying why not.

    Until it is there the price and a button are drawn, then progress with a way to stop it, or what went wrong.
    """
    entry = next(entry for entry in workspace.words()["analyses"] if entry["key"] == key)
    choice = {"key": key, **knobs.known(entry["fields"], settings or {})}
    content = question(choice, run.recipe, method=method, point=point, models=models)
    answer = _obtained(content, entry, f"look-{key}")
    if answer is None:
        return None
    try:
        return measured(answer), answer
    except StoreError as error:
        st.warning(say.plain(error))
        return None


def subject(run: RunRow, method: str, answer: Mapping[str, Any]) -> str:
    """Return in words what an answer is about: the method, and how many networks of each kind."""
    name = say.method_names(workspace.words(), run.recipe).get(method, method)
    return f"{name}; {say.count(int(answer['models']), 'network')} of each kind"


def _obtained(content: Mapping[str, Any], entry: Mapping[str, Any], place: str) -> Mapping[str, Any] | None:
    """Return the answer to a question that was pressed or is there already; else draw where it stands."""
    if not _begun(content, place):
        return None
    reply = asking.ask(content, key=place)
    if reply.error:
        st.warning(say.plain(say.sentence(reply.error)))
    elif reply.answer is None:
        asking.wait(reply, what=str(entry["card"]["name"]), key=place)
    else:
        return reply.answer
    return None


def measured(answer: Mapping[str, Any]) -> Measurement:
    """Return the measurement that an answer names.

    Raises:
        StoreError: it is gone from the store, or damaged; in words.
    """
    return _measured(str(default_store()), canonical(dict(answer)))


def _about(card: Mapping[str, Any]) -> str:
    """Return an analysis's summary and source in one line."""
    source = f" {card['paper']} ({card['year']})." if card["paper"] else ""
    return f"{card['summary']}{source}"


def _begun(question: Mapping[str, Any], place: str) -> bool:
    """Return whether to ask: it was pressed, or is there already; else draw the button with what it takes.

    What was pressed stays so while further networks of the run come in.
    """
    pressed: set[str] = st.session_state.setdefault("looked", set())
    mark = digest({k: v for k, v in question.items() if k != "models"})
    if mark in pressed:
        return True
    price = asking.ask({**question, "price": True}, key=f"{place}-price")
    if price.ready and price.answer["cached"]:
        return True
    if price.error:
        st.warning(say.plain(say.sentence(price.error)))
        return False
    with st.container(horizontal=True, vertical_alignment="center", key=f"{place}-bar"):
        st.button("Measure", key=f"{place}-go", on_click=pressed.add, args=(mark,))
        if price.ready:
            takes = f"About **{say.duration(price.answer['seconds'])}**, once; it is kept with the run."
            st.markdown(takes, width="stretch")
        elif price.pending is not None:
            asking.wait(price, key=f"{place}-price", **asking.MEASURING)
    return False


def _picture(run: RunRow, subject: str, key: str, answer: Mapping[str, Any], choosing: Choosing | None = None) -> None:
    try:
        measurement = measured(answer)
    except StoreError as error:
        st.warning(say.plain(error))
        return
    view = views()[key]
    table, figure = view.draw(measurement)
    show.heading(view.card)
    alt = f"{view.card.title}. {view.card.question}"
    if view.chooses and choosing is not None:
        figure = choosing(run, table, figure, f"look-{key}-chart", alt)
    elif view.beside is None:
        show.chart(figure, f"look-{key}-chart", alt=alt)
    else:
        show.picture(figure, f"look-{key}-chart", alt=alt)
    about = f"{run.label}; {run.id}; {subject}"
    show.behind(view.card, key, table, figure, subject=about, meanings=view.columns)


@st.cache_resource(max_entries=32, show_spinner=False)
def _measured(path: str, answer: str) -> Measurement:  # noqa: ARG001 - part of the key
    return answered(workspace.store(), json.loads(answer))
