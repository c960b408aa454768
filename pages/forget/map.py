"""The map on the Forget set page: what it shows, what colours it, and the questions that have it made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine.records import Choice, canonical, digest
from engine.specs import WHOLE, Explored
from engine.store import StoreError, default_store
from engine.store.measurements import load
from engine.theme import Look
from engine.views import datamap
from pages.forget import state
from pages.forget.scatter import Column, Drawn, Sheets, scatter
from pages.forget.sets import Alike, inside
from pages.forget.state import Pool, Selection
from pages.ui import analysis, asking, draft, frame, nouns, say, show, workspace
from pages.ui.controls import switch

LAYOUTS: Mapping[str, str] = {"pca": "PCA", "umap": "UMAP"}
THROUGH: Mapping[str, str] = {"pixels": "Pixels", "network": "Network"}
COLOURS: Mapping[str, str] = {
    "class": "Class",
    "cluster": "Cluster",
    "outlier": "Outlier score",
    "margin": "Margin",
    "loss": "Loss",
    "chosen": "Chosen or not",
}
_UNITS: Mapping[str, str] = {"outlier": "", "margin": "logits", "loss": "nats"}
_NEED_NETWORK = ("margin", "loss")
_THUMBS = 1024
"""Thumbnails on one sheet."""
_MOST_LINES = 5_000
"""Rows of a table whose values are shown on hover; more would take seconds to prepare."""
_MOST_BYTES = 3_000_000_000
"""Bytes of pictures from which thumbnails are made at most; reading more would take too long."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What is known about each picture: columns (N,) by name, and the pairs that are nearly the same."""

    columns: Mapping[str, np.ndarray]
    alike: Alike | None
    near: float = 0.0


def measured(pool: Pool) -> Measured:
    """Return clusters, outlier scores and near-duplicates by pixels, once computed; asks for them once."""
    spec = _spec(pool, _columns(None), through=None)
    if spec is None:
        reply = asking.ask(analysis.question(_columns(None), {"dataset": pool.dataset}), key="forget-columns")
        if reply.error:
            st.warning(f"Near-duplicates cannot be looked for: {say.plain(reply.error)}")
        elif reply.answer is None:
            asking.wait(reply, what="Looking for near-duplicates and groups", key="forget-columns")
        else:
            spec = _spec_of_answer(pool, reply.answer["spec"], None)
    if spec is None:
        return Measured({}, None)
    try:
        return _measured(str(default_store()), canonical(spec))
    except StoreError as error:
        st.warning(f"Near-duplicates cannot be shown: {say.plain(error)}")
        return Measured({}, None)


