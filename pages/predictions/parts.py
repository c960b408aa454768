"""The parts of the Predictions page: all answers, how far they are, who is mistaken for whom, and one picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from engine.measurement import Measurement
from engine.views import confidence, confusion, departure, nearest, predictions
from engine.views._answers import Answers
from engine.views.base import SPLIT_TITLES
from pages.ui import analysis, frame, inspector, nouns, say, show, workspace
from pages.ui.controls import switch
from pages.ui.gallery import gallery, tile
from pages.ui.subject import Subject

_TILES = 40
_ORDERS = ("changed most", "unlike the oracles")


def draw(here: Subject) -> None:
    """Measure the answers of the method in focus, or say what that takes, and draw them."""
    done = analysis.obtain(here.run, here.result.method, "predictions", models=here.result.models)
    if done is None:
        return
    measurement, answer = done
    answers = Answers(measurement)
    networks = analysis.subject(here.run, here.result.method, answer)
    about = f"{here.run.label}; {here.run.id}; {networks}"
    st.html(f'<p class="fs-small">{say.escaped(networks)}.</p>')
    _words(measurement, answers.splits["forget"])
    splits = [split for split, points in answers.splits.items() if len(points)]
    if st.session_state.get("split") not in (None, *splits):
        del st.session_state["split"]
    split = switch("Split", splits, key="split", default="forget", name=lambda key: SPLIT_TITLES[key])
    table = predictions.frame(measurement)
    _figure(predictions, table[table["split"] == split].reset_index(drop=True), about, whole=table)
    _figure(departure, departure.frame(measurement), about)
    went = nearest.frame(measurement)
    if len(went):
        _figure(nearest, went, about)
        st.html(f'<p class="fs-small strong">{say.escaped(nearest.sentence(went))}</p>')
    left, right = st.columns(2, gap="large")
    with left:
        _figure(confusion, confusion.frame(measurement), about, split=split)
    with right:
        _figure(confidence, confidence.frame(measurement), about, split=split)
    _pictures(here, measurement, answers, split)


def _words(measurement: Measurement, forget: np.ndarray) -> None:
    """Say in a sentence what became of the forget set, and where the forgetting itself shows."""
    st.html(f'<p class="fs-lead">{say.escaped(predictions.sentence(measurement, forget))}</p>')
    for warning in predictions.streisand(measurement):
        st.html(
            f'<p class="fs-small strong"><span class="fs-dot bad"></span>The forgetting shows (Streisand effect): '
            f"{say.escaped(warning)}</p>"
        )


def _figure(
    view: ModuleType, table: pd.DataFrame, about: str, *, whole: pd.DataFrame | None = None, **options: Any
) -> None:
    """Draw a view with its heading, and behind it how to read it, the ``whole`` table and downloads."""
    show.heading(view.CARD)
    key = view.__name__.rpartition(".")[2]
    made = partial(view.figure, table, **options)
    show.chart(made, f"answers-{key}", alt=f"{view.CARD.title} {view.CARD.question}")
    show.behind(view.CARD, key, table if whole is None else whole, made, subject=about, meanings=view.COLUMNS)


def _pictures(here: Subject, measurement: Measurement, answers: Answers, split: str) -> None:
    """Show the pictures of a split with what each is called, and one of them closely."""
    points = answers.splits[split]
    grid, one = st.columns([7, 5], gap="large")
    with grid:
        st.html('<p class="fs-step">Picture by picture</p>')
        order = switch("Order", _ORDERS, key="answers-order", default=_ORDERS[0], name=str.capitalize)
        ranked = _ranked(answers, points, against="original" if order == _ORDERS[0] else "oracle")
        chosen = inspector.point(len(answers.labels), default=int(ranked[0]))
        _gallery(here, answers, ranked[:_TILES], chosen)
    with one:
        sentence = predictions.sentence(measurement, np.array([chosen]))
        st.html(f'<p class="fs-small strong">{say.escaped(sentence)}</p>')
        inspector.panel(
            here.run,
            chosen,
            data_hash=here.result.data_hash,
            key="answers",
            method=here.result.method,
            among=ranked.tolist(),
        )


def _ranked(answers: Answers, points: np.ndarray, *, against: str) -> np.ndarray:
    """Return the points whose answers differ most from those of a role, first."""
    apart = np.abs(answers.called("unlearned", points) - answers.called(against, points)).sum(axis=1)  # (n,)
    return points[np.argsort(-apart, kind="stable")]


def _gallery(here: Subject, answers: Answers, points: Sequence[int], chosen: int) -> None:
    images = workspace.pictures(here.result.data_hash)
    shares = {role: answers.called(role, np.asarray(points)) for role in ("unlearned", "oracle")}  # (n, C)
    tiles = []
    for place, number in enumerate(int(point) for point in points):
        now = int(shares["unlearned"][place].argmax())
        truth = int(shares["oracle"][place].argmax())
        label = images.class_name(number) if images is not None else answers.classes[answers.labels[number]]
        called, never = answers.classes[now], answers.classes[truth]
        tiles.append(
            tile(
                number,
                src=images.url(number) if images is not None else "",
                label=label,
                value=f"{called} {shares['unlearned'][place][now]:.0%}",
                on=number == chosen,
                title=f"point {number}, label {label}, now called {called}; by networks that never saw it {never}",
                lines=nouns.lines(images, number),
            )
        )
    gallery(tiles, key="answers-gallery", pick=inspector.pick, hue=frame.colours().unlearned)
    st.html(
        '<p class="fs-small">Under each picture: its label, and what most unlearned networks call it now with their '
        "share.</p>"
    )
