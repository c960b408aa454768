"""The list of runs: one row each, with what can be done about it."""

from __future__ import annotations

import json

import streamlit as st

from engine.queue import RunRow
from engine.records import Recipe
from pages.ui import live, runs, say, workspace

_PAGE = 12
_WIDTHS = [4, 5, 4, 4]
_DOT = {"done": "on", "failed": "bad"}


def compute_line() -> None:
    """Say whether the compute process lives, and what is on disk."""
    row = workspace.compute()
    used, free = workspace.disk_use()
    if row is not None and row.alive:
        state = "working" if row.state == "busy" else "idle"
        said = f'<span class="fs-dot on"></span>Compute process {state}, {say.count(row.workers, "worker")}'
    else:
        said = '<span class="fs-dot"></span>Compute process starting'
    st.html(
        f'<p class="fs-small strong">{said} <span class="fs-quiet">· {say.size(used)} on disk, {say.size(free)} '
        "free</span></p>"
    )


def show() -> None:
    """Show the runs, newest first; ticks while one of them is not over."""
    rows = workspace.queue().runs(limit=500)
    if not rows:
        with st.container(border=True, key="empty"):
            st.subheader("No runs yet", anchor=False)
            st.write("Press **Run the demo** on the Start page, or set up your own experiment there.")
            if st.button("Go to Start", type="primary", key="to-start"):
                st.switch_page(runs.START_PAGE)
        return
    pages = -(-len(rows) // _PAGE)
    number = 1
    if pages > 1:
        number = _page_number(pages)
    shown = rows[(number - 1) * _PAGE : number * _PAGE]
    active = any(not row.over for row in rows)
    st.fragment(run_every=live.EVERY if active else None)(_table)([row.id for row in shown], active)


def _page_number(pages: int) -> int:
    return int(
        st.segmented_control(
            "Page",
            list(range(1, min(pages, 40) + 1)),
            default=1,
            key="page",
            required=True,
            label_visibility="collapsed",
            bind="query-params",
        )
    )


def _table(ids: list[str], active: bool) -> None:
    rows = [row for row in workspace.queue().runs(limit=500) if row.id in set(ids)]
    if active and all(row.over for row in rows) and not workspace.queue().unfinished():
        st.rerun()
    if active:
        workspace.keeper().ensure()
    for row in rows:
        with st.container(border=True, key=f"run-{row.id}", gap="xsmall"):
            _row(row)


def _row(row: RunRow) -> None:
    recipe = Recipe.from_json(row.recipe)
    words = workspace.words()
    name, about, state, act = st.columns(_WIDTHS, vertical_alignment="center")
    name.html(
        f'<p style="margin:0"><b>{say.escaped(row.label)}</b></p><p class="fs-small">{say.ago(row.created)}, '
        f"{say.escaped(row.id[:6])}</p>"
    )
    methods = "; ".join(say.method_names(words, row.recipe).values())
    model = say.card_name(words, "models", recipe.model.key)
    about.html(
        f'<p class="fs-small strong">{say.escaped(model)}, {say.count(recipe.ensemble.models, "model")}</p>'
        f'<p class="fs-small">{say.escaped(methods)}</p>'
    )
    with state:
        _state(row)
    with act, st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        if not row.over:
            if st.button("Watch", key=f"open-{row.id}"):
                runs.show(row.id)
            live.cancel(row, key="runs")
        else:
            if st.button("Open", key=f"open-{row.id}", disabled=row.status == "failed" and not row.started):
                runs.show(row.id)
            _more(row)
    if row.error:
        st.html(f'<p class="fs-small strong"><span class="fs-dot bad"></span>{say.escaped(row.error)}</p>')


def _state(row: RunRow) -> None:
    if row.over:
        took = f" in {say.duration(row.finished - row.started)}" if row.finished and row.started else ""
        st.html(
            f'<p class="fs-small strong"><span class="fs-dot {_DOT.get(row.status, "")}"></span>'
            f"{row.status.capitalize()}{took}</p>"
        )
    else:
        st.progress(min(1.0, max(0.0, float(row.progress.get("share") or 0.0))), text=live.headline(row))


def _more(row: RunRow) -> None:
    with st.popover("More", key=f"more-{row.id}"):
        if st.button("Run again", key=f"again-{row.id}", width="stretch", help="What is in the store is used again."):
            runs.show(workspace.queue().submit(row.recipe, session=workspace.session(), label=row.label))
        st.download_button(
            "Recipe (JSON)",
            data=json.dumps(row.recipe, indent=1, ensure_ascii=False),
            file_name=f"recipe-{row.id}.json",
            mime="application/json",
            key=f"recipe-{row.id}",
            on_click="ignore",
            width="stretch",
            help="Run it with: python -m engine run RECIPE.json",
        )

        def delete() -> None:
            workspace.queue().delete(row.id)
            if st.session_state.get("run") == row.id:
                del st.session_state["run"]

        st.button(
            "Delete",
            key=f"delete-{row.id}",
            on_click=delete,
            width="stretch",
            help="Takes it off this list. Trained networks stay in the store for other runs.",
        )
        if row.trace:
            st.caption("For whoever mends it")
            st.code(row.trace[-4000:], language=None, height=240)
