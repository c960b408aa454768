"""An analysis on a page: knobs as a form, price, progress and cancel, the picture, its table and downloads.

Nothing here knows an analysis by name: the catalogue says which there are and what they need, the view of the same key
draws what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.measurement import Measurement
from engine.queue import RunRow
from engine.records import canonical, digest
from engine.store import StoreError, default_store
from engine.store.measurements import answered
from engine.views import views
from pages.ui import asking, knobs, nouns, say, show, workspace


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


def offer(run: RunRow, method: str, key: str, point: int | None = None, *, models: int | None = None) -> None:
    """Draw the form of an analysis of a run's method, what it takes, and its picture once it was measured.

    ``models`` is the number of networks to look at, all of the run's by default.
    """
    entry = next(entry for entry in workspace.words()["analyses"] if entry["key"] == key)
    place = f"look-{key}"
    with st.container(key=f"{place}-part"):
        st.html(f'<p class="fs-small strong">{say.escaped(nouns.spoken(_about(entry["card"])))}</p>')
        choice = {"key": key, **knobs.form(entry["fields"], place, advanced=True)}
        content = question(choice, run.recipe, method=method, point=point, models=models)
        if not _begun(content, place):
            return
        reply = asking.ask(content, key=place)
        if reply.error:
            st.warning(say.plain(say.sentence(reply.error)))
        elif reply.answer is None:
            asking.wait(reply, what=str(entry["card"]["name"]), key=place)
        else:
            name = say.method_names(workspace.words(), run.recipe).get(method, method)
            networks = say.count(int(reply.answer["models"]), "network")
            _picture(run, f"{name}; {networks} of each kind", key, reply.answer)


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
            asking.wait(price, what="Measuring what this takes", key=f"{place}-price")
    return False


def _picture(run: RunRow, subject: str, key: str, answer: Mapping[str, Any]) -> None:
    try:
        measurement = measured(answer)
    except StoreError as error:
        st.warning(say.plain(error))
        return
    view = views()[key]
    table, figure = view.draw(measurement)
    show.heading(view.card)
    alt = f"{view.card.title}. {view.card.question}"
    if view.beside is None:
        show.chart(figure, f"look-{key}-chart", alt=alt)
    else:
        show.picture(figure, f"look-{key}-chart", alt=alt)
    about = f"{run.label}; {run.id}; {subject}"
    show.behind(view.card, key, table, figure, subject=about, meanings=view.columns)


@st.cache_resource(max_entries=32, show_spinner=False)
def _measured(path: str, answer: str) -> Measurement:  # noqa: ARG001 - part of the key
    return answered(workspace.store(), json.loads(answer))
