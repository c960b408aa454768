"""One run on the Unlearn page: its place in the queue, its curves while they grow, and what each method took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.cards import MethodFacts
from engine.queue import FramesRow, RunRow
from engine.records import digest
from engine.store import default_store
from engine.theme import Look, look
from engine.views import curves as view
from engine.views import palette, standing
from pages.ui import draft, frame, inspector, live, nouns, results, runs, say, show, workspace
from pages.ui.controls import switch
from pages.unlearn import curves

SHOWN: Mapping[str, str] = {**view.QUANTITIES, "all": "All three"}
"""What a chart of curves can show."""
_MOST = 14
"""Methods in the chart at most; the table below it has all."""


def heading(run: RunRow) -> None:
    """Draw the run's title and links to its other pages."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="run-head"):
        st.title("Unlearn", anchor=False)
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="small"):
            runs.link(runs.KLOM_PAGE, "KLOM of this run", run_id=run.id)

            def again() -> None:
                draft.update(**draft.of(run.recipe))
                st.query_params.pop("run", None)

            st.button("Change and run again", key="change", type="tertiary", on_click=again)
            st.button("Set up another", key="another", type="tertiary", on_click=leave)


def leave() -> None:
    """Go back from a run or a comparison to the setup."""
    for name in ("run", "compare"):
        st.query_params.pop(name, None)


def watch(run: RunRow) -> None:
    """Show the run, ticking until it is over.

    Temporary parts have a container of their own, so that the chart below stays the same one and keeps its zoom.
    """
    with st.container(key="ending", gap="xsmall"):
        ending(run)
    source = curves.address()
    st.fragment(run_every=None if run.over else live.EVERY)(_tick)(run.id, run.over, source)


def ending(run: RunRow) -> None:
    """Draw how a run ended when it did not finish, and which methods stopped on the way."""
    if run.status == "failed":
        st.error(f"This run failed: {say.plain(say.sentence(run.error or 'it did not say why'))}")
    elif run.status == "cancelled":
        st.info("This run was cancelled; what was measured before is shown.")
    states = run.progress.get("methods") or {}
    for method, name in say.method_names(workspace.words(), run.recipe).items():
        if method in states and states[method]["stopped"]:
            st.warning(f"**{say.plain(name)}** {say.plain(say.sentence(states[method]['stopped']))}")


def _tick(run_id: str, was_over: bool, source: str) -> None:
    run = runs.find(run_id)
    if run is None or run.over != was_over:
        st.rerun()
    with st.container(key="under-way", gap="xsmall"):
        if not run.over:
            workspace.keeper().ensure()
            _progress(run)
    table, version = measured(run)
    if table.empty:
        if not run.over:
            st.html(
                '<p class="fs-lead">Originals and oracles are trained first; the first curves appear when the '
                "first method has begun.</p>"
            )
        elif run.status != "failed":
            st.html('<p class="fs-lead">Nothing was measured on the way.</p>')
        return
    show.heading(view.CARD)
    ways, now = view.ways(table), standing.now(table)
    _summary(run, ways, now)
    with st.container(horizontal=True, vertical_alignment="center", key="curve-switches"):
        shown = switch("Quantity", list(SHOWN), key="curve", default="margin", name=lambda key: SHOWN[key])
        axis = switch("Along", list(view.AXES), key="along", default="step", name=lambda key: view.AXES[key])
    quantities = tuple(view.QUANTITIES) if shown == "all" else (shown,)
    figure = drawn(run, table, version, quantities, axis, dark=frame.colours().dark)
    with st.container(key="curves"):
        curves.draw(figure, plotly_js=source, key="curves-chart", alt=alt(run, table, quantities))

    def draw(colours: Look) -> go.Figure:
        return view.figure(
            standing.nearest(table, _MOST), colours, quantities=quantities, axis=axis, shades=shades(run)
        )

    subject = ", ".join(say.subject(workspace.words(), run.recipe).values())
    listed = table.drop(columns=["starts", "reference"])
    show.behind(view.CARD, "curves", listed, draw, subject=subject, meanings=view.COLUMNS)
    _took(run, now)


