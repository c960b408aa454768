"""The methods of the current setup: each with a form made from its knobs, and further variants of the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from engine import leakage
from engine.claims import off_label
from engine.records import digest
from pages.ui import draft, knobs, runs, say, workspace
from pages.unlearn import misfits, presets, sweep_form, tune

_ROWS, _SEEN, _LATEST = "method-rows", "method-rows-of", "method-latest"
_PICK, _DRAWN = "method-pick", "method-pick-drawn"
_COLUMNS = 3
_VARIANTS = 4
"""Variants of one method that have a form each; more share a card."""


def form() -> list[dict[str, Any]]:
    """Draw the picker and one form per method, store their content in the draft, and return it."""
    words = workspace.words()
    entries = {entry["key"]: entry for entry in words["methods"]}
    rows = _rows(entries)
    _picker(entries, rows)
    methods = []
    latest: dict[int, dict[str, Any]] = {}
    st.session_state[_LATEST] = latest
    cards = _cards(rows)
    with st.container(key="cards"):
        for start in range(0, len(cards), 2):
            for place, card in zip(st.columns(2, gap="large"), cards[start : start + 2], strict=False):
                with place:
                    if len(card) == 1:
                        latest[card[0]["id"]] = _method(entries[card[0]["key"]], card[0])
                    else:
                        latest |= {row["id"]: row["values"] for row in card}
                        _sweep(entries[card[0]["key"]], card)
                methods += [{"key": row["key"], **latest[row["id"]]} for row in card]
    if methods != draft.current()["methods"]:
        draft.update(methods=methods)
    st.session_state[_SEEN] = digest(methods)
    return methods


def _cards(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the rows that share a card: one each, but a method with many variants has one card for all."""
    counts = Counter(row["key"] for row in rows)
    cards: dict[object, list[dict[str, Any]]] = {}
    for row in rows:
        cards.setdefault(row["key"] if counts[row["key"]] > _VARIANTS else row["id"], []).append(row)
    return list(cards.values())


