"""The parts of the KLOM page, from the headline down to one point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from engine.queue import RunRow
from engine.records import SPLITS, Recipe
from engine.store import StoreError
from engine.theme import Look
from engine.views import distribution, points
from engine.views import headline as top
from engine.views.base import CEILING, SPLIT_TITLES
from pages.ui import frame, point, results, runs, say, show, workspace
from pages.ui.controls import switch
from pages.ui.gallery import gallery

_TILES = 24


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
    """Say how a run ended, when it did not end well, and which methods stopped on the way."""
    if run.status == "failed":
        st.error(f"This run failed: {say.plain(run.error)}")
    elif run.status == "cancelled":
        st.info("This run was cancelled; what was measured before is shown.")
    states = run.progress.get("methods") or {}
    for method, name in say.method_names(workspace.words(), run.recipe).items():
        if method in states and states[method]["stopped"]:
            st.warning(f"**{say.plain(name)}** {say.plain(states[method]['stopped'])}")


def waiting(run: RunRow) -> None:
    """Say when the first picture will come, and draw its empty axes."""
    ensemble = Recipe.from_json(run.recipe).ensemble
    first = min(ensemble.chunk, ensemble.models)
    st.html(
        f'<p class="fs-lead">The first KLOM appears after {say.count(first, "model")} of each kind and sharpens with '
        f"every further {first}.</p>"
    )
    table = _table(run, [])
    show.chart(lambda colours: top.figure(table, colours), "headline-waiting", alt="Axes waiting for the first KLOM")


def _table(run: RunRow, measured: Sequence[results.Result]) -> pd.DataFrame:
    """Return the headline's rows for every method of the recipe; those not measured yet hold no numbers."""
    found = {r.method: r.rows for r in measured}
    empty = [{"split": split} for split in SPLITS]
    names = say.method_names(workspace.words(), run.recipe)
    return top.frame([(method, name, found.get(method, empty)) for method, name in names.items()])


def measured_part(run: RunRow, measured: Sequence[results.Result]) -> None:
    """Show the headline of all methods and, below it, one method from its distribution down to one point.

    The switches are drawn before the figures that depend on them, so their places are laid out first.
    """
    above, between = st.container(key="headline-part"), st.container(key="switches")
    names = {r.method: r.name for r in measured}
    with between:
        default = _default(run, measured)
        method = switch("Method", list(names), key="method", default=default, name=lambda key: names[key])
    result = next(r for r in measured if r.method == method)
    with above:
        _headline(run, measured, method)
    _closer(run, result)


def _headline(run: RunRow, measured: Sequence[results.Result], method: str) -> None:
    table = _table(run, measured)
    said = top.verdict(table)
    if said:
        st.markdown(f"#### {said}")
    st.html(f'<p class="fs-small">{say.escaped(_basis(run, measured))}</p>')

    def choose(data: Sequence[Any]) -> None:
        st.session_state["method"], st.session_state["split"] = data[0], data[1]

    def draw(colours: Look) -> Any:
        return top.figure(table, colours, chosen=method)

    show.chart(draw, "headline", on_click=choose, alt="KLOM per method and split with intervals and noise floor")
    show.behind(
        top.CARD, "headline", table, draw, subject=_subject(run, measured), columns=_COLUMNS, order=list(_COLUMNS)
    )
    for text in _warnings(measured):
        st.html(f'<p class="fs-small"><span class="fs-dot bad"></span>{say.escaped(text)}</p>')


def _closer(run: RunRow, result: results.Result) -> None:
    try:
        arrays = result.arrays()
        table = distribution.frame(klom=arrays["klom"], floor=arrays["floor"], points=result.points())
    except StoreError as error:
        st.warning(f"The numbers of single points cannot be shown: {say.plain(error)}")
        return
    above = st.container(key="distribution-part")
    with above, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        show.heading(distribution.CARD)
        shape = switch("Shape", distribution.SHAPES, key="shape", default=distribution.SHAPES[0])
    with st.container(key="points-part"):
        grid, one = st.columns([7, 5], gap="large")
    with grid:
        show.heading(points.CARD)
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            split = switch("Split", SPLITS, key="split", default="forget", name=lambda key: SPLIT_TITLES[key])
            order = switch("Order", ("worst", "best"), key="order", default="worst", name=str.capitalize)
        shown = _tiles(result, arrays, split, order)
    chosen = _point(len(arrays["klom"]), shown)

    def draw(colours: Look) -> Any:
        return distribution.figure(table, colours, shape=shape, point=chosen)

    with above:
        show.chart(
            draw,
            "distribution",
            on_click=lambda data: pick(int(data[0]), str(data[1])),
            alt=distribution.CARD.title,
        )
        show.behind(distribution.card(shape), "distribution", table, draw, subject=_subject(run, [result]))
    with grid:
        _gallery(result, shown, chosen)
    with one:
        point.panel(result, chosen, subject=_subject(run, [result]))


