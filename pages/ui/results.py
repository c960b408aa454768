"""What a run measured, as arrays for the views; margins are read for a point, or a sample of points, at a time."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from engine.cards import MethodFacts
from engine.metrics.scores import Scores
from engine.queue import ResultRow, RunRow
from engine.records import EARLIER
from engine.specs import WHOLE, Evaluation, ForgetSet
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
    facts: MethodFacts

    @property
    def scores(self) -> Scores:
        """The scores of every metric, in the run's convention."""
        return Scores.from_json(self.payload["scores"])

    @property
    def convention(self) -> str:
        """The run's KLOM convention."""
        return self.scores.convention

    @property
    def data_hash(self) -> str:
        """The hash of the data set it was measured on."""
        return self.spec.unlearned.original.data

    @functools.cached_property
    def spec(self) -> Evaluation:
        """What its numbers were measured on."""
        return Evaluation.from_json(self.payload["spec"])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``klom``, ``floor``, ``klom_other`` and ``floor_other``, each (P,).

        Raises:
            StoreError: they are gone from the store or damaged; in words.
        """
        return _arrays(str(default_store()), self.run, self.method, self.models, self.spec)

    def values(self, convention: str) -> tuple[np.ndarray, np.ndarray]:
        """Return KLOM and floor at every point, each (P,), in a convention.

        Raises:
            StoreError: as :meth:`arrays`.
        """
        arrays, other = self.arrays(), "" if convention == self.convention else "_other"
        return arrays[f"klom{other}"], arrays[f"floor{other}"]

    def scores_in(self, convention: str) -> Scores:
        """Return the scores of every metric in a convention; only the run's own has intervals.

        Raises:
            StoreError: as :meth:`arrays`.
        """
        if convention == self.convention:
            return self.scores
        klom, floor = self.values(convention)
        return self.scores.recomputed(klom=klom, floor=floor, points=self.points(), convention=convention)

    def removed(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the training indices that the run forgets, (F,), and those that earlier requests removed, (E,).

        Raises:
            StoreError: they are gone from the store or damaged; in words.
        """
        forget = ForgetSet.from_json(self.payload["forget"])
        return _removed(str(default_store()), forget.digest, forget)

    def points(self) -> dict[str, np.ndarray]:
        """Return the points of each split; at a later request of a sequence also what earlier ones removed.

        Raises:
            StoreError: as :meth:`arrays`.
        """
        train, total = int(self.payload["train"]), len(self.arrays()["klom"])
        forget, earlier = self.removed()
        return {
            "forget": forget,
            "retain": np.setdiff1d(np.arange(train), np.union1d(forget, earlier)),
            "test": np.arange(train, total),
            **({EARLIER: earlier} if len(earlier) else {}),
        }

    def split_of(self, point: int) -> str:
        """Return the split a point belongs to.

        Raises:
            StoreError: as :meth:`removed`.
        """
        if point >= int(self.payload["train"]):
            return "test"
        forget, earlier = self.removed()
        if point in earlier:
            return EARLIER
        return "forget" if point in forget else "retain"

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
        way = trajectory.averaged(parts, point)
        return None if way is None else trajectory.Track(self.method, self.name, *way)

    def by_size(self, convention: str) -> pd.DataFrame:
        """Return KLOM and floor with fewer of the models, as :func:`engine.views.enough.frame` does.

        Raises:
            StoreError: the margins are gone from the store or damaged; in words.
            MetricError: too few sound models; in words.
        """
        return _by_size(str(default_store()), self.run, self.method, self.models, convention, self)

    def _parts(self, role: str) -> list[Part]:
        artefact = self.spec.ensembles[role].artefact(workspace.store())
        return [_part(str(artefact.path), name, artefact) for name in self.payload["parts"]]

    def _column(self, role: str, array: str, points: int | np.ndarray) -> np.ndarray:
        """Return one array of all parts at one point (m,) or at some (m, n)."""
        return np.concatenate([np.array(part.array(array)[:, points]) for part in self._parts(role)])  # (m,) or (m, n)


@st.cache_resource(max_entries=1024, ttl=600, show_spinner=False)
def _part(path: str, name: str, _artefact: Artefact) -> Part:  # noqa: ARG001
    """Return a part that was checked within the last ten minutes: a page looks at many, once for each picture."""
    return _artefact.read(name)


@st.cache_resource(max_entries=64, show_spinner=False)
def _removed(store_path: str, spec_digest: str, _spec: ForgetSet) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG001
    part = _spec.artefact(workspace.store()).read(WHOLE)
    earlier = part.array("earlier") if "earlier.npy" in part.files else np.empty(0, np.int64)
    return np.array(part.array("indices")), np.array(earlier)


@st.cache_resource(max_entries=24, show_spinner=False)
def _arrays(
    store_path: str,  # noqa: ARG001 - part of the cache's key
    run: str,  # noqa: ARG001
    method: str,  # noqa: ARG001
    models: int,  # noqa: ARG001
    _spec: Evaluation,
) -> dict[str, np.ndarray]:
    part = _spec.artefact(workspace.store()).read(WHOLE)
    return {name: np.array(part.array(name)) for name in ("klom", "floor", "klom_other", "floor_other")}


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
    rows = {row.method_id: row for row in _newest(str(default_store()), run.id, _changes(run))}
    facts = say.method_facts(workspace.words(), run.recipe)
    return [
        Result(run.id, method, name, rows[method].models, rows[method].payload, facts[method])
        for method, name in say.method_names(workspace.words(), run.recipe).items()
        if method in rows
    ]


def table(measured: Sequence[Result]) -> pd.DataFrame:
    """Return the headline's table of these results, in the run's convention."""
    return headline.frame([(r.method, r.name, r.scores) for r in measured], {r.method: r.facts for r in measured})


def version(run: RunRow) -> str:
    """Return a short text that changes when there is something new to draw."""
    return f"{run.status}:{_changes(run)}"


def _changes(run: RunRow) -> int:
    return workspace.queue().results_version(run.id)


@st.cache_resource(max_entries=64, show_spinner=False)
def _newest(store_path: str, run_id: str, changes: int) -> list[ResultRow]:  # noqa: ARG001
    """Return a run's newest results, read and parsed once per change and shared by all sessions."""
    return workspace.queue().results(run_id)
