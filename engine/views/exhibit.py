"""The pictures a method makes on its way, one row for each class they were made for."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.theme import SMALL, Look
from engine.views.base import Column, ViewCard, plain, styled, typed

CARD = ViewCard(
    title="What a method makes",
    question="What does the network call by a forgotten class's name least of all?",
    how=(
        "Each row holds pictures that the first network was taught under the name of one class, the ones it found "
        "least like that class. Middle grey is the data's mean and black and white lie three standard deviations "
        "away, each colour by itself. Under each stands how sure the network was of that class before: a good picture "
        "is near 0, where it says everything the network holds against the name; near 1, it has learned nothing."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "class": Column("The class under whose name the pictures were taught", "", "cat"),
        "picture": Column("Number of the picture among those of its class, from 1", "", 1),
        "probability": Column("How sure the original network was that the picture shows its class", "", 0.125),
    }
)
SPREAD = 3.0
"""Standard deviations of the data from grey to black or white."""
_GAP = 1
"""Empty pixels between two pictures of a row."""


def card(method: str, what: str) -> ViewCard:
    """Return the card for ``method``, which makes ``what`` ("the noise it learns")."""
    return dataclasses.replace(CARD, title=f"{method}: {what}")


def frame(measurement: Measurement) -> pd.DataFrame:
    """Return class, picture (from 1) and the original's probability of the class, one row for each picture."""
    sure, names = measurement.arrays["sure"], measurement.facts["names"]  # (K, n)
    classes, each = sure.shape
    table = pd.DataFrame(
        {
            "class": np.repeat(np.asarray(names, dtype=object), each),
            "picture": np.tile(np.arange(1, each + 1), classes),
            "probability": sure.ravel(),
        }
    )
    return typed(COLUMNS, table)


def beside(measurement: Measurement) -> dict[str, Any]:
    """Return what the figure shows besides its table: the pictures themselves."""
    return {"pictures": measurement.arrays["pictures"]}


def montage(pictures: np.ndarray) -> np.ndarray:
    """Return normalised pictures (K, n, c, h, w) as one image, uint8 (H, W, 3 or 4), with clear gaps between them."""
    rows, each, channels, height, width = pictures.shape
    shown = (127.5 * (1 + pictures / SPREAD)).round().clip(0, 255).astype(np.uint8)
    if channels != 3:  # one channel is grey; of others the first is
        shown = np.repeat(shown[:, :, :1], 3, axis=2)
    high, wide = rows * (height + _below(height)), each * (width + _GAP) - _GAP
    paper = np.zeros((high, wide, 4), np.uint8)
    for k in range(rows):
        for i in range(each):
            y, x = k * (height + _below(height)), i * (width + _GAP)
            paper[y : y + height, x : x + width, :3] = shown[k, i].transpose(1, 2, 0)
            paper[y : y + height, x : x + width, 3] = 255
    return paper


def figure(table: pd.DataFrame, colours: Look, *, pictures: np.ndarray | None = None) -> go.Figure:
    """Draw the pictures (K, n, c, h, w), classes downwards, with each one's probability under it.

    Without pictures, their places are grey.
    """
    if pictures is None:
        each = int(table["picture"].max()) if len(table) else 1
        pictures = np.zeros((max(1, len(table) // each), each, 1, 8, 8), np.float32)
    rows, each, _, height, width = pictures.shape
    figure = go.Figure(go.Image(source=_png(montage(pictures)), hoverinfo="skip"))
    for at, (k, i) in enumerate((k, i) for k in range(rows) for i in range(each)):
        figure.add_annotation(
            x=i * (width + _GAP) + (width - 1) / 2,
            y=k * (height + _below(height)) + height - 0.5,
            text=_written(table["probability"].iloc[at]) if at < len(table) else "",
            showarrow=False,
            yanchor="top",
            font={"size": SMALL, "color": colours.quiet},
        )
    figure.update_xaxes(
        title_text="picture",
        tickvals=[i * (width + _GAP) + (width - 1) / 2 for i in range(each)],
        ticktext=[str(i + 1) for i in range(each)],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(
        title_text="taught as class",
        tickvals=[k * (height + _below(height)) + (height - 1) / 2 for k in range(rows)],
        ticktext=[plain(name) for name in table["class"].iloc[::each]],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    return styled(figure, colours, height=96 + 120 * rows)


def _png(paper: np.ndarray) -> str:
    """Return an image (H, W, 4) as a ``data:`` URL: as numbers in JSON a few large pictures would be megabytes."""
    from PIL import Image  # only a page that shows such pictures pays for it

    out = io.BytesIO()
    Image.fromarray(paper).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _below(height: int) -> int:
    """Return the empty pixels under a row, where the numbers stand."""
    return max(2, height // 4)


def _written(probability: float) -> str:
    if not np.isfinite(probability):
        return ""
    return f"{probability:.3f}" if probability >= 0.001 else "< 0.001"
