"""How much hangs on one setting: KLOM of a sweep over one knob, per split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from engine import metrics
from engine.metrics import scores
from engine.metrics.scores import Scores
from engine.records import SPLITS
from engine.theme import DASH, Look
from engine.views.base import SPLIT_TITLES, Column, ViewCard, of_metrics, plain, styled, tidy

CARD = ViewCard(
    title="How much hangs on one setting?",
    question="Is there a range of this setting in which the method forgets without harming what is kept?",
    how=(
        "Each line is KLOM on one split over the values of one setting; the others are as they are. Good is a range in "
        "which the forget line is low while the retain and test lines still are: where all three lie below the dotted "
        "line. A narrow valley is a method that must be tuned for every forget set."
    ),
)
LIMIT = 6.0
"""The paper calls a setting usable when the 95th percentile lies below this on a split (003, appendix H.1)."""
FEWEST = 3
"""Values that make a line worth drawing."""
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "setting": Column("The setting that varies", "", "learning rate"),
        "value": Column("Its value, in its own unit", "", 0.001),
        "split": Column("Which points it is measured on", "", "forget", SPLITS),
    }
)


def documented() -> Mapping[str, Column]:
    """Return all columns of the table: :data:`COLUMNS` and the headline metric."""
    return {**COLUMNS, **of_metrics([_column()])}


def _column() -> scores.Column:
    return next(column for column in scores.columns(metrics.headline(), ("value",)) if column.name == _name())


def _name() -> str:
    return metrics.headline().key


def varied(chosen: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Return the numeric setting in which most of ``others`` differ from ``chosen`` and from nothing else; "" if none.

    Each is a method's choice as JSON: its key and settings.
    """
    counts: dict[str, set[float]] = {}
    for other in others:
        if other["key"] != chosen["key"]:
            continue
        apart = [name for name in {*chosen, *other} if chosen.get(name) != other.get(name)]
        value = other.get(apart[0]) if len(apart) == 1 else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            counts.setdefault(apart[0], set()).add(float(value))
    fitting = {name: len(values) + 1 for name, values in counts.items() if len(values) + 1 >= FEWEST}
    return max(fitting, key=fitting.__getitem__) if fitting else ""


def frame(setting: str, runs: Sequence[tuple[float, Scores]]) -> pd.DataFrame:
    """Return one row per value of a setting and split, by rising value."""
    rows = []
    for value, measured in sorted(runs, key=lambda run: run[0]):
        for row in measured.wide():
            if row["split"] in SPLITS:
                rows.append({"setting": setting, "value": value, "split": row["split"], _name(): row[_name()]})
    return tidy(documented(), rows)


def figure(table: pd.DataFrame, colours: Look) -> go.Figure:
    """Draw a line per split over the setting, on a log scale where it spans more than a factor of ten."""
    made = go.Figure()
    values = table["value"]
    wide = len(values) > 0 and float(values.min()) > 0 and float(values.max()) > 10 * float(values.min())
    for split, part in table.groupby("split", sort=False):
        title = SPLIT_TITLES.get(str(split), str(split))
        made.add_scatter(
            x=part["value"],
            y=part[_name()],
            mode="lines+markers",
            name=title,
            line={"color": colours.hue("unlearned"), "width": 2, "dash": DASH.get(str(split), "solid")},
            marker={"size": 8},
            hovertemplate=f"{title}<br>%{{x:.3g}}: %{{y:.2f}}<extra></extra>",
        )
    made.add_hline(y=LIMIT, line={"color": colours.quiet, "width": 1, "dash": "dot"})
    names = [plain(name) for name in dict.fromkeys(table["setting"])]
    made.update_xaxes(title_text=names[0] if names else "setting", type="log" if wide else "linear", fixedrange=True)
    made.update_yaxes(title_text=metrics.headline().axis(), rangemode="tozero", fixedrange=True)
    made = styled(made, colours, height=320)
    return made.update_layout(legend={"y": 1.2}, margin={"t": 50})
