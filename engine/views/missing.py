"""Missing targets: when each forgotten picture reaches where the oracles stand, and which are pushed past it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.theme import SMALL, Look, fade
from engine.views.base import Column, ViewCard, plain, styled, typed

CARD = ViewCard(
    title="When does each picture pass its target?",
    question="Do all forgotten pictures come to where networks that never saw them stand, and do they stay there?",
    how=(
        "One line for each forgotten picture: 1 is on target, the mean margin of networks that never saw it; 0.6 is "
        "one standard deviation of those networks away, on either side. Good is every line at 1 on the right. Red "
        "lines were closer before than they are at the end: training longer hurt them, and no one stopping point suits "
        "all."
    ),
)
STATES = ("reached", "undershot", "overshot")
COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "method": Column("The method's id in its run", "", "scrub"),
        "name": Column("The method with its settings", "", "SCRUB"),
        "point": Column("The picture's number", "", 17),
        "share": Column("Examples seen so far as a share of the method's run", "", 0.5),
        "z": Column("Mean margin less the oracles' mean, in the oracles' standard deviations", "", 1.5),
        "quality": Column("Nearness to the target, exp(-z^2 / 2): 1 on target", "", 0.8),
        "state": Column("Where it ends: within one standard deviation, before or past it", "", "reached", STATES),
        "hurt": Column("Whether its quality ends below 0.9 of its best", "", False),
        "best": Column("Share of the run at which its quality is best", "", 0.4),
    }
)
HURT = 0.9
"""A picture is hurt by training longer when its quality ends below this share of its best (paper 003, figure 2)."""
_LOG_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Way:
    """Mean ``margins`` (frames, n) of followed ``points`` (n,) after ``seen`` (frames,) examples of each network.

    ``target`` (n,) and ``spread`` (n,) are mean and standard deviation of the oracles' margins.
    """

    method: str
    name: str
    margins: np.ndarray
    seen: np.ndarray
    points: np.ndarray
    target: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(
        cls,
        method: str,
        name: str,
        *,
        parts: Sequence[np.ndarray],
        models: Sequence[int],
        seen: np.ndarray,
        points: np.ndarray,
        oracle: np.ndarray,
    ) -> Self:
        """Return the way of ``parts`` (frames, n) of so many ``models`` each, and of oracles' margins (M, n).

        Parts with other frames than the first, of networks that stopped earlier, are left out.
        """
        alike = [(part, size) for part, size in zip(parts, models, strict=True) if part.shape == parts[0].shape]
        weights = np.array([size for _, size in alike], np.float64)
        ways = np.stack([np.asarray(part, np.float64) for part, _ in alike])  # (parts, frames, n)
        return cls(
            method,
            name,
            margins=np.tensordot(weights / weights.sum(), ways, axes=1),
            seen=seen,
            points=points,
            target=oracle.mean(axis=0, dtype=np.float64),
            spread=oracle.std(axis=0, dtype=np.float64),
        )

    @property
    def z(self) -> np.ndarray:
        """How far each point is from its target, in the oracles' standard deviations: (frames, n)."""
        return (self.margins - self.target) / np.maximum(self.spread, 1e-6)

    @property
    def share(self) -> np.ndarray:
        """How much of the run is done at each frame: (frames,)."""
        return self.seen / max(1, int(self.seen[-1]))

    def at(self, points: np.ndarray) -> Way:
        """Return the way of those of the followed points that are among ``points``."""
        here = np.flatnonzero(np.isin(self.points, points))
        return Way(
            self.method,
            self.name,
            margins=self.margins[:, here],
            seen=self.seen,
            points=self.points[here],
            target=self.target[here],
            spread=self.spread[here],
        )


