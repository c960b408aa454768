"""Colours and chart style: three hues that mean the same thing on every page, in light and in dark.

Hue says *which networks* (original, unlearned, oracle); line style and marker say *which pictures* (forget, retain,
test). The hues are Okabe and Ito's vermilion, blue and bluish green, which stay apart for colour-blind eyes; in the
dark they are lighter. Each keeps a contrast of at least 3:1 against its paper (tested).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import plotly.graph_objects as go

FONT = '"Source Sans", "Source Sans Pro", "Segoe UI", system-ui, sans-serif'
SMALL = 13
"""Pixels of the smallest text in a chart and on a page: what the back row of a room still reads."""

DASH: Mapping[str, str] = MappingProxyType({"forget": "solid", "retain": "dash", "test": "dot", "earlier": "dashdot"})
MARKER: Mapping[str, str] = MappingProxyType(
    {"forget": "circle", "retain": "square", "test": "diamond", "earlier": "cross"}
)


@dataclass(frozen=True)
class Look:
    """The colours of one theme, as ``#rrggbb``.

    ``ink`` writes, ``quiet`` writes what matters less, ``line`` draws grids, ``paper`` lies behind everything, ``bad``
    marks what went wrong.
    """

    dark: bool
    original: str
    unlearned: str
    oracle: str
    ink: str
    quiet: str
    line: str
    paper: str
    bad: str

    def hue(self, role: str) -> str:
        """Return the colour of ``original``, ``unlearned`` or ``oracle``."""
        return {"original": self.original, "unlearned": self.unlearned, "oracle": self.oracle}[role]


LIGHT = Look(
    dark=False,
    original="#D55E00",
    unlearned="#0072B2",
    oracle="#009E73",
    ink="#1B2430",
    quiet="#667180",
    line="#E2E5E9",
    paper="#FFFFFF",
    bad="#B3123C",
)
DARK = Look(
    dark=True,
    original="#F08A3C",
    unlearned="#56B4E9",
    oracle="#2FC08F",
    ink="#E4E9EF",
    quiet="#97A3B0",
    line="#2B343F",
    paper="#11161C",
    bad="#FF6B81",
)


def look(*, dark: bool) -> Look:
    """Return the colours for a dark or a light page."""
    return DARK if dark else LIGHT


def fade(colour: str, alpha: float) -> str:
    """Return ``#rrggbb`` as an ``rgba(...)`` colour with this opacity (0 to 1)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def template(colours: Look) -> go.layout.Template:
    """Return the plotly template every figure uses: transparent, thin lines, no zero lines, quiet axes."""
    axis = {
        "gridcolor": colours.line,
        "linecolor": colours.line,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"color": colours.quiet, "size": SMALL},
        "title": {"font": {"color": colours.quiet, "size": SMALL}, "standoff": 8},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": colours.ink},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": [colours.original, colours.unlearned, colours.oracle],
            "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": SMALL}},
            "hoverlabel": {
                "bgcolor": colours.paper,
                "bordercolor": colours.line,
                "font": {"family": FONT, "color": colours.ink, "size": SMALL},
            },
            "annotationdefaults": {"font": {"color": colours.quiet, "size": SMALL}, "showarrow": False},
            "dragmode": False,
            "clickmode": "event",
        }
    )
