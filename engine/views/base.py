"""What every view shares: its card, the meaning of its columns, the KLOM axis, and a figure as a file."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io

from engine.metrics import scores
from engine.theme import LIGHT, Look, template

CEILING = 11.512925
"""KLOM of two ensembles that share no bin: ln(1 / 1e-5)."""
KLOM_RANGE = (-0.25, 12.25)
"""The same axis in every figure, so that figures of two runs can be laid side by side."""
SPLIT_TITLES: Mapping[str, str] = MappingProxyType(
    {"forget": "Forget set", "retain": "Retain set", "test": "Test set", "earlier": "Forgotten earlier"}
)

CHART_CONFIG: Mapping[str, Any] = MappingProxyType(
    {
        "displaylogo": False,
        "showSendToCloud": False,
        "displayModeBar": False,
        "responsive": True,
        "scrollZoom": False,
        "doubleClick": False,
    }
)
"""Plotly settings of every chart on a page: no toolbar, nothing sent anywhere."""


@dataclass(frozen=True)
class ViewCard:
    """A view in words: its title, the question it answers, and how to read it in two sentences."""

    title: str
    question: str
    how: str


@dataclass(frozen=True)
class Column:
    """A column of a view's table: what it means, its unit, and a value as it may occur.

    ``unit`` is what stands in the title of an axis that shows the column ("nats", "networks"); "" for a share, a name
    or the number of a point. The type of ``example`` (str, bool, int or float) is the column's type: only a float may
    be missing. ``among`` lists the values of a column of names that has few, the splits for instance.
    """

    meaning: str
    unit: str
    example: str | bool | int | float
    among: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """The meaning with its unit, for a column's heading on a page."""
        return f"{self.meaning} ({self.unit})." if self.unit else f"{self.meaning}."


def of_metrics(columns: Sequence[scores.Column]) -> dict[str, Column]:
    """Return the columns of metrics with the meaning and the unit of their cards."""
    return {
        column.name: Column(
            column.help.removesuffix("."),
            "" if column.metric.form == "percent" else column.metric.card.unit,
            0.5 + place / 64,
        )
        for place, column in enumerate(columns)
    }


def tidy(columns: Mapping[str, Column], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with exactly ``columns``, in their order and types; a number that a row lacks is NaN.

    Raises:
        ValueError: a row has a value that no column holds, or lacks one that may not be missing.
    """
    held = list(rows)
    if strange := {name for row in held for name in row} - set(columns):
        raise ValueError(f"no column holds {', '.join(sorted(strange))}")
    series = {}
    for name, column in columns.items():
        values = [row.get(name) for row in held]
        if isinstance(column.example, float):
            values = [float("nan") if value is None else float(value) for value in values]
        elif None in values:
            raise ValueError(f"a row lacks its {name}")
        series[name] = pd.Series(values, dtype=_dtype(column))
    return pd.DataFrame(series)


def typed(columns: Mapping[str, Column], table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with ``columns`` in their order and types, followed by further ones as they are.

    For tables made of whole arrays, which :func:`tidy` would take apart.
    """
    further = [name for name in table.columns if name not in columns]
    return table[[*columns, *further]].astype({name: _dtype(column) for name, column in columns.items()})


def _dtype(column: Column) -> str:
    return {bool: "bool", int: "int64", float: "float64", str: "str"}[type(column.example)]


def largest(values: pd.DataFrame | pd.Series, default: float = 0.0) -> float:
    """Return the largest number that is known, ``default`` when none is."""
    numbers = values.to_numpy(dtype=float)
    known = numbers[np.isfinite(numbers)]
    return float(known.max()) if known.size else default


def number(value: float, form: str = ".2f") -> str:
    """Return a number as text, "not measured" when it is missing."""
    return "not measured" if np.isnan(value) else format(value, form)


def plain(text: object) -> str:
    """Return a text without the characters that plotly reads as markup."""
    return "".join(c for c in str(text) if c not in "<>&")


def styled(figure: go.Figure, colours: Look, *, height: int) -> go.Figure:
    """Give a figure the house style and a fixed height in pixels, and return it."""
    figure.update_layout(template=template(colours), height=height)
    return figure


def as_html(figure: go.Figure, card: ViewCard, *, subject: str) -> bytes:
    """Return a self-contained page with the figure, its question, how to read it and what it was measured on.

    Needs no network: plotly.js lies inside (4.8 MB). Always on white paper.
    """
    copy = go.Figure(figure)
    copy.update_layout(paper_bgcolor=LIGHT.paper, plot_bgcolor=LIGHT.paper)
    body = plotly.io.to_html(
        copy,
        include_plotlyjs="inline",
        full_html=False,
        config={"displaylogo": False, "showSendToCloud": False, "responsive": True},
    )
    title, question, how, about = (html.escape(text) for text in (card.title, card.question, card.how, subject))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:15px/1.5 system-ui,sans-serif;color:#1B2430;max-width:1100px;margin:2rem auto;"
        "padding:0 1rem}h1{font-size:1.3rem;margin:0}p{margin:.3rem 0;color:#667180}</style></head><body>"
        f"<h1>{title}</h1><p>{question}</p>{body}<p>{how}</p><p>{about}</p></body></html>"
    ).encode()