def frame(ways: Sequence[Way]) -> pd.DataFrame:
    """Return one row per method, point and frame of its run."""
    parts = []
    for way in ways:
        z = way.z  # (frames, n)
        frames, n = z.shape
        if not n:
            continue
        quality = np.exp(-(z**2) / 2)
        best, final = quality.max(axis=0), quality[-1]
        # "Past" is the side of the target that the point did not start on.
        start = np.where(z[0] >= 0, 1.0, -1.0)
        end = z[-1] * start
        state = np.where(np.abs(z[-1]) <= 1, "reached", np.where(end > 0, "undershot", "overshot"))
        parts.append(
            pd.DataFrame(
                {
                    "method": way.method,
                    "name": way.name,
                    "point": np.tile(way.points, frames),
                    "share": np.repeat(way.share, n),
                    "z": z.ravel(),
                    "quality": quality.ravel(),
                    "state": np.tile(state, frames),
                    "hurt": np.tile(final < HURT * best, frames),
                    "best": np.tile(way.share[quality.argmax(axis=0)], frames),
                }
            )
        )
    empty = pd.DataFrame({name: [] for name in COLUMNS})
    return typed(COLUMNS, pd.concat(parts, ignore_index=True) if parts else empty)


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each method and point."""
    return table[table["share"] == table.groupby("method")["share"].transform("max")].drop_duplicates(
        ["method", "point"]
    )


def sentence(table: pd.DataFrame) -> str:
    """Say how many of one method's pictures were right at some step, and how many are at the end."""
    last = ends(table)
    ever = table[table["z"].abs() <= 1]["point"].nunique()
    right, short, past = (int((last["state"] == state).sum()) for state in STATES)
    return (
        f"{ever} of {len(last)} pictures were right at some step, {right} are right at the end: {short} stop before "
        f"their target, {past} are pushed past it. {int(last['hurt'].sum())} were closer before."
    )


def example() -> pd.DataFrame:
    """Return two methods of which one overshoots."""
    z = np.array([[3.0, 2.0], [0.1, 1.0], [-2.0, 0.2]])
    about = {"seen": np.array([0, 10, 20]), "points": np.array([4, 9]), "spread": np.ones(2), "target": np.zeros(2)}
    return frame([Way("first", "First", margins=z, **about), Way("second", "Second", margins=z / 9, **about)])


def figure(
    table: pd.DataFrame, colours: Look, *, log: bool = False, mark: float | None = None, point: int | None = None
) -> go.Figure:
    """Draw a panel per method: quality of every point along the run, hurt ones in red.

    ``mark`` draws a line at a share of the run, ``point`` makes one line thick.
    """
    names = list(dict.fromkeys(zip(table["method"], table["name"], strict=True)))
    columns = 2 if len(names) in (2, 4) else max(1, min(3, len(names)))
    rows = max(1, -(-len(names) // columns))
    made = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.12,
        subplot_titles=[plain(name) for _, name in names],
    )
    for place, (method, _) in enumerate(names):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        part = table[table["method"] == method]
        for hurt, hue, title in (
            (False, colours.hue("unlearned"), "stays"),
            (True, colours.bad, "hurt by longer training"),
        ):
            some = part[part["hurt"] == hurt]
            x, y = _lines(some, log=log)
            made.add_scatter(
                **at,
                x=x,
                y=y,
                mode="lines",
                name=title,
                legendgroup=title,
                showlegend=place == 0,
                line={"color": fade(hue, 0.45), "width": 1},
                hoverinfo="skip",
            )
        if point is not None and (part["point"] == point).any():
            x, y = _lines(part[part["point"] == point], log=log)
            made.add_scatter(
                **at,
                x=x,
                y=y,
                mode="lines+markers",
                name=f"picture {point}",
                legendgroup="picture",
                showlegend=place == 0,
                line={"color": colours.ink, "width": 2.5},
                hovertemplate="%{x:.0f} % of the run: quality %{y:.2f}<extra></extra>",
            )
        if mark is not None:
            made.add_vline(x=100 * mark, line={"color": colours.quiet, "width": 1, "dash": "dot"}, **at)
    made.update_xaxes(fixedrange=True, range=[-2, 102])
    made.update_yaxes(fixedrange=True, **({"type": "log"} if log else {"range": [-0.03, 1.05]}))
    for column in range(1, columns + 1):
        made.update_xaxes(title_text="share of the run (%)", row=rows, col=column)
    for row in range(1, rows + 1):
        made.update_yaxes(title_text=f"quality (1 is on target{', log' if log else ''})", row=row, col=1)
    made.update_annotations(font={"size": SMALL, "color": colours.quiet})
    made = styled(made, colours, height=120 + 250 * rows)
    return made.update_layout(legend={"y": 1.12 if rows == 1 else 1.06}, margin={"t": 70})


def _lines(table: pd.DataFrame, *, log: bool) -> tuple[list[float | None], list[float | None]]:
    """Return the points' lines as one, with a gap between each two."""
    x: list[float | None] = []
    y: list[float | None] = []
    for _, one in table.groupby("point", sort=False):
        quality = one["quality"].clip(lower=_LOG_FLOOR) if log else one["quality"]
        x += [*(100 * one["share"]).tolist(), None]
        y += [*quality.tolist(), None]
    return x, y
