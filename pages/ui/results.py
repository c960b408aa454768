"""What a run measured, as arrays for the views; margins are read for a point, or a sample of points, at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from engine.metrics.klom import CONVENTIONS
from engine.queue import ResultRow, RunRow
from engine.records import EARLIER
from engine.store import Artefact, Part, StoreError, default_store
from engine.views import enough, headline, trajectory
from pages.ui import say, workspace

ROLES = ("original", "unlearned", "oracle", "floor")


@dataclass(frozen=True)
class Result:
    """The newest numbers of one method of a run."""

    run: str
    method: str
    name: str
    models: int
    payload: Mapping[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row of numbers per split, in the convention that was asked for."""
        return list(self.payload["rows"])

    @property
    def convention(self) -> str:
        """The KLOM convention that was asked for."""
        return str(self.rows[0].get("convention") or CONVENTIONS[0])

    @property
    def data_hash(self) -> str:
        """The hash of the data set it was measured on."""
        return str(self.payload["spec"]["unlearned"]["original"]["data"])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``klom``, ``floor``, ``klom_other`` and ``floor_other``, each (P,); NaN where nothing was stored.

        Raises:
            StoreError: they are gone from the store or damaged; in words.
        """
        return _arrays(str(default_store()), self.run, self.method, self.models, self.payload["spec"])

    def values(self, convention: str) -> tuple[np.ndarray, np.ndarray]:
        """Return KLOM and floor at every point, each (P,), in a convention.

        Raises:
            StoreError: as :meth:`arrays`.
        """
        found, other = self.arrays(), "" if convention == self.convention else "_other"
        return found[f"klom{other}"], found[f"floor{other}"]

    def rows_in(self, convention: str) -> list[dict[str, Any]]:
        """Return one row of numbers per split in a convention; one that was not asked for has no intervals.

        Raises:
            StoreError: as :meth:`arrays`.
        """
        if convention == self.convention:
            return self.rows
        klom, floor = self.values(convention)
        return headline.recomputed(self.rows, klom=klom, floor=floor, points=self.points(), convention=convention)

    def points(self) -> dict[str, np.ndarray]:
        """Return the points of each split; at a later request of a sequence also what earlier ones removed."""
        train, total = int(self.payload["train"]), len(self.arrays()["klom"])
        forget = np.asarray(self.payload["forget"], dtype=np.int64)
        earlier = np.asarray(self.payload.get("earlier", ()), dtype=np.int64)
        return {
            "forget": forget,
            "retain": np.setdiff1d(np.arange(train), np.union1d(forget, earlier)),
            "test": np.arange(train, total),
            **({EARLIER: earlier} if len(earlier) else {}),
        }

    def split_of(self, point: int) -> str:
        """Return the split a point belongs to."""
        if point >= int(self.payload["train"]):
            return "test"
        if point in set(self.payload.get("earlier", ())):
            return EARLIER
        return "forget" if point in set(self.payload["forget"]) else "retain"

    def margins(self, point: int, roles: Sequence[str] = ROLES) -> dict[str, np.ndarray]:
        """Return the margins (m,) on one point of originals, unlearned networks, oracles and second oracles.

        Raises:
            StoreError: they are gone from the store or damaged; in words.
        """
        return {role: self._column(role, "margins", point) for role in roles}

    def right(self, point: int) -> dict[str, float]:
        """Return the share of networks that answer right on one point, for originals, unlearned networks and oracles.

        Empty when the store does not hold the answers.
        """
        try:
            return {role: float(self._column(role, "correct", point).mean()) for role in ROLES[:3]}
        except StoreError:
            return {}

    def track(self, point: int) -> trajectory.Track | None:
        """Return the way of one point along the method's run; None when this point was not followed.

        Raises:
            StoreError: the parts are gone from the store or damaged; in words.
        """
        parts = []
        for part in self._parts("unlearned"):
            names = ("trajectory", "trajectory_points", "trajectory_seen")
            parts.append({**{n: part.array(n) for n in names}, "models": len(part.array("margins"))})
        found = trajectory.averaged(parts, point)
        return None if found is None else trajectory.Track(self.method, self.name, *found)

    def by_size(self, convention: str) -> pd.DataFrame:
        """Return KLOM and floor with fewer of the models, as :func:`engine.views.enough.frame` does.

        Raises:
            StoreError: the margins are gone from the store or damaged; in words.
            MetricError: too few sound models; in words.
        """
        return _by_size(str(default_store()), self.run, self.method, self.models, convention, self)

    def _place(self, role: str) -> tuple[str, Mapping[str, Any]]:
        spec = self.payload["spec"]
        return {
            "original": ("trained", spec["unlearned"]["original"]),
            "unlearned": ("unlearned", spec["unlearned"]),
            "oracle": ("trained", spec["oracle"]),
            "floor": ("trained", spec["floor"]),
        }[role]

    def _parts(self, role: str) -> list[Part]:
        kind, spec = self._place(role)
        artefact = workspace.store().artefact(kind, spec)
        return [_part(str(artefact.path), name, artefact) for name in self.payload["parts"]]

    def _column(self, role: str, array: str, points: int | np.ndarray) -> np.ndarray:
        """Return one array of all parts at one point (m,) or at some (m, n)."""
        return np.concatenate([np.array(part.array(array)[:, points]) for part in self._parts(role)])  # (m,) or (m, n)


@st.cache_resource(max_entries=1024, ttl=600, show_spinner=False)
def _part(path: str, name: str, _artefact: Artefact) -> Part:  # noqa: ARG001
    """Return a part that was checked within the last ten minutes: a page looks at many, once for each picture."""
    return _artefact.read(name)


@st.cache_resource(max_entries=24, show_spinner=False)
def _arrays(
    store_path: str,  # noqa: ARG001 - part of the cache's key
    run: str,  # noqa: ARG001
    method: str,  # noqa: ARG001
    models: int,  # noqa: ARG001
    _spec: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    part = workspace.store().artefact("evaluation", _spec).read("whole")
    found = {name: np.array(part.array(name)) for name in ("klom", "floor", "klom_other")}
    # Runs measured before the floor was kept in both conventions have it in one.
    missing = np.full_like(found["klom"], np.nan)
    return {**found, "floor_other": np.array(part.array("floor_other")) if "floor_other.npy" in part.files else missing}


@st.cache_resource(max_entries=48, show_spinner=False)
def _by_size(
    store_path: str,  # noqa: ARG001 - part of the cache's key
    run: str,  # noqa: ARG001
    method: str,  # noqa: ARG001
    models: int,  # noqa: ARG001
    convention: Any,
    _result: Result,
) -> pd.DataFrame:
    chosen = enough.sampled(_result.points())
    columns = np.concatenate(list(chosen.values()))  # (n,)
    ends = np.cumsum([0, *map(len, chosen.values())])
    return enough.frame(
        oracle=_result._column("oracle", "margins", columns),
        second=_result._column("floor", "margins", columns),
        unlearned=_result._column("unlearned", "margins", columns),
        splits={split: np.arange(ends[i], ends[i + 1]) for i, split in enumerate(chosen)},
        convention=convention,
    )


def results(run: RunRow) -> list[Result]:
    """Return the newest result of each method of a run, in the order of its recipe."""
    rows: dict[str, ResultRow] = {row.method_id: row for row in workspace.queue().results(run.id)}
    return [
        Result(run.id, method, name, rows[method].models, rows[method].payload)
        for method, name in say.method_names(workspace.words(), run.recipe).items()
        if method in rows
    ]


def version(run: RunRow) -> str:
    """Return a short text that changes when there is something new to draw."""
    found: Sequence[ResultRow] = workspace.queue().results(run.id)
    return f"{run.status}:{sum(row.models for row in found)}:{len(found)}"
