"""The point inspector, the same on every page: one picture, the ensembles' margins on it, and its nearest neighbours.

A page draws it beside its figures with :func:`panel`, or over them with :func:`linked`. The point is
in the URL as ``point``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine.pictures import Pictures
from engine.queue import RunRow
from engine.store import StoreError
from engine.views import headline, margins, onepoint, predictions, terms, trajectory
from engine.views.base import SPLIT_TITLES, ViewCard
from pages.ui import neighbours, nouns, results, runs, say, show, workspace

_TALL = 210
"""Height of a figure beside others, in pixels."""


def point(total: int, *, default: int | None = None) -> int | None:
    """Return the point the URL names, if it is one of ``total``, else ``default``."""
    number = st.query_params.get("point", "")
    if number.isascii() and number.isdigit() and len(number) < 10 and int(number) < total:
        return int(number)
    return default


def pick(number: int) -> None:
    """Choose a point: it goes into the URL."""
    st.query_params["point"] = str(number)


def linked(run: RunRow | None, data_hash: str) -> None:
    """Open the inspector when the URL names a point of this data set; it stays open while the page runs again."""
    images = workspace.pictures(data_hash)
    number = None if images is None else point(len(images))
    if number is not None:
        _dialog(run, number, data_hash)


def _close() -> None:
    st.query_params.pop("point", None)


@st.dialog("One point", width="large", on_dismiss=_close)
def _dialog(run: RunRow | None, number: int, data_hash: str) -> None:
    images = workspace.pictures(data_hash)
    # Inside the dialog only the dialog runs again: the point is in the URL.
    here = point(len(images), default=number) if images is not None else number
    panel(run, number if here is None else here, data_hash=data_hash, key="inspector", wide=True)


def panel(
    run: RunRow | None,
    number: int,
    *,
    data_hash: str,
    key: str,
    method: str | None = None,
    convention: str = "",
    among: Sequence[int] | None = None,
    wide: bool = False,
    below: DeltaGenerator | None = None,
) -> None:
    """Draw everything known about point ``number`` into the current container.

    Args:
        run: the run whose results are shown; without one, or before it has any, picture and neighbours are.
        number: a training picture from 0, then test pictures.
        data_hash: of the data set the point belongs to.
        key: begins the names of the widgets; may be empty on a page that shows one panel.
        method: the method to look at; None lets the visitor choose.
        convention: of KLOM; empty is the one the run asked for.
        among: the order in which "previous" and "next" walk; None is by number.
        wide: whether there is room for two columns.
        below: where the figures that compare methods go, side by side; None is under the others.
    """
    images = workspace.pictures(data_hash)
    measured = [] if run is None else results.results(run)
    measured = [result for result in measured if result.data_hash == data_hash]
    prefix = f"{key}-" if key else ""
    result = None
    if measured:
        names = {r.method: r.name for r in measured}
        if method is None:
            best = headline.closest(results.table(measured))
            first = list(names).index(best) if best in names else 0
            method = st.selectbox("Method", list(names), first, names.__getitem__, key=f"{prefix}method")
        result = next((r for r in measured if r.method == method), measured[0])
    try:
        seen = None if result is None else _seen(result, number, convention or result.convention)
    except (StoreError, IndexError) as error:
        st.warning(f"This point's margins cannot be shown: {say.plain(error)}")
        seen = None
    left = right = st.container(gap="xsmall")
    if wide and seen is not None:
        left, right = st.columns(2, gap="large")
    with left:
        if not wide:
            show.heading(margins.CARD)
        _facts(images, result, seen, number)
        _ways(images, result, number, among, prefix)
        if run is not None and result is not None:
            _elsewhere(run, result, number, prefix)
        neighbours.draw(
            run,
            images,
            number,
            data_hash=data_hash,
            split_of=(lambda _point: "") if result is None else result.split_of,
            pick=pick,
            key=f"{prefix}alike",
        )
    if result is None or seen is None or run is None:
        return
    subject = f"point {number}; data and run: {run.label}; {run.id}; {result.models} models of each kind"
    with right:
        _margins(result, seen, f"{prefix}margins", subject, convention, titled=wide)
    if below is not None:
        with below:
            left, right = st.columns([7, 5], gap="large")
    with left:
        _methods(measured, number, result.method, convention, f"{prefix}every-method", subject)
    with right:
        _way(measured, seen, number, result.method, f"{prefix}way", subject)


_NAMED = {"original": "Called before", "unlearned": "Called now", "oracle": "Called by oracles"}


@dataclass(frozen=True)
class _Seen:
    """What was measured of one method's ensembles at one point."""

    margins: dict[str, np.ndarray]
    tests: onepoint.Measured
    right: dict[str, float]
    answers: dict[str, np.ndarray]


