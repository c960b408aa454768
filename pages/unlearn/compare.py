"""Two to five runs side by side, ``?compare=id1,id2``: their numbers, curves, and what was set differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.catalog import references
from engine.metrics.scores import Scores
from engine.queue import RunRow
from engine.theme import Look
from engine.views import compare as view
from engine.views import curves as curves_view
from pages.ui import frame, results, runs, say, show, workspace
from pages.ui.controls import switch
from pages.unlearn import curves, parts


def selected() -> tuple[list[RunRow], list[str]]:
    """Return the runs the URL asks to compare, at most five, each once, and the ids that name no run."""
    ids = list(dict.fromkeys(filter(None, st.query_params.get("compare", "").split(","))))[: view.MOST]
    by_id = {run_id: runs.find(run_id) for run_id in ids}
    return [row for row in by_id.values() if row is not None], [run_id for run_id, row in by_id.items() if row is None]


def page(rows: Sequence[RunRow], missing: Sequence[str]) -> None:
    """Draw the comparison."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="run-head"):
        st.title(f"{len(rows)} runs side by side" if len(rows) > 1 else "Compare", anchor=False)
        st.button("Back to the runs", key="another", type="tertiary", on_click=parts.leave)
    if missing:
        st.html(
            f'<p class="fs-small strong">{say.count(len(missing), "run")} of this link '
            f"{'is' if len(missing) == 1 else 'are'} not in this store any more.</p>"
        )
    if len(rows) < 2:
        st.html('<p class="fs-lead">Choose two to five runs in the list below, then press Compare.</p>')
        return
    letters = view.letters([row.id for row in rows])
    _which(rows, letters)
    _differences(rows, letters)
    _curves(rows, letters)
    _numbers(rows, letters)


def _which(rows: Sequence[RunRow], letters: Mapping[str, str]) -> None:
    notes = workspace.shelf().notes(row.id for row in rows)
    for row in rows:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"letter-{row.id}"):
            tags = "".join(
                f'<span class="fs-tag">{say.escaped(t)}</span>' for t in getattr(notes.get(row.id), "tags", ())
            )
            st.html(
                f'<p class="fs-small strong"><b>{letters[row.id]}</b> {say.escaped(row.label)} '
                f'<span class="fs-quiet">{row.status}, {say.ago(row.created)}</span>{tags}</p>',
                width="content",
            )
            if st.button("Curves", key=f"curves-{row.id}", type="tertiary"):
                runs.show(row.id, runs.UNLEARN_PAGE)
            runs.link(runs.KLOM_PAGE, "KLOM", run_id=row.id)
        stopped = results.stopped(row)
        if stopped:
            st.html(f'<p class="fs-small">{letters[row.id]}: {say.escaped(stopped)}</p>')


def _differences(rows: Sequence[RunRow], letters: Mapping[str, str]) -> None:
    show.heading(view.DIFFERENCES)
    table = differences(rows, letters)
    if table.empty:
        st.html('<p class="fs-small strong">Nothing: these runs have the same settings.</p>')
        return
    with st.container(key="differences"):
        st.dataframe(
            table,
            hide_index=True,
            height="content",
            column_config={"part": "Of", "setting": "Setting"},
        )


def differences(rows: Sequence[RunRow], letters: Mapping[str, str]) -> pd.DataFrame:
    """Return what differs, with names a reader knows instead of keys."""
    words = workspace.words()
    table = view.differences({letters[row.id]: runs.whole(row.recipe) for row in rows})
    labels = {
        (group, entry["key"], field["name"]): field["label"]
        for group in ("models", "forget", "methods", "datasets")
        for entry in words[group]
        for field in entry["fields"]
    }
    plain = {f["name"]: f["label"] for group in ("training", "ensemble", "measuring") for f in words[group]}
    groups = {"Model": "models", "Forget set": "forget", "Data": "datasets"}
    keys = {"Model": "model", "Forget set": "forget", "Data": "dataset"}

    def setting(part: str, name: str) -> str:
        if part.startswith("method:"):
            return str(labels.get(("methods", part.split(":")[1], name), name)) if name else "is among the methods"
        if not name:
            return "" if part == "Seed" else "kind"
        if part in groups:
            here = [str(row.recipe[keys[part]].get("key")) for row in rows]
            return str(next((labels[groups[part], k, name] for k in here if (groups[part], k, name) in labels), name))
        return str(plain.get(name, name))

    def title(part: str) -> str:
        if not part.startswith("method:"):
            return part
        _, key, *number = part.split(":")
        return say.card_name(words, "methods", key) + (f", variant {number[0]}" if number else "")

    titles = [(setting(p, s), title(p)) for p, s in zip(table["part"], table["setting"], strict=True)]
    table["setting"], table["part"] = [s for s, _ in titles], [p for _, p in titles]
    for row in rows:
        table[letters[row.id]] = [say.named(str(value)) for value in table[letters[row.id]]]
    return table