def pick(number: int, split: str | None = None) -> None:
    """Choose a point: it goes into the URL."""
    st.query_params["point"] = str(number)
    if split is not None:
        st.session_state["split"] = split


def _tiles(result: results.Result, arrays: dict[str, Any], split: str, order: str) -> pd.DataFrame:
    images = workspace.pictures(result.data_hash)
    return points.frame(
        klom=arrays["klom"],
        floor=arrays["floor"],
        points=result.points()[split],
        labels=images.labels if images is not None else None,
        most=_TILES,
        worst=order == "worst",
    )


def _gallery(result: results.Result, table: pd.DataFrame, chosen: int) -> None:
    images = workspace.pictures(result.data_hash)
    colours = frame.colours()
    gallery(
        [
            {
                "point": int(row.point),
                "klom": float(row.klom),
                "floor": float(row.floor) if np.isfinite(row.floor) else None,
                "label": images.class_name(int(row.point)) if images is not None else "",
                "src": images.url(int(row.point)) if images is not None else "",
                "on": int(row.point) == chosen,
            }
            for row in table.itertuples()
        ],
        key="gallery",
        ceiling=CEILING,
        hue=colours.unlearned,
        floor_hue=colours.oracle,
        pick=pick,
    )
    st.html(f'<p class="fs-small">{say.escaped(points.CARD.how)}</p>')


def _default(run: RunRow, measured: Sequence[results.Result]) -> str:
    """Return the method to look at first: the closest to the oracle on the forget set.

    While methods are still coming in, a visitor who has chosen neither method nor point moves along with it; later it
    stays, so that nothing changes under the eyes of somebody who reads.
    """
    key, known = f"default-{run.id}", [r.method for r in measured]
    old = st.session_state.get(key)
    complete = len(known) == len(run.recipe["methods"])
    if old in known and ("point" in st.query_params or st.session_state.get(f"{key}-complete")):
        return str(old)
    forget = top.frame([(r.method, r.name, r.rows) for r in measured])
    forget = forget[(forget["split"] == "forget") & forget["klom_p95"].notna()]
    tried = forget[~forget["method"].str.startswith(top.REFERENCES)]
    new = known[0] if tried.empty else str(tried.loc[tried["klom_p95"].idxmin(), "method"])
    st.session_state[key], st.session_state[f"{key}-complete"] = new, complete
    if old is not None and st.session_state.get("method") == old:
        st.session_state["method"] = new
    return new


def _point(total: int, shown: pd.DataFrame) -> int:
    """Return the point in the URL if there is such a point, else the first of those shown."""
    asked = st.query_params.get("point", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 10 and int(asked) < total:
        return int(asked)
    return int(shown.iloc[0]["point"])


def _basis(run: RunRow, measured: Sequence[results.Result]) -> str:
    total = Recipe.from_json(run.recipe).ensemble.models
    sizes = sorted({r.models for r in measured})
    said = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    so_far = "" if sizes[0] == total else f" so far, of {total}"
    convention = measured[0].rows[0].get("convention", "paper")
    return f"KLOM, {convention} convention; {said} models of each kind{so_far}. Click a dot to look closer."


def _subject(run: RunRow, measured: Sequence[results.Result]) -> str:
    about = say.subject(workspace.words(), run.recipe)
    names = ", ".join(r.name for r in measured)
    return f"{'; '.join(f'{k}: {v}' for k, v in about.items())}; methods: {names}; run {run.id}"


def _warnings(measured: Sequence[results.Result]) -> list[str]:
    said: dict[str, list[str]] = {}
    for result in measured:
        for row in result.rows:
            for text in row.get("warnings") or []:
                if result.name not in said.setdefault(text, []):
                    said[text].append(result.name)
    everyone = len(measured)
    who = {text: f"{len(names)} methods" if len(names) > 2 else ", ".join(names) for text, names in said.items()}
    return [text if len(names) == everyone else f"{who[text]}: {text}" for text, names in said.items()]


def _number(title: str, help_text: str, form: str = "%.2f") -> Any:
    return st.column_config.NumberColumn(title, help=help_text, format=form)


_COLUMNS: dict[str, Any] = {
    "name": st.column_config.TextColumn("Method", pinned=True),
    "split": st.column_config.TextColumn("Split"),
    "klom_p95": _number("KLOM p95", "95 % of the points are at most this far from the oracle."),
    "low": _number("low", "Bootstrap interval over models, lower end."),
    "high": _number("high", "Bootstrap interval over models, upper end."),
    "floor_p95": _number("floor p95", "The same for two ensembles of oracles."),
    "klom_mean": _number("KLOM mean", "Mean over points."),
    "accuracy": _number("accuracy", "Of the unlearned networks.", "percent"),
    "accuracy_oracle": _number("oracle's", "Accuracy of the oracles.", "percent"),
    "compute": _number("of a retrain", "Compute as a share of a retrain.", "percent"),
    "seconds": _number("seconds", "Of all models together.", "%.1f"),
    "models": _number("models", "Per ensemble.", "%d"),
}
