"""The runs of this store on the Unlearn page: one row each with a sparkline, to find, tag, open and compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from engine.metrics import headline
from engine.metrics.scores import Scores
from engine.queue import RunNote, RunRow
from engine.records import digest
from engine.store import default_store
from engine.views import compare, curves
from pages.ui import draft, runs, say, workspace
from pages.unlearn import parts

_LISTED = 200
"""Newest runs that are listed."""
_WORDS = {"queued": "waiting"}


def table() -> None:
    """Show the runs, this data set's first, newest first; choose one to open or annotate, two to five to compare."""
    rows = runs.listed(_LISTED)
    st.html('<p class="fs-step">Runs</p>')
    if not rows:
        st.html('<p class="fs-lead">None yet. Press Run above: it stays here with its curves, to tag and compare.</p>')
        return
    notes = workspace.shelf().notes(row.id for row in rows)
    shown = _filtered(rows, notes)
    if not shown:
        st.html('<p class="fs-lead">No run fits. Search for less, or take a tag away.</p>')
        return
    picked = _select(shown, notes)
    _acts(picked)
    if len(picked) == 1:
        _note(picked[0], notes.get(picked[0].id, RunNote()), sorted({t for n in notes.values() for t in n.tags}))


def ordered(rows: Sequence[RunRow], dataset: Mapping[str, Any]) -> list[RunRow]:
    """Return the runs on ``dataset`` first, each group newest first."""
    return sorted(rows, key=lambda row: (dict(row.recipe["dataset"]) != dict(dataset), -row.created))


def fits(row: RunRow, note: RunNote, search: str, tags: Sequence[str], about: str) -> bool:
    """Return whether a run has all tags and every word of ``search`` in its name, methods, tags or note."""
    text = " ".join([row.id, row.label, about, note.text, *note.tags, row.status]).casefold()
    return set(tags) <= set(note.tags) and all(word in text for word in search.casefold().split())


def _filtered(rows: Sequence[RunRow], notes: Mapping[str, RunNote]) -> list[RunRow]:
    tags = sorted({tag for note in notes.values() for tag in note.tags})
    mine = ""
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        search = st.text_input(
            "Search",
            key="find",
            bind="query-params",
            placeholder="Find by forget set, method, tag, note",
            max_chars=80,
            width=320,
            label_visibility="collapsed",
        )
        chosen = (
            st.multiselect(
                "Tags",
                tags,
                key="tags",
                bind="query-params",
                placeholder="Any tag",
                width=260,
                label_visibility="collapsed",
            )
            if tags
            else []
        )
        own = [row for row in rows if row.session == workspace.visitor()]
        if own and len(own) < len(rows):
            mine = st.pills("Whose", ["Mine"], key="whose", bind="query-params", label_visibility="collapsed") or ""
    words = workspace.words()
    matches = [
        row
        for row in rows
        if (not mine or row.session == workspace.visitor())
        and fits(
            row,
            notes.get(row.id, RunNote()),
            str(search or ""),
            chosen,
            " ".join(say.method_names(words, row.recipe).values()),
        )
    ]
    return ordered(matches, draft.current()["dataset"])


def _select(rows: Sequence[RunRow], notes: Mapping[str, RunNote]) -> list[RunRow]:
    whole = pd.DataFrame([_row(row, notes.get(row.id, RunNote())) for row in rows])
    number, key = st.column_config.NumberColumn, f"runs-{digest([row.id for row in rows])[:8]}"
    event = st.dataframe(
        whole,
        hide_index=True,
        height="content" if len(rows) < 10 else 390,
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="",
        column_config={
            "about": st.column_config.TextColumn("Run", width="medium"),
            "methods": st.column_config.TextColumn("Methods", width="medium"),
            "models": number("Networks"),
            "took": st.column_config.TextColumn("Took"),
            "klom": number("Best KLOM", format="%.2f", help=f"Lowest {headline().label} on the forget set."),
            "floor": number("Floor", format="%.2f", help="What two sets of oracles score: the best there is."),
            "way": st.column_config.LineChartColumn(
                "Margin on the way", help="Mean margin of the forget set, from the originals on, under the best method."
            ),
            "tags": st.column_config.ListColumn("Tags"),
            "note": st.column_config.TextColumn("Note"),
            "when": st.column_config.TextColumn("When"),
            "state": st.column_config.TextColumn("State"),
        },
    )
    places = event.selection.rows if event is not None else []
    return [rows[i] for i in places if i < len(rows)]