def _curves(rows: Sequence[RunRow], letters: Mapping[str, str]) -> None:
    measured = {letters[row.id]: parts.measured(row)[0] for row in rows}
    whole = view.overlaid(measured)
    methods = curves_view.ways(whole)
    if methods.empty:
        return
    keys = {
        f"{letters[row.id]}|{method}": choice["key"]
        for row in rows
        for method, choice in zip(say.method_names(workspace.words(), row.recipe), row.recipe["methods"], strict=True)
    }
    here = list(dict.fromkeys(keys[m] for m in methods["method"] if m in keys))
    words = workspace.words()
    with st.container(horizontal=True, vertical_alignment="center", key="curve-switches"):
        common = _common(here, keys)
        method = switch(
            "Method", here, key="only", default=common, name=lambda key: say.card_name(words, "methods", key)
        )
        shown = switch("Quantity", list(parts.SHOWN), key="curve", default="margin", name=lambda k: parts.SHOWN[k])
        axis = switch("Along", list(curves_view.AXES), key="along", default="step", name=lambda k: curves_view.AXES[k])
    table = whole[(whole["role"] != "unlearned") | (whole["method"].map(keys) == method)].reset_index(drop=True)
    quantities = tuple(curves_view.QUANTITIES) if shown == "all" else (shown,)
    shades = {name: i for i, name in enumerate(dict.fromkeys(curves_view.ways(table)["method"]))}

    def draw(colours: Look) -> go.Figure:
        ids = ",".join(row.id for row in rows)
        return curves_view.figure(
            table, colours, quantities=quantities, axis=axis, shades=shades, revision=f"{ids}|{axis}|{shown}|{method}"
        )

    show.heading(curves_view.CARD)
    first = next((letter for letter, one in measured.items() if (one["role"] != "unlearned").any()), "")
    if first and len(rows) > 1:
        st.html(f'<p class="fs-small">The band and the orange line are those of run {first}.</p>')
    with st.container(key="curves"):
        curves.draw(
            draw(frame.colours()),
            plotly_js=curves.address(),
            key="compare-chart",
            alt=f"Curves of {say.card_name(words, 'methods', method)} in {len(rows)} runs. Escape shows all.",
        )
    show.behind(
        curves_view.CARD,
        "compared-curves",
        table.drop(columns=["starts", "reference"]),
        draw,
        subject=", ".join(row.label for row in rows),
        meanings=curves_view.COLUMNS,
    )


def _common(here: Sequence[str], keys: Mapping[str, str]) -> str:
    """Return the method to look at first: the one that most runs have, of those that do something."""
    held = {key: len({method.split("|")[0] for method, k in keys.items() if k == key}) for key in here}
    kinds = references(workspace.words())
    return max(here, key=lambda key: (kinds.get(key) != "do nothing", held[key]))


def _numbers(rows: Sequence[RunRow], letters: Mapping[str, str]) -> None:
    entries = []
    for row in rows:
        newest = {r.method_id: r.payload for r in workspace.queue().results(row.id)}
        for method, name in say.method_names(workspace.words(), row.recipe).items():
            if method in newest:
                entries.append(view.Entry(letters[row.id], method, name, Scores.from_json(newest[method]["scores"])))
    show.heading(view.CARD)
    table = view.frame(entries)
    if table.empty:
        st.html('<p class="fs-small strong">None of them is measured yet.</p>')
        return
    show.chart(partial(view.figure, table), "compare-bars", alt="A bar for each method of each run, per split.")
    with st.container(key="numbers"):
        st.dataframe(
            table,
            hide_index=True,
            placeholder="",
            height="content" if len(table) < 16 else 480,
            column_config={
                "run": "Run",
                "method": "Method",
                "split": "Split",
                "models": st.column_config.NumberColumn("Models"),
                **show.numbers(view.columns()),
            },
        )
    st.download_button(
        "Numbers (CSV)",
        data=lambda: table.to_csv(index=False).encode(),
        file_name="forgetscope-compare.csv",
        mime="text/csv",
        key="csv-compare",
        on_click="ignore",
        type="tertiary",
    )
