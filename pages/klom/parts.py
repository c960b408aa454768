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
from pages.ui import results, runs, say, show, workspace
from pages.ui.controls import switch

_SIDE_BY_SIDE = 12
"""Methods that are offered side by side; more are offered in a list."""


def nothing(missing: str) -> None:
    """Invite to the first run."""
    with st.container(border=True, key="empty"):
        st.subheader("Nothing measured yet", anchor=False)
        st.write(missing or "Press **Run the demo** on the Start page: the first KLOM is here within half a minute.")
        if st.button("Go to Start", type="primary", key="to-start"):
            st.switch_page(runs.START_PAGE)


def title(run: RunRow) -> None:
    """Write what the page shows, and offer the other runs."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    left.title("KLOM", anchor=False)
    left.html(
        '<p class="fs-small">How far unlearned networks are from networks that never saw the forget set: 0 is the '
        "same, 11.5 shares nothing.</p>"
    )
    others = workspace.queue().runs(limit=30)
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


def ending(run: RunRow) -> None:
    """Draw how a run ended, when it did not finish, and which methods stopped on the way."""
    if run.status == "failed":
        st.error(f"This run failed: {say.plain(run.error)}")
    elif run.status == "cancelled":
        st.info("This run was cancelled; what was measured before is shown.")
    states = run.progress.get("methods") or {}
    for method, name in say.method_names(workspace.words(), run.recipe).items():
        if method in states and states[method]["stopped"]:
            st.warning(f"**{say.plain(name)}** {say.plain(states[method]['stopped'])}")


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
    names = {r.method: r.name for r in measured}
    with between:
        default = _default(run, measured)
        if len(names) <= _SIDE_BY_SIDE:
            method = switch("Method", list(names), key="method", default=default, name=lambda key: names[key])
        else:
            if st.session_state.get("method") not in names:
                st.session_state["method"] = default
            method = st.selectbox("Method", list(names), format_func=names.__getitem__, key="method", width=520)
    result = next(r for r in measured if r.method == method)
    with above:
        klom_headline.draw(run, measured, method, head)
    points.draw(run, measured, result, head.convention)
    enough.draw(run, result, head.convention, head.statistic)
    further.draw(run, result)


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
