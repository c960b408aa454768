"""The picture on the Start page: one forgotten digit under three ensembles, as the demo measured it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.theme import Look
from engine.views import margins
from pages.ui import frame, say, show


@st.cache_data(max_entries=1, show_spinner=False)
def _example() -> dict[str, Any]:
    return json.loads((frame.ASSETS / "example.json").read_text("utf-8"))


def _figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    drawn = margins.figure(table, colours, height=210)
    drawn.update_layout(margin={"l": 0, "r": 0, "t": 24, "b": 0})
    drawn.update_yaxes(visible=False)
    drawn.update_xaxes(title_text="how sure of the right class (margin)", showgrid=False)
    return drawn


def draw() -> None:
    """Show the digit and its three histograms, with one sentence that says what to see."""
    example = _example()
    table = margins.frame(**{role: np.asarray(example[role]) for role in margins.ROLES})
    picture, chart = st.columns([1, 5], vertical_alignment="center")
    picture.html(
        f'<div class="fs-picture fs-example"><img src="{say.escaped(example["picture"])}" alt="a handwritten '
        f'{say.escaped(example["label"])}"></div>'
    )
    with chart:
        show.chart(partial(_figure, table), "example", alt="Margins of one forgotten digit under three ensembles")
    st.html(
        f'<p class="fs-small">One forgotten {say.escaped(example["label"])}, {example["models"]} networks each. '
        f'<b style="color:{frame.colours().unlearned}">Unlearned</b> ({say.escaped(example["method"])}) should lie on '
        f'<b style="color:{frame.colours().oracle}">oracle</b>, which never saw it. '
        f"KLOM {example['klom']:.1f}; retraining itself gives {example['floor']:.1f} (the floor).</p>"
    )
