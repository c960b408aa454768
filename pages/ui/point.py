"""One point: its picture, what three ensembles say of it, and the numbers that compare them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from engine.metrics.base import MetricError
from engine.metrics.two_sample import TwoSample, kolmogorov_smirnov, welch
from engine.store import StoreError
from engine.theme import Look
from engine.views import margins
from engine.views.base import SPLIT_TITLES
from pages.ui import results, say, show, workspace


def panel(result: results.Result, number: int, *, subject: str) -> None:
    """Show the point ``number`` under this method."""
    show.heading(margins.CARD)
    try:
        arrays, found = result.arrays(), result.margins(number)
    except StoreError as error:
        st.warning(f"This point's margins cannot be shown: {say.plain(error)}")
        return
    st.html(_picture(result, number, arrays, found))
    table = margins.frame(**{role: found[role] for role in margins.ROLES})

    def draw(colours: Look) -> Any:
        return margins.figure(table, colours)

    show.chart(draw, "margins", alt=f"Margins of point {number} under three ensembles")
    show.behind(margins.CARD, "margins", table, draw, subject=f"point {number}; {subject}")


def _picture(result: results.Result, number: int, arrays: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> str:
    images = workspace.pictures(result.data_hash)
    image = label = ""
    if images is not None:
        label = images.class_name(number)
        image = f'<img src="{say.escaped(images.url(number))}" alt="picture of point {number}, {say.escaped(label)}">'
    floor = arrays["floor"][number]
    rows = [
        ("Point", f"{number}, {SPLIT_TITLES[result.split_of(number)].lower()}" + (f", label {label}" if label else "")),
        ("KLOM", f"{arrays['klom'][number]:.2f}" + (f", floor {floor:.2f}" if np.isfinite(floor) else "")),
        ("KS distance", _test(kolmogorov_smirnov, found)),
        ("Welch t", _test(welch, found)),
    ]
    told = "".join(f"<dt>{say.escaped(k)}</dt><dd>{say.escaped(v)}</dd>" for k, v in rows)
    return f'<div class="fs-picture" id="fs-point">{image}<dl>{told}</dl></div>'


def _test(test: Callable[..., TwoSample], found: dict[str, np.ndarray]) -> str:
    """Return statistic and p-value of the unlearned networks against the oracles."""
    try:
        told = test(oracle=found["oracle"], unlearned=found["unlearned"])
    except MetricError as error:
        return str(error)
    return f"{told.statistic:.2f}, p {'< 0.001' if told.p < 0.001 else f'= {told.p:.3f}'}"
