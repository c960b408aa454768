"""The requests of a setup in their order: the list on the Unlearn page, and ways to add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from engine.forget import make_selector
from engine.forget.sequence import sizes
from engine.knobs import BadSetting
from engine.records import MOST_REQUESTS
from engine.store import StoreError
from pages.start import choose_data
from pages.ui import draft, runs, say, workspace

_WAYS = ("Classes", "Cycles at random", "A saved set")

Request = dict[str, Any]


def form(setup: Mapping[str, Any]) -> tuple[list[Request], str]:
    """Draw the list of requests of a setup; return those after the first, and why they cannot be run ("" if they can).

    A change is in the draft at once.
    """
    further = draft.then()
    requests: list[Request] = [dict(setup["forget"]), *further]
    facts = choose_data.facts(setup["dataset"])
    taken, problem = _taken(setup, requests, facts)
    with st.container(key="requests", gap="xsmall"):
        st.html('<p class="fs-step">To be forgotten</p>')
        for place, one in enumerate(requests):
            _row(requests, place, one, taken)
        if further:
            gone, train = sum(taken), facts["train"] if facts is not None else 0
            complete = len(taken) == len(requests)
            left = f" {train - gone:,} of {train:,} pictures are left at the end." if complete else ""
            st.html(
                f'<p class="fs-small">{say.count(len(requests), "run")}, one for each request: every method goes on '
                f"from the networks that it left at the request before.{left}</p>"
            )
        if problem:
            st.html(
                f'<p class="fs-small strong" role="alert"><span class="fs-dot bad"></span>{say.escaped(problem)}</p>'
            )
        _more(requests, facts)
    return further, problem


def _taken(
    setup: Mapping[str, Any], requests: Sequence[Request], facts: Mapping[str, Any] | None
) -> tuple[list[int], str]:
    """Return how many pictures the first requests take, as far as it is known before a run, or what is wrong."""
    if facts is None:
        return [], ""
    try:
        chosen = [make_selector(one) for one in requests]
        labels = workspace.labels(facts["hash"], setup["dataset"])[: facts["train"]]
        name = say.dataset_name(workspace.words(), setup["dataset"])
        return sizes(chosen, labels, facts["classes"], name=name, seed=int(setup.get("seed", 0))), ""
    except BadSetting as error:
        return [], say.sentence(str(error))
    except StoreError:
        return [], ""  # the pictures were deleted meanwhile: the estimate below says so


def _row(requests: Sequence[Request], place: int, one: Request, taken: Sequence[int]) -> None:
    count = say.count(taken[place], "picture") if place < len(taken) else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"request-{place}"):
        number = f"{place + 1}. " if len(requests) > 1 else ""
        st.html(
            f'<p class="fs-small strong">{number}<b>{say.escaped(say.forget_name(one))}</b> '
            f'<span class="fs-quiet">{count}</span></p>',
            width="content",
        )
        if len(requests) < 2:
            return
        name = say.forget_name(one)
        if place > 0:
            _button(
                "Earlier", place, lambda: _put(_swapped(requests, place - 1)), f"Ask for {name} before the one above."
            )
        if place < len(requests) - 1:
            _button("Later", place, lambda: _put(_swapped(requests, place)), f"Ask for {name} after the one below.")
        _button("Remove", place, lambda: _put([*requests[:place], *requests[place + 1 :]]), f"Do not ask for {name}.")


def _button(label: str, place: int, act: Callable[[], None], hint: str) -> None:
    st.button(label, key=f"request-{label.lower()}-{place}", type="tertiary", on_click=act, help=hint)


def _swapped(requests: Sequence[Request], place: int) -> list[Request]:
    return [*requests[:place], requests[place + 1], requests[place], *requests[place + 2 :]]


def _put(requests: Sequence[Request]) -> None:
    """Make these the requests of the setup."""
    draft.update(forget=dict(requests[0]), then=[dict(one) for one in requests[1:]])


def _more(requests: Sequence[Request], facts: Mapping[str, Any] | None) -> None:
    room = MOST_REQUESTS - len(requests)
    with st.popover("Then forget", key="then", on_change="rerun") as menu:
        if not menu.open:
            return
        if facts is None:
            st.html('<p class="fs-small">The pictures are still being read; look again in a moment.</p>')
            return
        way = st.segmented_control("Way", _WAYS, default=_WAYS[0], required=True, key="then-way", wrap=True)
        made = {_WAYS[0]: _classes, _WAYS[1]: _cycles, _WAYS[2]: _saved}[str(way)](requests, facts)

        def add(instead: bool) -> None:
            _put(made if instead else [*requests, *made])
            st.session_state["then"] = False
            st.session_state.pop("then-classes", None)  # they are requests now, and no longer on offer

        with st.container(horizontal=True):
            st.button("Add", key="then-add", type="primary", disabled=not 0 < len(made) <= room, on_click=add,
                      args=(False,), help="After the requests that are there.")  # fmt: skip
            st.button("Only these", key="then-only", disabled=not 0 < len(made) <= MOST_REQUESTS, on_click=add,
                      args=(True,), help="In place of the requests that are there.")  # fmt: skip
        if len(made) > room:
            st.html(f'<p class="fs-small strong">A sequence has at most {MOST_REQUESTS} requests.</p>')


def _classes(requests: Sequence[Request], facts: Mapping[str, Any]) -> list[Request]:
    names = list(facts["classes"])
    # A name with a comma cannot stand in a list with commas; its number can.
    keys = [name if "," not in name and name == name.strip() else str(i) for i, name in enumerate(names)]
    gone = {word for one in requests if one.get("key") == "class" for word in str(one.get("classes", "")).split(",")}
    offered = [key for i, key in enumerate(keys) if key not in gone and str(i) not in gone]
    picked = st.multiselect(
        "Classes, one request each, in the order they are picked",
        offered,
        format_func=lambda key: names[keys.index(key)],
        key="then-classes",
        placeholder="Pick classes",
    )
    return [{"key": "class", "classes": key} for key in picked]


def _cycles(_requests: Sequence[Request], facts: Mapping[str, Any]) -> list[Request]:
    left, right = st.columns(2)
    with left:
        cycles = st.number_input("Cycles", min_value=1, max_value=MOST_REQUESTS, value=5, step=1, key="then-cycles")
    with right:
        percent = st.number_input("% of the training set each", min_value=0.1, max_value=50.0, value=10.0, step=1.0,
                                  format="%.1f", key="then-percent")  # fmt: skip
    each = max(1, round(facts["train"] * float(percent) / 100))
    st.html(f'<p class="fs-small">{say.count(each, "picture")} in each, drawn from what is left.</p>')
    return [{"key": "random", "n": each} for _ in range(int(cycles))]


def _saved(_requests: Sequence[Request], facts: Mapping[str, Any]) -> list[Request]:
    sets = {one.id: one for one in workspace.shelf().named(facts["hash"])[:50]}
    if not sets:
        st.html('<p class="fs-small">No set of these pictures is saved yet. Choose pictures by looking, then save.</p>')
        runs.link(runs.FORGET_PAGE, "Choose by looking")
        return []
    picked = st.selectbox(
        "Saved set", list(sets), format_func=lambda key: f"{sets[key].name} ({sets[key].size:,})", key="then-saved"
    )
    return [{"key": "indices", "indices": sets[picked].indices, "name": sets[picked].name}]
