"""The training points on a plane: colours, the table behind the map, and the map as a figure of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from engine.theme import Look, fade
from engine.views.base import Column, ViewCard, plain, styled, typed

CARD = ViewCard(
    title="Map of the training pictures",
    question="Which pictures lie together, and which of them should be forgotten?",
    how=(
        "Each dot is one training picture; pictures that resemble each other lie close together. With PCA across and "
        "up are the two directions in which the pictures vary most, scaled to -1 to 1; with UMAP only who is near whom "
        "means something, not how far apart groups lie. By pixels the pictures themselves are compared, by "
        "network what its last hidden layer sees in them. Drag with the lasso or the box to choose; Shift adds, Alt "
        "takes away. Click a dot to look closer, an entry of the legend to choose all of it."
    ),
)
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "picture": Column("Number of the training picture", "", 7),
        "label": Column("Its class", "", "cat"),
        "x": Column("Place on the map, across; scaled to -1 to 1", "no unit", 0.25),
        "y": Column("Place on the map, up; scaled like x", "no unit", -0.5),
        "chosen": Column("Whether it is chosen to be forgotten", "", True),
    }
)
"""The columns of every map; further ones are what the map can be coloured by."""
# Paul Tol's bright scheme, widened: apart for colour-blind eyes on white and, lightened, on black.
_KINDS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#8C8C8C", "#EE8866", "#332288", "#44BB99")
_KINDS_DARK = (
    *("#77AADD", "#EE6677", "#4CB862", "#DDCC55", "#99DDFF", "#CC66AA", "#B0B0B0", "#EE8866", "#8877DD", "#44BB99"),
)


def kinds(colours: Look) -> tuple[str, ...]:
    """Return ten colours for classes or clusters; with more than ten of those they come round again."""
    return _KINDS_DARK if colours.dark else _KINDS


def ramp(colours: Look) -> tuple[str, ...]:
    """Return nine colours from low to high, all of them visible on the theme's paper (viridis without one end)."""
    ends = (0.18, 1.0) if colours.dark else (0.0, 0.92)
    return tuple(sample_colorscale("Viridis", np.linspace(*ends, 9).tolist()))


def bounds(values: np.ndarray) -> tuple[float, float]:
    """Return where the colours of a column (N,) begin and end: its 1st and 99th percentile, so outliers do not rule."""
    low, high = (float(v) for v in np.nanquantile(values, (0.01, 0.99)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def frame(
    *,
    xy: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    chosen: np.ndarray,
    columns: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return one row per training point: picture, label, x, y, chosen, and each column by its name.

    ``xy`` is (N, 2), ``labels`` and every column (N,), ``chosen`` the numbers of the chosen points (F,).
    """
    mask = np.zeros(len(xy), bool)
    mask[chosen] = True
    table = pd.DataFrame(
        {
            "picture": np.arange(len(xy)),
            "label": np.asarray(classes, dtype=object)[labels],
            "x": xy[:, 0],
            "y": xy[:, 1],
            "chosen": mask,
            **{name: np.asarray(values) for name, values in columns.items()},
        }
    )
    return typed(COLUMNS, table)


def figure(
    table: pd.DataFrame, colours: Look, *, by: str = "label", layout: str = "pca", height: int = 620
) -> go.Figure:
    """Draw the map from its table, coloured by the column ``by``, the chosen points ringed."""
    made = go.Figure()
    size = 3 if len(table) > 6000 else 6
    hover = "picture %{customdata}<br>%{text}<extra></extra>"
    if table[by].dtype.kind == "f":
        low, high = bounds(table[by].to_numpy())
        marker = {
            "size": size,
            "color": table[by],
            "colorscale": list(ramp(colours)),
            "cmin": low,
            "cmax": high,
            "colorbar": {"title": plain(by), "thickness": 12, "outlinewidth": 0},
        }
        parts = [("", table, marker)]
    else:
        shades = kinds(colours)
        names = sorted(table[by].unique(), key=str) if by == "chosen" else list(dict.fromkeys(table[by]))
        parts = [
            (plain(name), table[table[by] == name], {"size": size, "color": shades[i % len(shades)]})
            for i, name in enumerate(names)
        ]
    for name, rows, marker in parts:
        made.add_scattergl(
            x=rows["x"],
            y=rows["y"],
            mode="markers",
            name=name,
            marker={**marker, "opacity": 0.8},
            text=rows["label"].map(plain),
            customdata=rows["picture"],
            hovertemplate=hover,
            showlegend=bool(name),
        )
    ringed = table[table["chosen"]]
    if len(ringed):
        ring = {"size": size + 4, "color": fade(colours.ink, 0), "line": {"color": colours.ink, "width": 1.2}}
        made.add_scattergl(
            x=ringed["x"], y=ringed["y"], mode="markers", name="chosen", marker=ring, hoverinfo="skip", showlegend=True
        )
    axis = "component" if layout == "pca" else "UMAP"
    made.update_xaxes(title=f"{axis} 1, scaled (no unit)")
    made.update_yaxes(title=f"{axis} 2, scaled (no unit)", scaleanchor="x")
    return styled(made, colours, height=height)
