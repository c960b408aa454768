"""The parts of the Missing targets page: every picture's way, where they stand, and one moment of the run."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from engine.metrics.klom import MetricError
from engine.queue import RunRow
from engine.records import SPLITS, Recipe
from engine.store import StoreError
from engine.views import along, margins, missing, passing, sensitivity, stopping
from pages.ui import inspector, results, runs, say, show, workspace
from pages.ui.controls import switch
from pages.ui.subject import Subject

_MOST = 6
"""Methods side by side; the one in focus is always among them."""
_MORE = 60
"""Moments of a run that is looked at more closely."""
_PACE = 0.8
"""Seconds between two frames while playing."""
_SCALES = ("quality", "log scale")


def draw(here: Subject) -> None:
    """Draw what the followed pictures did along the runs of all methods, and one method's run moment by moment."""
    try:
        forget, _ = here.result.removed()
        measured = [here.result, *(one for one in here.measured if one.method != here.result.method)]
        ways = [one.way() for one in measured if one.facts.reference == "" or one.method == here.result.method]
    except StoreError as error:
        st.warning(f"The ways of single pictures cannot be shown: {say.plain(error)}")
        return
    known = [way.at(forget) for way in ways if way is not None][:_MOST]
    table = missing.frame(known)
    own = table[table["method"] == here.result.method]
    if own.empty:
        st.html('<p class="fs-lead">This run followed no pictures: run it again to see their ways.</p>')
        return
    about = f"{here.run.label}; {here.run.id}; {here.result.models} networks of each kind"
    st.html(f'<p class="fs-lead">{say.escaped(here.result.name)}: {say.escaped(missing.sentence(own))}</p>')
    st.html(f'<p class="fs-small">Means over {say.count(here.result.models, "network")} of each kind.</p>')
    order = own.drop_duplicates("point").sort_values("best")["point"].tolist()
    point = inspector.point(int(here.result.payload["train"]), default=None)
    point = point if point in order else None
    shares = np.sort(own["share"].unique())
    moment = _moment(len(shares), shares)
    _more(here.run)
    mark = float(shares[moment])
    scale = switch("Scale", _SCALES, key="scale", default=_SCALES[0], name=str.capitalize)
    _figure(missing, table, about, log=scale == _SCALES[1], mark=mark, point=point)
    _figure(passing, passing.frame(table), about, mark=mark)
    _figure(stopping, stopping.frame(table), about)
    _at(here, moment, mark, order, point, about)
    _sensitivity(here, about)


def _sensitivity(here: Subject, about: str) -> None:
    """Draw KLOM over the one setting that a sweep of this method varies, where there is one."""
    recipe = Recipe.from_json(here.run.recipe)
    choices = {name: choice.to_json() for name, choice in zip(recipe.methods_ids(), recipe.methods, strict=True)}
    own = choices[here.result.method]
    setting = sensitivity.varied(own, list(choices.values()))
    if not setting:
        return
    alike = {name: value for name, value in own.items() if name != setting}
    runs = [
        (float(choices[one.method][setting]), one.scores)
        for one in here.measured
        if {name: value for name, value in choices[one.method].items() if name != setting} == alike
    ]
    entry = next(entry for entry in workspace.words()["methods"] if entry["key"] == own["key"])
    label = next((field["label"] for field in entry["fields"] if field["name"] == setting), setting)
    _figure(sensitivity, sensitivity.frame(str(label), runs), about)


def _moment(frames: int, shares: np.ndarray) -> int:
    """Let the visitor choose a moment of the run, or play it; return its number."""
    key = "moment"
    if not 0 <= st.session_state.get(key, frames - 1) < frames:
        st.session_state[key] = frames - 1
    st.session_state.setdefault(key, frames - 1)
    with st.container(horizontal=True, vertical_alignment="bottom", key="moment-bar"):
        playing = bool(st.session_state.get("playing"))
        st.button("Stop" if playing else "Play", key="play", on_click=_toggle, args=(frames,))
        st.select_slider(
            "Moment of the run",
            range(frames),
            key=key,
            format_func=lambda frame: f"{shares[frame]:.0%}",
            width=520,
        )
    if playing:
        st.fragment(run_every=_PACE)(_tick)(frames, time.time())
    return int(st.session_state[key])