def _sweep(entry: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Draw a method's many settings as one card."""

    def keep(count: int) -> None:
        here = [row["id"] for row in rows[count:]]
        _changed([row for row in st.session_state[_ROWS] if row["id"] not in here])
        _pick_anew()

    with st.container(key=f"card-sweep-{rows[0]['id']}", gap="xsmall"):
        sweep_form.many(entry, [row["values"] for row in rows])
        _doubt(entry["card"])
        misfits.explain(entry["key"], draft.current(), place=rows[0]["id"])
        with st.container(horizontal=True, gap="small"):
            st.button("Keep the first only", key=f"first-{rows[0]['id']}", type="tertiary", on_click=keep, args=(1,))
            st.button("Remove all", key=f"none-{rows[0]['id']}", type="tertiary", on_click=keep, args=(0,))


def twins(methods: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence about a method listed twice with the same settings; empty if there is none."""
    seen: set[str] = set()
    for method in methods:
        if digest(dict(method)) in seen:
            name = say.card_name(workspace.words(), "methods", method["key"])
            return f"{name} is listed twice with the same settings. Change or remove one of them."
        seen.add(digest(dict(method)))
    return ""


def _rows(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows on the page; made anew from the draft when it was changed elsewhere or the page was left.

    A row's values are what its widgets began with: a new id gives new widgets.
    """
    methods = [dict(method) for method in draft.current()["methods"] if method.get("key") in entries]
    rows, left = st.session_state.get(_ROWS), st.session_state.get(_DRAWN) not in st.session_state
    if rows is None or left or st.session_state.get(_SEEN) != digest(methods):
        rows = [_row(method["key"], knobs.known(entries[method["key"]]["fields"], method)) for method in methods]
        st.session_state[_ROWS] = rows
        _pick_anew()
    return rows


def _row(key: str, values: Mapping[str, Any], *, advanced: bool = False) -> dict[str, Any]:
    st.session_state["method-id"] = st.session_state.get("method-id", 0) + 1
    return {"id": st.session_state["method-id"], "key": key, "values": dict(values), "advanced": advanced}


def _pick_anew() -> None:
    """Have the picker begin with the methods of the rows.

    It is a new widget then: a browser that is still loading can miss a value that is set on an old one, and would
    send back an empty choice as if every method had been taken away.
    """
    number = st.session_state.get(_PICK, (0, []))[0] + 1
    st.session_state[_PICK] = number, list(dict.fromkeys(row["key"] for row in st.session_state[_ROWS]))


def _changed(rows: list[dict[str, Any]]) -> None:
    """Take over rows that a button changed, and store them in the draft at once."""
    latest: Mapping[int, dict[str, Any]] = st.session_state.get(_LATEST, {})
    methods = [{"key": row["key"], **latest.get(row["id"], row["values"])} for row in rows]
    st.session_state[_ROWS] = rows
    st.session_state[_SEEN] = digest(methods)
    draft.update(methods=methods)


def _picker(entries: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
    number, first = st.session_state[_PICK]
    key = f"methods-{number}"

    def picked() -> None:
        chosen = list(st.session_state[key])
        chosen_rows = [row for row in st.session_state[_ROWS] if row["key"] in chosen]
        known = {row["key"] for row in chosen_rows}
        chosen_rows += [_row(key, presets.fitting(entries[key])) for key in chosen if key not in known]
        order = list(entries)
        _changed(sorted(chosen_rows, key=lambda row: order.index(row["key"])))

    with st.container(horizontal=True, vertical_alignment="center", key="pick"):
        st.pills(
            "Methods",
            list(entries),
            selection_mode="multi",
            format_func=lambda key: entries[key]["card"]["name"],
            default=first,
            key=key,
            on_change=picked,
            label_visibility="collapsed",
            wrap=True,
        )
        st.session_state[_DRAWN] = key
        _copy()
    setup = draft.current()
    # What comes and goes has a container that stays, so that a press below it meets the same button afterwards.
    with st.container(key="misfits", gap="xsmall"):
        misfits.wait(setup)
        misfits.others(entries, {row["key"] for row in rows}, setup)
        if not rows:
            st.html('<p class="fs-lead">Pick one or more methods: each becomes a line in the same picture.</p>')


def _method(entry: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Draw one method and return its values."""
    card, fields = entry["card"], entry["fields"]
    with st.container(key=f"card-method-{row['id']}", gap="xsmall"):
        reads = " and ".join(card["reads"]) or "nothing"
        facts = [f"Reads {reads}", f"costs {card['cost']}" if card["cost"] not in ("", "none") else "costs nothing"]
        st.html(
            f'<div class="fs-card"><p class="fs-step">{say.escaped(card["name"])}</p>'
            f'<p class="fs-small">{say.escaped(card["summary"])}</p>'
            f'<p class="fs-small">{say.escaped("; ".join(facts))}.</p></div>'
        )
        _doubt(card)
        misfits.explain(entry["key"], draft.current(), place=row["id"])
        values = knobs.form(
            fields, f"m{row['id']}", advanced=row["advanced"], columns=_COLUMNS, defaults=row["values"], linked=False
        )
        presets.draw(entry, values, row["id"], lambda settings: _replaced(row, settings))
        _leak(card, values, row)
        hidden = [f for f in fields if f["advanced"] and not row["advanced"] and values[f["name"]] != f["default"]]
        if hidden:
            settings = ", ".join(f"{f['label']} {values[f['name']]}" for f in hidden)
            st.html(f'<p class="fs-small strong">Also changed: {say.escaped(settings)}</p>')
        _acts(entry, row, changed=any(values[f["name"]] != f["default"] for f in fields))
    return values


def _replaced(row: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Give a row other settings, and with them new widgets."""
    new = _row(row["key"], settings, advanced=row["advanced"])
    _changed([new if other["id"] == row["id"] else other for other in st.session_state[_ROWS]])


def _doubt(card: Mapping[str, Any]) -> None:
    """Draw a warning when a method's paper makes no claim about the current setup."""
    if doubt := off_label(card["claims"], {**draft.current(), "before": draft.then()}):
        sentence = f"{doubt} You may still run it."
        st.html(f'<p class="fs-small"><span class="fs-dot bad"></span>{say.escaped(sentence)}</p>')


def _leak(card: Mapping[str, Any], values: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Draw which training pictures a learned unlearner has itself seen, and offer one that has not seen them."""
    if "lesson" not in card["reads"]:
        return
    st.html(f'<p class="fs-small">{say.escaped(leakage.warning(values))}</p>')
    if not values["fresh"]:
        st.button(
            "Learn it again without them",
            key=f"fresh-{row['id']}",
            type="tertiary",
            on_click=_replaced,
            args=(row, {**values, "fresh": True}),
            help="The unlearner is then learned from what is left, once for this request. The price below says what "
            "that takes.",
        )


def _acts(entry: Mapping[str, Any], row: Mapping[str, Any], *, changed: bool) -> None:
    fields, number = entry["fields"], row["id"]

    def replace(*new: dict[str, Any]) -> None:
        rows = st.session_state[_ROWS]
        place = next((i for i, other in enumerate(rows) if other["id"] == number), None)
        if place is not None:
            _changed([*rows[:place], *new, *rows[place + 1 :]])
        _pick_anew()

    def values() -> dict[str, Any]:
        return dict(st.session_state[_LATEST].get(number, row["values"]))

    def fold() -> None:
        replace(_row(row["key"], values(), advanced=not row["advanced"]))

    def variant() -> None:
        again = _row(row["key"], values(), advanced=row["advanced"])
        replace(dict(row), again)

    def sweep(settings: list[dict[str, Any]]) -> None:
        replace(*(_row(row["key"], {**values(), **one}, advanced=row["advanced"]) for one in settings))

    def reset() -> None:
        replace(_row(row["key"], knobs.known(fields, {}), advanced=row["advanced"]))

    def remove() -> None:
        replace()

    with st.container(horizontal=True, gap="small", key=f"acts-{number}"):
        if any(f["advanced"] for f in fields):
            label = "Fewer settings" if row["advanced"] else "All settings"
            st.button(label, key=f"fold-{number}", type="tertiary", on_click=fold)
        if fields:
            hint = "The same method again, to run with other settings beside it."
            st.button("Add a variant", key=f"variant-{number}", type="tertiary", on_click=variant, help=hint)
            sweep_form.popover(entry, number, sweep)
        if entry["tuned"]:
            tune.popover(entry, number, values(), lambda settings: _replaced(row, settings))
        if changed:
            st.button("Reset", key=f"reset-{number}", type="tertiary", on_click=reset, help="Back to the defaults.")
        st.button("Remove", key=f"remove-{number}", type="tertiary", on_click=remove)


def _copy() -> None:
    """Offer the methods and settings of another run."""
    others = runs.listed(50)
    if not others:
        return
    with st.popover("Copy from a run", key="copy", on_change="rerun") as menu:
        if not menu.open:
            return
        names = {row.id: f"{row.label} · {say.ago(row.created)}" for row in others}
        picked = st.selectbox("Run", list(names), format_func=lambda key: names[key], key="copy-run")
        chosen = next(row for row in others if row.id == picked)
        summary = "; ".join(say.method_names(workspace.words(), chosen.recipe).values())
        st.html(f'<p class="fs-small">{say.escaped(summary)}</p>')

        def methods() -> None:
            draft.update(methods=[dict(method) for method in chosen.recipe["methods"]])
            st.session_state["copy"] = False

        def everything() -> None:
            draft.update(**draft.of(chosen.recipe))
            st.session_state["copy"] = False

        with st.container(horizontal=True):
            st.button("Copy its methods", key="copy-methods", on_click=methods)
            st.button("Copy the whole setup", key="copy-setup", on_click=everything)
