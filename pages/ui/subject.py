"""What a page that looks at a run is about: one run, one method of it, one picture; kept in the URL over pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from engine.queue import RunRow
from engine.views import headline
from pages.ui import frame, live, nouns, results, runs, say, workspace
from pages.ui.controls import switch

_SIDE_BY_SIDE = 12
"""Methods that are offered side by side; more are offered in a list."""


@dataclass(frozen=True)
class Subject:
    """A run, its measured methods, and the one that is looked at."""

    run: RunRow
    measured: Sequence[results.Result]
    result: results.Result


def choose(name: str, question: str) -> Subject | None:
    """Draw the head of a page that looks at one method of a run, and return what it is about.

    None while there is nothing to look at; then the page says so.
    """
    run, missing = runs.chosen()
    frame.line(run.recipe if run is not None else None)
    if run is None:
        nothing(missing)
        return None
    if st.query_params.get("run") != run.id:
        st.query_params["run"] = run.id
    drawn = results.version(run)
    measured = results.results(run)
    title(run, name, question)
    under_way(run, drawn=drawn)
    if not measured:
        st.html('<p class="fs-lead">Nothing is measured yet: this page fills when the first networks are compared.</p>')
        return None
    chosen = method(run, measured)
    return Subject(run, measured, next(one for one in measured if one.method == chosen))


def method(run: RunRow, measured: Sequence[results.Result]) -> str:
    """Offer the methods of a run, the one nearest to the oracles first looked at, and return the chosen one's id."""
    names = {one.method: one.name for one in measured}
    default = _default(run, measured)
    if len(names) <= _SIDE_BY_SIDE:
        return str(switch("Method", list(names), key="method", default=default, name=lambda key: names[key]))
    if st.session_state.get("method") not in names:
        st.session_state["method"] = default
    return str(st.selectbox("Method", list(names), format_func=names.__getitem__, key="method", width=520))


def nothing(missing: str) -> None:
    """Invite to the first run."""
    with st.container(border=True, key="empty"):
        st.subheader("Nothing measured yet", anchor=False)
        st.write(missing or "Press **Run the demo** on the Start page: the first KLOM is here within half a minute.")
        if st.button("Go to Start", type="primary", key="to-start"):
            st.switch_page(runs.START_PAGE)


def title(run: RunRow, name: str, question: str) -> None:
    """Write what the page shows, and offer the other runs."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    left.title(name, anchor=False)
    left.html(f'<p class="fs-small">{say.escaped(nouns.spoken(question))}</p>')
    others = runs.listed(30)
    if run.id not in [row.id for row in others]:
        others.append(run)
    names = {row.id: f"{row.label} · {row.status}, {say.ago(row.created)}" for row in others}

    def change() -> None:
        st.query_params["run"] = st.session_state["other-run"]
        st.query_params.pop("point", None)

    if len(others) > 1:
        st.session_state["other-run"] = run.id
        right.selectbox(
            "Run",
            list(names),
            format_func=lambda key: names[key],
            key="other-run",
            on_change=change,
            label_visibility="collapsed",
        )


def under_way(run: RunRow, *, drawn: str) -> None:
    """Draw how far a run is, or how it ended; ``drawn`` is the version of the results on the page.

    It comes and goes inside a container that stays, so that everything below is the same element before and after:
    else the page shows both for a moment.
    """
    with st.container(key="under-way"):
        if not run.over:
            live.panel(run, drawn=drawn)
        _ending(run)


def _ending(run: RunRow) -> None:
    """Draw how a run ended, when it did not finish, and which methods stopped on the way."""
    if run.status == "failed":
        st.error(f"This run failed: {say.plain(run.error)}")
    elif run.status == "cancelled":
        st.info("This run was cancelled; what was measured before is shown.")
    states = run.progress.get("methods") or {}
    for method, name in say.method_names(workspace.words(), run.recipe).items():
        if method in states and states[method]["stopped"]:
            st.warning(f"**{say.plain(name)}** {say.plain(states[method]['stopped'])}")


def _default(run: RunRow, measured: Sequence[results.Result]) -> str:
    """Return the method to look at first: the closest to the oracle on the forget set.

    While methods are still coming in, a visitor who has chosen neither method nor point moves along with it; later it
    stays, so that nothing changes while the visitor reads.
    """
    key, known = f"default-{run.id}", [r.method for r in measured]
    old = st.session_state.get(key)
    complete = len(known) == len(run.recipe["methods"])
    if old in known and ("point" in st.query_params or st.session_state.get(f"{key}-complete")):
        return str(old)
    new = headline.closest(results.table(measured)) or known[0]
    st.session_state[key], st.session_state[f"{key}-complete"] = new, complete
    if old is not None and st.session_state.get("method") == old:
        st.session_state["method"] = new
    return new
