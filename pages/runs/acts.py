"""What can be done about a finished run: open it elsewhere, run it again, take it away, delete it."""

from __future__ import annotations

import json

import streamlit as st

from engine.queue import RunRow
from engine.queue.uses import Use, delete_run
from pages.runs import disk
from pages.server import weights
from pages.ui import draft, runs, say, workspace


def more(row: RunRow) -> None:
    """Draw the menu of a finished run."""
    with st.popover("More", key=f"more-{row.id}", on_change="rerun") as menu:
        if not menu.open:
            return  # its content reads the disk
        with st.container(gap="xsmall"):
            _elsewhere(row)
            _take_away(row)
            if runs.deletable(row):
                st.button("Delete", key=f"delete-{row.id}", width="stretch", on_click=_ask_to_delete, args=(row.id,))
            else:
                st.html('<p class="fs-small">Only the visitor who started it can delete it.</p>')
            if row.trace:
                with st.expander("Technical details"):
                    st.code(say.named(row.trace[-4000:]), language=None, height=240)


def _elsewhere(row: RunRow) -> None:
    runs.link(runs.KLOM_PAGE, "Open in KLOM", run_id=row.id)
    runs.link(runs.UNLEARN_PAGE, "Open in Unlearn", run_id=row.id)
    if runs.exists(runs.FORGET_PAGE) and st.button("Open its forget set", key=f"forget-{row.id}", width="stretch"):
        _set_up(row)
        st.switch_page(runs.FORGET_PAGE)
    if st.button("Change and run", key=f"change-{row.id}", width="stretch", help="Its setup, on the Start page."):
        _set_up(row)
        st.switch_page(runs.START_PAGE)
    if st.button("Run again", key=f"again-{row.id}", width="stretch", help="What is in the store is used again."):
        runs.show(workspace.queue().submit(row.recipe, session=workspace.session(), label=row.label))


def _take_away(row: RunRow) -> None:
    st.download_button(
        "Recipe (JSON)",
        data=lambda: recipe_text(row),
        file_name=f"recipe-{row.id}.json",
        mime="application/json",
        key=f"recipe-{row.id}",
        on_click="ignore",
        width="stretch",
        help="Run it with: python -m engine run RECIPE.json",
    )
    _networks(row)


def _ask_to_delete(run_id: str) -> None:
    st.session_state["deleting"] = run_id
    st.session_state[f"more-{run_id}"] = False


def recipe_text(row: RunRow) -> str:
    """Return the recipe as text, with the strategy that was used, so that a rerun gives the same bits."""
    recipe = json.loads(json.dumps(row.recipe))
    used = weights.strategy(workspace.queue(), workspace.store(), row)
    if used and recipe.get("ensemble", {}).get("strategy", "auto") == "auto":
        recipe.setdefault("ensemble", {})["strategy"] = used
    return json.dumps(recipe, indent=1, ensure_ascii=False)


def confirm_delete(row: RunRow, takes: Use | None) -> None:
    """Draw the confirmation of a deletion below the row, with the bytes it frees."""
    if st.session_state.get("deleting") != row.id or not runs.deletable(row):
        return

    def delete() -> None:
        st.session_state.pop("deleting", None)
        delete_run(workspace.queue(), workspace.store(), row.id)
        disk.recount()
        if st.session_state.get("run") == row.id:
            del st.session_state["run"]

    def keep() -> None:
        st.session_state.pop("deleting", None)

    own, shared = (takes.own, takes.shared) if takes is not None else (0, 0)
    sentence = f"Deleting it frees {say.size(own)}." if own else "Deleting it frees nothing."
    if shared:
        sentence += f" {say.size(shared)} stay, because other runs use them."
    with st.container(horizontal=True, vertical_alignment="center", key=f"asked-{row.id}"):
        st.html(f'<p class="fs-small strong" role="alert">{sentence}</p>')
        st.button("Delete", key=f"really-{row.id}", on_click=delete, type="primary")
        st.button("Keep", key=f"keep-{row.id}", on_click=keep)


def _set_up(row: RunRow) -> None:
    draft.update(**draft.of(row.recipe))


def _networks(row: RunRow) -> None:
    names = say.method_names(workspace.words(), row.recipe)
    links = [
        f'<a href="{say.escaped(weights.address(row, which))}" download>{say.escaped(title)}</a> '
        f'<span class="fs-quiet">{say.size(bundle.size)}</span>'
        for which, (title, bundle) in weights.bundles(workspace.queue(), workspace.store(), row, names).items()
    ]
    if links:
        st.html(
            f'<p class="fs-small strong">Networks (safetensors)</p><p class="fs-small fs-take">{"<br>".join(links)}</p>'
        )