def _seen(result: results.Result, number: int, convention: str) -> _Seen:
    samples = result.margins(number, margins.ROLES)
    tests = _measured(result, number, convention, samples)
    return _Seen(samples, tests, result.right(number), result.answers(number))


def _measured(
    result: results.Result, number: int, convention: str, samples: dict[str, np.ndarray]
) -> onepoint.Measured:
    klom, floor = result.values(convention)
    return onepoint.Measured(
        result.method,
        result.name,
        float(klom[number]),
        float(floor[number]),
        unlearned=samples["unlearned"],
        oracle=samples["oracle"],
        reference=result.facts.reference,
    )


def _facts(images: Pictures | None, result: results.Result | None, seen: _Seen | None, number: int) -> None:
    image = label = ""
    if images is not None and number < len(images):
        label = images.class_name(number)
        if not images.data.tabular:
            image = (
                f'<img src="{say.escaped(images.url(number))}" alt="picture of point {number}, {say.escaped(label)}">'
            )
    if result is not None:
        place = SPLIT_TITLES[result.split_of(number)].lower()
    else:
        noun = "picture" if images is None else images.data.noun
        place = f"training {noun}" if images is None or number < len(images.data.y_train) else f"test {noun}"
    rows = [("Point", f"{number}, {place}" + (f", label {label}" if label else ""))]
    if seen is not None:
        row = onepoint.frame([seen.tests]).iloc[0]
        floor = f", floor {row['floor']:.2f}" if np.isfinite(row["floor"]) else ""
        rows += [
            ("KLOM", f"{row['klom']:.2f}{floor}"),
            ("KS distance", onepoint.with_p(row["ks"], row["ks_p"])),
            ("Welch t", onepoint.with_p(row["t"], row["t_p"])),
        ]
        if seen.right:
            shares = ", ".join(f"{role} {share:.0%}" for role, share in seen.right.items())
            rows.append(("Answer right", shares))
        for role, named in _NAMED.items():
            if role in seen.answers and images is not None:
                rows.append((named, predictions.most(seen.answers[role], images.data.classes)))
    items = "".join(f"<dt>{say.escaped(k)}</dt><dd>{say.escaped(v)}</dd>" for k, v in rows)
    st.html(f'<div class="fs-picture" id="fs-point">{image}<dl>{items}</dl></div>')
    if images is not None and images.data.tabular and number < len(images):
        st.html(nouns.row(images.data, number))


def _ways(
    images: Pictures | None, result: results.Result | None, number: int, among: Sequence[int] | None, prefix: str
) -> None:
    """Offer the points before and after, and the ways from this picture to the Forget set page."""
    total = len(images) if images is not None else 0
    order = list(among) if among is not None else range(total)
    place = order.index(number) if number in order else None
    train = 0 if images is None else len(images.data.y_train)
    with st.container(horizontal=True, gap="small", key=f"{prefix}ways"):
        for name, step in (("Previous", -1), ("Next", 1)):
            there = 0 if place is None else place + step
            st.button(
                name,
                key=f"{prefix}{name.lower()}",
                type="tertiary",
                disabled=place is None or not 0 <= there < len(order),
                on_click=pick,
                args=(order[there] if 0 <= there < len(order) else number,),
            )
        if number >= train:
            return
        for name, doing, fits in (
            (nouns.spoken("Forget this picture too"), "add", result is None or result.split_of(number) == "retain"),
            ("More like this", "like", True),
        ):
            if fits and st.button(name, key=f"{prefix}{doing}", type="tertiary"):
                st.switch_page(runs.FORGET_PAGE, query_params={"point": str(number), "do": doing})