def _row(row: RunRow, note: RunNote) -> dict[str, Any]:
    best = _best(str(default_store()), row.id, row.status, row) if row.over else {}
    took = say.duration(row.finished - row.started) if row.finished and row.started else ""
    return {
        "about": row.label,
        "methods": ", ".join(say.method_names(workspace.words(), row.recipe).values()),
        "models": int(row.recipe["ensemble"]["models"]),
        "took": took,
        "klom": best.get("klom"),
        "floor": best.get("floor"),
        "way": best.get("way", []),
        "tags": list(note.tags),
        "note": note.text,
        "when": say.ago(row.created),
        "state": _WORDS.get(row.status, row.status),
    }


@st.cache_data(max_entries=400, show_spinner=False)
def _best(store_path: str, run_id: str, status: str, _row: RunRow) -> dict[str, Any]:  # noqa: ARG001
    """Return KLOM and floor of the method nearest to the oracles on the forget set, and its margins on the way."""
    metric = headline()
    scores = {row.method_id: Scores.from_json(row.payload["scores"]) for row in workspace.queue().results(run_id)}
    values = {method: one.value(metric, "forget") for method, one in scores.items()}
    known = {method: value for method, value in values.items() if value is not None and not scores[method].broken}
    ways = curves.ways(parts.measured(_row)[0])
    if not known and ways.empty:
        return {}
    best = min(known, key=lambda method: metric.distance(known[method])) if known else str(ways["method"].iloc[0])
    way = ways[(ways["method"] == best) & (ways["split"] == "forget")]["margin"]
    return {
        "klom": known.get(best),
        "floor": scores[best].value(metric, "forget", "floor") if best in scores else None,
        "way": [float(f"{v:.4g}") for v in way],
    }


def _acts(picked: Sequence[RunRow]) -> None:
    ids = [row.id for row in picked]

    def side_by_side() -> None:
        st.query_params.pop("run", None)
        st.query_params["compare"] = ",".join(ids)

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="list-acts"):
        if len(picked) == 1:
            if st.button("Open", key="open-picked"):
                runs.show(ids[0], runs.UNLEARN_PAGE)
            runs.link(runs.KLOM_PAGE, "KLOM", run_id=ids[0])
        elif len(picked) > 1:
            many = len(picked) > compare.MOST
            st.button(f"Compare {len(picked)} runs", key="compare", disabled=many, on_click=side_by_side)
            if many:
                st.html(f'<p class="fs-small strong">At most {compare.MOST} at once.</p>')
        else:
            st.html('<p class="fs-small">Tick one run to open or tag it, two to five to compare them.</p>')


def _note(row: RunRow, note: RunNote, known: Sequence[str]) -> None:
    """Let the visitor write tags and a note on a run."""
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"note-{row.id}"):
        tags = st.multiselect(
            "Tags",
            sorted({*known, *note.tags}),
            default=list(note.tags),
            accept_new_options=True,
            max_selections=12,
            key=f"tags-{row.id}",
            placeholder="type a word, press Enter",
            width=320,
        )
        text = st.text_input("Note", value=note.text, key=f"text-{row.id}", max_chars=2000)

        def keep() -> None:
            chosen, written = st.session_state[f"tags-{row.id}"], st.session_state[f"text-{row.id}"]
            workspace.shelf().put_note(row.id, tags=chosen, text=written)

        changed = (tuple(tags), text.strip()) != (note.tags, note.text)
        st.button("Keep", key=f"keep-note-{row.id}", on_click=keep, disabled=not changed)