def _more(run: RunRow) -> None:
    """Offer the same run, looked at more often on its way: networks that are there are not trained again."""
    recipe = Recipe.from_json(run.recipe)
    if recipe.measuring.moments >= _MORE or not run.over:
        return
    if st.button(
        f"Look at {_MORE} moments",
        key="more-moments",
        type="tertiary",
        help="Runs the methods again on the same networks, looked at more often on the way; nothing is retrained. A "
        "run with fewer steps is looked at after each.",
    ):
        more = replace(recipe, measuring=replace(recipe.measuring, moments=_MORE))
        runs.show(runs.start(more.to_json()), runs.MISSING_PAGE)


def _toggle(frames: int) -> None:
    st.session_state["playing"] = not st.session_state.get("playing")
    if st.session_state["playing"] and st.session_state.get("moment", 0) >= frames - 1:
        st.session_state["moment"] = 0


def _tick(frames: int, drawn: float) -> None:
    """Go on to the next frame once this one has been seen, and stop at the last."""
    if time.time() - drawn < _PACE / 2:
        return
    following = int(st.session_state["moment"]) + 1
    st.session_state["advance"] = following
    if following >= frames - 1:
        st.session_state["playing"] = False
    st.rerun()


def advance() -> None:
    """Put the frame that playing came to into the slider, before the slider is drawn."""
    following = st.session_state.pop("advance", None)
    if following is not None:
        st.session_state["moment"] = following


def _at(here: Subject, moment: int, mark: float, order: list[int], point: int | None, about: str) -> None:
    """Show one moment of the run: one picture's margins, and how far all networks are then."""
    result = here.result
    way = result.way()
    chosen = order[0] if point is None else point
    column = np.flatnonzero(way.points == chosen)
    frames = None if way is None else result.frame_margins(column)
    if frames is None:
        st.html('<p class="fs-small">Runs from now on keep every network on the way; this one kept means alone.</p>')
        return
    left, right = st.columns(2, gap="large")
    with left:
        show.heading(margins.CARD)
        st.html(f'<p class="fs-small strong">Picture {chosen} after {mark:.0%} of {say.escaped(result.name)}.</p>')
        samples = result.margins(chosen, ("original", "oracle"))
        table = margins.frame(original=samples["original"], unlearned=frames[:, moment, 0], oracle=samples["oracle"])
        made = partial(margins.figure, table, height=240)
        show.chart(made, "moment-margins", alt=f"Margins of picture {chosen} after {mark:.0%} of the run")
        show.behind(margins.CARD, "moment-margins", table, made, subject=about, meanings=margins.COLUMNS)
        _walk(order, chosen)
    with right:
        try:
            table = _along(result.run, result.method, result.models, result)
        except (StoreError, MetricError) as error:
            st.warning(say.plain(error))
            return
        _figure(along, table, about, mark=mark)


def _walk(order: list[int], chosen: int) -> None:
    """Offer the pictures before and after, in the order of their best moment."""
    place = order.index(chosen)
    with st.container(horizontal=True, gap="small", key="missing-ways"):
        for name, there in (("Previous", place - 1), ("Next", place + 1)):
            inside = 0 <= there < len(order)
            st.button(
                name,
                key=f"missing-{name.lower()}",
                type="tertiary",
                disabled=not inside,
                on_click=inspector.pick,
                args=(order[there] if inside else chosen,),
            )


@st.cache_resource(max_entries=24, show_spinner=False)
def _along(run: str, method: str, models: int, _result: results.Result) -> pd.DataFrame:  # noqa: ARG001
    way = _result.way()
    every = _result.frame_margins(np.arange(len(way.points)))  # (M, frames, n)
    oracle = _result.at("oracle", way.points)
    splits = {name: np.flatnonzero(np.isin(way.points, ids)) for name, ids in _result.points().items()}
    return along.frame(
        oracle=oracle,
        course=every,
        share=way.share,
        splits={split: splits[split] for split in SPLITS},
        convention=_result.convention,
    )


def _figure(view: ModuleType, table: pd.DataFrame, about: str, **options: Any) -> None:
    """Draw a view with its heading, and behind it how to read it, the table and downloads."""
    show.heading(view.CARD)
    key = view.__name__.rpartition(".")[2]
    made = partial(view.figure, table, **options)
    show.chart(made, f"missing-{key}", alt=f"{view.CARD.title} {view.CARD.question}")
    meanings = view.documented() if hasattr(view, "documented") else view.COLUMNS
    show.behind(view.CARD, key, table, made, subject=about, meanings=meanings)