def _elsewhere(run: RunRow, result: results.Result, number: int, prefix: str) -> None:
    """Link to the pages that ask other questions of the same picture."""
    about = {"run_id": run.id, "method": result.name, "point": str(number)}
    tabular = nouns.tabular(str(run.recipe["dataset"].get("key")))
    with st.container(horizontal=True, gap="small", key=f"{prefix}elsewhere"):
        runs.link(runs.PREDICTIONS_PAGE, "What is it called?", **about)
        if not tabular:
            runs.link(runs.ATTENTION_PAGE, "Where do they look?", **about, attention_also=str(number))
        if result.split_of(number) == "forget":
            runs.link(runs.MISSING_PAGE, "When does it pass its target?", **about)


def _margins(result: results.Result, seen: _Seen, key: str, subject: str, convention: str, *, titled: bool) -> None:
    if titled:
        show.heading(margins.CARD)
    table = margins.frame(**{role: seen.margins[role] for role in margins.ROLES})

    figure = partial(margins.figure, table, height=_TALL)
    show.chart(figure, key, alt="Margins of this picture under originals, unlearned networks and oracles")
    show.behind(margins.CARD, key, table, figure, subject=f"{subject}; method: {result.name}", meanings=margins.COLUMNS)
    _number(result, seen, f"{key}-terms", f"{subject}; method: {result.name}", convention)


def _number(result: results.Result, seen: _Seen, key: str, subject: str, convention: str) -> None:
    """Offer to show the bins from which the point's KLOM is computed."""
    with st.expander(f"Where KLOM {seen.tests.klom:.2f} comes from", key=key, on_change="rerun") as opened:
        if not opened.open:
            return
        table = terms.frame(
            oracle=seen.margins["oracle"],
            unlearned=seen.margins["unlearned"],
            convention=convention or result.convention,
        )
        figure = partial(terms.figure, table)
        show.heading(terms.CARD)
        show.chart(figure, f"{key}-chart", alt="Shares of networks per bin of margins, and what each adds to KLOM")
        show.behind(terms.CARD, f"{key}-behind", table, figure, subject=subject, meanings=terms.COLUMNS)


def _methods(
    measured: Sequence[results.Result], number: int, chosen: str, convention: str, key: str, subject: str
) -> None:
    if len(measured) < 2:
        return
    rows = []
    for result in measured:
        try:
            rows.append(
                _measured(
                    result, number, convention or result.convention, result.margins(number, ("unlearned", "oracle"))
                )
            )
        except StoreError as error:
            st.html(f'<p class="fs-small">{say.escaped(result.name)} cannot be shown: {say.escaped(error)}</p>')
    table = onepoint.frame(rows)

    figure = partial(onepoint.figure, table, chosen=chosen)
    show.heading(onepoint.CARD)
    show.chart(figure, key, alt="KLOM of this picture under every method, with its noise floor")
    show.behind(
        onepoint.CARD,
        key,
        table.drop(columns=["method", "reference"]),
        figure,
        subject=subject,
        meanings=onepoint.COLUMNS,
    )


def _way(measured: Sequence[results.Result], seen: _Seen, number: int, chosen: str, key: str, subject: str) -> None:
    card: ViewCard = trajectory.CARD
    try:
        tracks = [track for result in measured if (track := result.track(number)) is not None]
    except StoreError as error:
        st.html(f'<p class="fs-small">Its way cannot be shown: {say.escaped(error)}</p>')
        return
    if not tracks:
        show.heading(card)
        st.html(
            nouns.spoken(
                '<p class="fs-small">This picture was not followed while the methods ran: of each split at most 500 '
                "are.</p>"
            )
        )
        return
    table = trajectory.frame(
        [track for track in tracks if len(track.margin) > 1],
        oracle=seen.margins["oracle"],
        original=seen.margins["original"],
    )
    if table.empty:
        return
    show.heading(card)
    sentence = trajectory.sentence(table, chosen)
    if sentence:
        st.html(f'<p class="fs-small strong">{say.escaped(sentence)}</p>')

    figure = partial(trajectory.figure, table, chosen=chosen, height=_TALL)
    show.chart(figure, key, alt="Mean margin of this picture along each method's run, with the oracles' band")
    show.behind(card, key, table.drop(columns="method"), figure, subject=subject, meanings=trajectory.COLUMNS)