def _summary(run: RunRow, ways: pd.DataFrame, now: pd.DataFrame) -> None:
    models = int(ways["models"].max()) if not ways.empty else 0
    whole = int(run.recipe["ensemble"]["models"])
    counted = f"{models} of {whole} networks" if models < whole else say.count(whole, "network")
    methods = ways["method"].nunique()
    if methods > _MOST:
        counted += f"; {_MOST} of {methods} methods are drawn, the closest now"
    st.html(
        f'<p class="fs-small strong">{say.escaped(standing.sentence(now))} <span class="fs-quiet">{counted}.</span></p>'
    )


def alt(run: RunRow, table: pd.DataFrame, quantities: Sequence[str]) -> str:
    """Return the chart's alternative text."""
    names = ", ".join(dict.fromkeys(view.ways(table)["name"])) or "no method yet"
    what = ", ".join(view.QUANTITIES[q].lower() for q in quantities)
    return f"Curves of {what} on forget, retain and test set for {names}. {run.label}. Escape shows all."


def _progress(run: RunRow) -> None:
    with st.container(key="live", gap="xsmall"):
        left, right = st.columns([6, 1], vertical_alignment="center")
        with left:
            share = min(1.0, max(0.0, float(run.progress.get("share") or 0.0)))
            st.progress(share, text=turn(run) or live.headline(run))
        with right:
            live.cancel(run, key="live", wide=True)


def turn(run: RunRow) -> str:
    """Return how many runs come before a waiting one; empty when it is not waiting."""
    if run.status != "queued" or run.cancel:
        return ""
    ids = [row.id for row in workspace.queue().in_turn()]
    before = ids.index(run.id) if run.id in ids else 0
    return f"Waiting: {say.count(before, 'run')} before yours" if before else ""


def _took(run: RunRow, now: pd.DataFrame) -> None:
    """Show what each method took, as shares of a retrain, and where it stands."""
    table = took(run, now)
    if table.empty:
        return
    percent = {
        name: st.column_config.NumberColumn(title, format="%.1f%%", help=nouns.spoken(meaning))
        for name, title, meaning in (
            ("compute", "Compute", "Work so far as a share of retraining from scratch."),
            ("time", "Time", "Time so far as a share of retraining as many networks on this computer."),
            ("forget", "Forget set", "Accuracy on the pictures to be forgotten."),
            ("retain", "Retain set", "Accuracy on the pictures that are kept."),
            ("test", "Test set", "Accuracy on pictures that nobody trained on."),
        )
    }
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        key="took",
        placeholder="",
        column_config={
            **percent,
            "method": "Method",
            "state": "State",
            "done": st.column_config.ProgressColumn("Done", format="percent", min_value=0.0, max_value=1.0),
            "off": st.column_config.NumberColumn(
                "From oracle",
                format="%+.1f sd",
                help="Margin on the forget set, in standard deviations of the oracles: 0 is the target.",
            ),
        },
    )