def draw(pool: Pool, chosen: Selection, known: Measured) -> None:
    """Draw the map with its switches, its table and downloads."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="map-switches"):
        with _together("Look through"):
            through = switch("Look through", list(THROUGH), key="through", default="pixels", name=_through)
        layout = switch("Layout", list(LAYOUTS), key="layout", default="pca", name=lambda k: LAYOUTS[k])
        with _together("Colour"):
            colour = st.selectbox(
                "Colour by",
                list(COLOURS),
                format_func=lambda k: COLOURS[k],
                key="colour",
                bind="query-params",
                label_visibility="collapsed",
                width=150,
            )
    seen = draft.current() if through == "network" else None
    xy, layout, through = _coordinates(pool, layout, seen)
    columns = dict(known.columns)
    if through == "network" or colour in _NEED_NETWORK:
        seen_by = _through_network(pool, colour, through)
        columns |= seen_by if through == "network" else {k: v for k, v in seen_by.items() if k in _NEED_NETWORK}
    if xy is None:
        return
    column = _column(pool, colour, columns)
    what = nouns.spoken("by pixels")[3:] if through == "pixels" else "what a trained network sees"
    alt = (
        f"Map of {len(pool):,} training {pool.noun}s of {pool.name} by {what}, {LAYOUTS[layout]}, coloured by "
        f"{column.title.lower()}; {len(chosen):,} are chosen. Arrow keys move, plus and minus zoom, V chooses what is "
        "in view, Enter looks at the one in the middle."
    )

    def region(drawn: Drawn) -> None:
        try:
            named = np.flatnonzero(inside(drawn.polygon, xy))
        except ValueError as error:
            state.problem(f"That line cannot be used: {error}.")
            return
        if drawn.mode in ("replace", "add", "remove") and (len(named) or drawn.mode == "replace"):
            state.change(pool, chosen, named, drawn.mode)

    def group(number: int, mode: str, key: str) -> None:
        values = pool.labels if key == "class" else columns.get(key)
        if values is not None and mode in ("replace", "add", "remove"):
            name = f"class {pool.classes[number]}" if key == "class" else f"cluster {number}"
            state.change(pool, chosen, np.flatnonzero(values == number), mode, how=name)

    scatter(
        key="map",
        name=f"{pool.hash}-{through}-{layout}",
        xy=xy,
        labels=pool.labels,
        classes=pool.classes,
        column=column,
        chosen=chosen.numbers,
        sheets=_sheets(str(default_store()), pool.hash, pool),
        lines=_lines(str(default_store()), pool.hash, pool),
        noun=pool.noun,
        focus=focus(pool),
        colours=frame.colours(),
        axes=_axes(layout),
        alt=alt,
        on_region=region,
        on_point=look_at,
        on_group=group,
    )
    _behind(pool, chosen, xy, columns, column.key, layout)


def _through(key: str) -> str:
    return "Values" if key == "pixels" and nouns.spoken("picture") != "picture" else THROUGH[key]


def _together(name: str) -> DeltaGenerator:
    """Return a container in a row of switches that begins with its name in grey and does not wrap."""
    place = st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width="content")
    place.html(f'<span class="fs-small">{say.escaped(name)}</span>', width="content")
    return place


def focus(pool: Pool) -> int | None:
    """Return the picture looked at, named in the URL as ``at``."""
    at = st.query_params.get("at", "")
    return int(at) if at.isascii() and at.isdigit() and len(at) < 10 and int(at) < len(pool) else None


def look_at(number: int) -> None:
    """Look at a picture: it goes into the URL, and into the form that chooses the nearest."""
    st.query_params["at"] = str(number)
    st.session_state["pick-nearest-point"] = number


def _axes(layout: str) -> tuple[str, str]:
    name = "component" if layout == "pca" else "UMAP"
    return f"{name} 1 →", f"{name} 2 →"


def _coordinates(pool: Pool, layout: str, seen: Mapping[str, Any] | None) -> tuple[np.ndarray | None, str, str]:
    """Return the coordinates (N, 2), their layout and their source; those of pixels while others are made."""
    layouts = [(layout, seen)]
    if seen is not None or layout != "pca":
        layouts.append(("pca", None))
    for i, (kind, through) in enumerate(layouts):
        if i and (layout, seen) == (kind, through):
            continue
        choice = {"key": "map", "layout": kind, "through": _seen(through)}
        spec = _spec(pool, choice, through=through)
        if spec is None:
            recipe = {"dataset": pool.dataset} if through is None else through
            reply = asking.ask(analysis.question(choice, recipe), key=f"forget-map-{i}")
            name = f"{LAYOUTS[kind]} map" + ("" if through is None else " through a trained network")
            if reply.error:
                st.warning(f"The {name} cannot be made: {say.plain(reply.error)}")
            elif reply.answer is None:
                also = " (the first time it takes a minute longer)" if kind == "umap" else ""
                asking.wait(reply, what=f"Making the {name}{also}", key=f"forget-map-{i}")
            else:
                spec = _spec_of_answer(pool, reply.answer["spec"], through)
        if spec is not None:
            try:
                return _xy(str(default_store()), canonical(spec)), kind, "pixels" if through is None else "network"
            except StoreError as error:
                st.warning(f"The map cannot be shown: {say.plain(error)}")
    return None, layout, "pixels"


def _through_network(pool: Pool, colour: str, through: str) -> Mapping[str, np.ndarray]:
    """Return the columns that need trained networks, once the visitor has them; draw what is missing for that."""
    recipe = draft.current()
    spec = _spec(pool, _columns(recipe), through=recipe)
    if spec is None:
        pressed = f"forget-train-{pool.hash}"
        if through != "network" and not st.session_state.get(pressed):
            words = workspace.words()
            model = say.card_name(words, "models", str(recipe["model"]["key"]))

            def want() -> None:
                st.session_state[pressed] = True

            with st.container(horizontal=True, vertical_alignment="center", key="need-network"):
                st.html(
                    f'<p class="fs-small strong">{say.escaped(COLOURS[colour])} needs trained networks '
                    f"({say.escaped(model)}, as set up on Start). They are trained once and kept.</p>",
                    width="content",
                )
                st.button("Train and measure", key="train", on_click=want)
            return {}
        reply = asking.ask(analysis.question(_columns(recipe), recipe), key="forget-trained")
        if reply.error:
            st.warning(f"Margin and loss cannot be measured: {say.plain(reply.error)}")
            return {}
        if reply.answer is None:
            asking.wait(reply, what="Measuring margin and loss", key="forget-trained")
            return {}
        spec = _spec_of_answer(pool, reply.answer["spec"], recipe)
        if spec is None:
            return {}
    try:
        return _measured(str(default_store()), canonical(spec)).columns
    except StoreError as error:
        st.warning(f"Margin and loss cannot be shown: {say.plain(error)}")
        return {}


def _column(pool: Pool, colour: str, columns: Mapping[str, np.ndarray]) -> Column:
    """Return what colours the map; the class where the chosen column is not there."""
    colours = frame.colours()
    if colour == "chosen":
        shades = (colours.line if not colours.dark else "#3A4653", colours.ink)
        return Column("chosen", "chosen", "Chosen or not", shades, names=("everything else", "chosen"))
    if colour in _UNITS and colour in columns:
        values = columns[colour]
        low, high = datamap.bounds(values)
        return Column(
            colour, "scale", COLOURS[colour], datamap.ramp(colours), values, low=low, high=high, unit=_UNITS[colour]
        )
    shades = datamap.kinds(colours)
    if colour == "cluster" and "cluster" in columns:
        counts = np.bincount(columns["cluster"])
        names = tuple(f"cluster {i}" for i in range(len(counts)))
        return Column("cluster", "group", "Cluster", shades, columns["cluster"], names, tuple(counts.tolist()))
    counts = np.bincount(pool.labels, minlength=len(pool.classes))
    return Column("class", "group", "Class", shades, pool.labels, pool.classes, tuple(counts.tolist()))


def _behind(
    pool: Pool, chosen: Selection, xy: np.ndarray, columns: Mapping[str, np.ndarray], by: str, layout: str
) -> None:
    shown = {name: values for name, values in columns.items() if name in COLOURS}
    if "cluster" in shown:
        shown["cluster"] = np.array([f"cluster {i}" for i in range(int(shown["cluster"].max()) + 1)])[shown["cluster"]]

    def table() -> pd.DataFrame:
        return datamap.frame(xy=xy, labels=pool.labels, classes=pool.classes, chosen=chosen.numbers, columns=shown)

    def figure(colours: Look) -> go.Figure:
        return datamap.figure(table(), colours, by={"class": "label"}.get(by, by), layout=layout)

    looked_at = st.session_state.get("behind-map-table") in ("Table", "Download")
    show.behind(
        datamap.CARD,
        "map-table",
        table().rename(columns={"picture": pool.noun}) if looked_at else pd.DataFrame(),
        figure,
        subject=f"{pool.name}; {len(chosen):,} {pool.noun}s chosen",
        meanings={pool.noun if name == "picture" else name: column for name, column in datamap.COLUMNS.items()},
    )


def _seen(through: Mapping[str, Any] | None) -> str:
    return "pixels" if through is None else "network"


def _columns(through: Mapping[str, Any] | None) -> dict[str, str]:
    return {"key": "columns", "through": _seen(through)}


def _spec(pool: Pool, choice: Mapping[str, Any], *, through: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the spec of an analysis if the store has it; with ``through`` it is known from an earlier answer."""
    if through is None:
        spec = Explored(Choice.from_json(choice, "analysis"), pool.hash).plain
    else:
        known: dict[str, dict[str, Any]] = st.session_state.get("forget-specs", {})
        answered = known.get(digest([pool.hash, choice, _what_matters(through)]))
        if answered is None:
            return None
        spec = answered
    try:
        return spec if workspace.store().artefact(Explored.kind, spec).has(WHOLE) else None
    except StoreError:
        return None


