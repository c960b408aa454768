"""Runs that belong together: the requests of one sequence, each a run of its own, found by their recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.queue.queue import Queue
from engine.queue.rows import RunRow

_VARYING = ("before", "forget")
_LISTED = 200
"""Newest runs among which the others of a sequence are looked for."""


@dataclass(frozen=True)
class Place:
    """Where a run stands in a sequence: its ``number`` from 1, and the forget set and the run of every request.

    Forget sets are plain JSON, as recipes name them.
    A request that was not run by itself, or whose run was deleted, has no run.
    """

    number: int
    forget_sets: tuple[Mapping[str, Any], ...]
    runs: tuple[RunRow | None, ...]

    @property
    def total(self) -> int:
        """Number of requests."""
        return len(self.forget_sets)


def requests(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the forget set that each request of a recipe names, in order, all plain JSON."""
    return [*recipe.get("before", ()), recipe.get("forget", {})]


def place(rows: Sequence[RunRow], row: RunRow) -> Place | None:
    """Return where ``row`` stands among ``rows``, newest first; None when it is a single request.

    A run may be the beginning of several sequences: the newest one counts.
    """
    mine = requests(row.recipe)
    kin = [(other, requests(other.recipe)) for other in rows if _base(other.recipe) == _base(row.recipe)]
    longer = [(other, sets) for other, sets in kin if len(sets) > len(mine) and sets[: len(mine)] == mine]
    # The newest continuation, and of what continues that one the longest.
    whole = max((sets for _, sets in longer if sets[: len(longer[0][1])] == longer[0][1]), key=len, default=mine)
    if len(whole) < 2:
        return None
    runs: list[RunRow | None] = []
    for end in range(1, len(whole) + 1):
        same = [other for other, sets in kin if sets == whole[:end]]
        good = [other for other in same if other.status not in ("failed", "cancelled")]
        runs.append(row if end == len(mine) else next(iter(good or same), None))
    return Place(len(mine), tuple(whole), tuple(runs))


def place_of(queue: Queue, row: RunRow) -> Place | None:
    """Return where a run stands among the newest runs of the queue; None when it is a single request."""
    return place(queue.runs(limit=_LISTED), row)


def cancel(queue: Queue, row: RunRow) -> tuple[int, list[RunRow]]:
    """Press cancel on a run and on the later requests of its sequence that the same session waits for.

    They would only carry this request out themselves. Returns how often cancel has been pressed on the run, and the
    later runs that were cancelled with it.

    Raises:
        StoreError: there is no such run.
    """
    where = place_of(queue, row)
    later = [] if where is None else where.runs[where.number :]
    rest = [other for other in later if other is not None and not other.over and other.session == row.session]
    for other in rest:
        queue.request_cancel(other.id)
    return queue.request_cancel(row.id), rest


def _base(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {part: value for part, value in recipe.items() if part not in _VARYING}