def took(run: RunRow, now: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method of the recipe from where they stand; NaN where something is not known yet.

    ``done`` is 0 to 1, ``compute`` and ``time`` percent of a retrain, ``off`` standard deviations of the oracles, and
    the splits' columns accuracies in percent.
    """
    here = {row["method"]: row for row in now.to_dict("records")}
    states = run.progress.get("methods") or {}
    rows = []
    for method, name in say.method_names(workspace.words(), run.recipe).items():
        state, at = states.get(method), here.get(method)
        share = state["done"] / state["total"] if state and state["total"] else 0.0
        if state and state["stopped"]:
            status = "stopped"
        elif run.over:
            status = run.status if share < 1 or at is None else "done"
        elif at is None:
            status = "waiting"
        else:
            status = "done" if share >= 1 else f"step {int(at['step'])} of {int(at['total'])}"
        rows.append(
            {
                "method": name,
                "state": status,
                "done": share,
                "compute": 100 * at["share"] if at else math.nan,
                "time": 100 * at["time_share"] if at else math.nan,
                "off": at["off_forget"] if at else math.nan,
                **{split: 100 * at[f"accuracy_{split}"] if at else math.nan for split in ("forget", "retain", "test")},
            }
        )
    return pd.DataFrame(rows)


def measured(run: RunRow) -> tuple[pd.DataFrame, str]:
    """Return what a run measured on the way and a text that changes with it; all sessions share one read a second."""
    path = str(default_store())
    rows = _finished(path, run.id) if run.over else _fresh(path, run.id)
    version = digest([[row.method_id, row.chunk, len(row.frames)] for row in rows])
    names = say.method_names(workspace.words(), run.recipe)
    return _gathered(path, run.id, version, rows, names, say.method_facts(workspace.words(), run.recipe)), version


@st.cache_resource(ttl=0.8, max_entries=32, show_spinner=False)
def _fresh(store_path: str, run_id: str) -> list[FramesRow]:  # noqa: ARG001 - part of the cache's key
    return workspace.queue().frames(run_id)


@st.cache_resource(ttl=20, max_entries=64, show_spinner=False)
def _finished(store_path: str, run_id: str) -> list[FramesRow]:  # noqa: ARG001
    return workspace.queue().frames(run_id)


@st.cache_resource(max_entries=64, show_spinner=False)
def _gathered(
    store_path: str,  # noqa: ARG001
    run_id: str,  # noqa: ARG001
    version: str,  # noqa: ARG001
    _rows: list[FramesRow],
    names: dict[str, str],
    _facts: dict[str, MethodFacts],
) -> pd.DataFrame:
    return view.frame(_rows, names, _facts)


def drawn(
    run: RunRow, table: pd.DataFrame, version: str, quantities: tuple[str, ...], axis: str, *, dark: bool
) -> go.Figure:
    """Return the figure of a run, shared by all sessions that show it."""
    return _drawn(str(default_store()), run.id, version, quantities, axis, dark, table, shades(run))


def shades(run: RunRow) -> dict[str, int]:
    """Return the place in the palette of each method of a run."""
    return palette.places(say.method_facts(workspace.words(), run.recipe))


@st.cache_resource(max_entries=48, show_spinner=False)
def _drawn(
    store_path: str,  # noqa: ARG001
    run_id: str,
    version: str,  # noqa: ARG001
    quantities: tuple[str, ...],
    axis: str,
    dark: bool,
    _table: pd.DataFrame,
    _shades: dict[str, int],
) -> go.Figure:
    return view.figure(
        standing.nearest(_table, _MOST),
        look(dark=dark),
        quantities=quantities,
        axis=axis,
        shades=_shades,
        revision=f"{run_id}|{axis}|{quantities}",
    )


def closer(run: RunRow) -> None:
    """Offer to look at one picture once something is measured: the forget set's first one unless another is named."""
    shown = results.results(run)
    images = workspace.pictures(shown[0].data_hash) if shown else None
    if not shown or images is None:
        return
    forget = shown[0].removed()[0].tolist()
    with st.container(horizontal=True, vertical_alignment="bottom", key="closer"):
        number = st.number_input(
            nouns.spoken("One picture on its way"),
            min_value=0,
            max_value=len(images) - 1,
            value=int(forget[0]) if forget else 0,
            step=1,
            key="closer-number",
            width=180,
            help=nouns.spoken("Its number. Training pictures come first, then test pictures. ")
            + f"Forgotten here: {_some(forget)}.",
        )
        st.button("Look closer", key="closer-go", on_click=inspector.pick, args=(int(number),))
    inspector.linked(run, shown[0].data_hash)


def _some(numbers: Sequence[int]) -> str:
    listed = ", ".join(str(number) for number in numbers[:12])
    return f"{listed} and {len(numbers) - 12:,} more" if len(numbers) > 12 else listed


def setting_up(*, missing: bool) -> None:
    """Draw what the page is for, and the ways to change what the methods work on."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="run-head"):
        st.title("Unlearn", anchor=False)
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="small"):
            st.page_link(runs.START_PAGE, label="Change data, model, ensemble")
            runs.link(runs.FORGET_PAGE, "Change the forget set")
    with st.container(key="setup-notes", gap="xsmall"):
        if missing:
            st.html(f'<p class="fs-small strong">{runs.GONE}</p>')
        own = [row for row in workspace.queue().unfinished() if row.session == workspace.visitor()]
        if own:
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key="own-run"):
                state = turn(own[-1]) or live.headline(own[-1])
                st.markdown(f"**{say.plain(own[-1].label)}** · {state}", width="content")
                if st.button("Watch", key="watch"):
                    runs.show(own[-1].id, runs.UNLEARN_PAGE)