def _spec_of_answer(pool: Pool, spec: Mapping[str, Any], through: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an answer's spec and remember it for the session; None with a warning when the data set has changed."""
    if spec["data"] != pool.hash:
        st.warning(nouns.spoken("The pictures have changed since this page was opened. Reload it."))
        return None
    if through is not None:
        known: dict[str, dict[str, Any]] = st.session_state.setdefault("forget-specs", {})
        known[digest([pool.hash, spec["analysis"], _what_matters(through)])] = dict(spec)
    return dict(spec)


def _what_matters(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a recipe that the originals depend on."""
    return {part: recipe.get(part) for part in ("dataset", "model", "training", "ensemble", "seed")}


@st.cache_resource(max_entries=16, show_spinner=False)
def _xy(path: str, spec: str) -> np.ndarray:  # noqa: ARG001 - part of the key
    return load(workspace.store().artefact(Explored.kind, json.loads(spec)), [WHOLE]).arrays["xy"]


@st.cache_resource(max_entries=8, show_spinner=False)
def _measured(path: str, spec: str) -> Measured:  # noqa: ARG001 - part of the key
    plain = json.loads(spec)
    measurement = load(workspace.store().artefact(Explored.kind, plain), [WHOLE])
    arrays, near = measurement.arrays, float(measurement.facts["near"])
    names = ("cluster", "outlier", *(_NEED_NETWORK if plain["analysis"]["through"] == "network" else ()))
    return Measured({n: arrays[n] for n in names}, Alike.of(arrays["neighbours"], arrays["distance"], near), near)


@st.cache_resource(max_entries=6, show_spinner=False)
def _lines(path: str, data_hash: str, _pool: Pool) -> bytes | None:  # noqa: ARG001 - part of the key
    """Return the text shown on hover for each row, as JSON; None for pictures and for very long tables."""
    if not _pool.pictures.data.tabular or len(_pool) > _MOST_LINES:
        return None
    return json.dumps([nouns.lines(_pool.pictures, number) for number in range(len(_pool))]).encode()


@st.cache_resource(max_entries=6, show_spinner="Making thumbnails")
def _sheets(path: str, data_hash: str, _pool: Pool) -> Sheets | None:  # noqa: ARG001 - part of the key
    if _pool.pictures.data.tabular or _pool.pictures.data.x_train.nbytes > _MOST_BYTES:
        return None
    side = 64 if len(_pool) <= 5000 else 32
    made = [
        _pool.pictures.sheet(np.arange(start, min(start + _THUMBS, len(_pool))), side=side)
        for start in range(0, len(_pool), _THUMBS)
    ]
    return Sheets(tuple(made), _THUMBS)
