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
from engine.records import EARLIER, SPLITS, Recipe
from engine.specs import WHOLE, Evaluation, ForgetSet
from engine.store import Artefact, Part, StoreError, default_store
from engine.views import course, enough, headline, missing, trajectory
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

    def at(self, role: str, points: np.ndarray) -> np.ndarray:
        """Return the margins of a role's networks at several points, (m, n).

        Raises:
            StoreError: they are gone from the store or damaged; in words.
        """
        return self._column(role, "margins", points)

    def right(self, point: int) -> dict[str, float]:
        """Return the share of networks that answer right on one point, for originals, unlearned networks and oracles.

        Empty when the store does not hold the answers.
        """
        try:
            return {role: float(self._column(role, "correct", point).mean()) for role in ROLES[:3]}
        except StoreError:
            return {}

    def answers(self, point: int) -> dict[str, np.ndarray]:
        """Return the class that each network answers on one point (m,), for originals, unlearned networks and oracles.

        Empty where the store does not hold the answers: runs from before they were kept.
        """
        try:
            return {role: self._column(role, "predicted", point) for role in ROLES[:3]}
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

    def way(self) -> missing.Way | None:
        """Return how every followed point went along the method's run; None where it was not followed.

        Raises:
            StoreError: the parts are gone from the store or damaged; in words.
        """
        return _way(str(default_store()), self.run, self.method, self.models, self)

    def frame_margins(self, columns: np.ndarray) -> np.ndarray | None:
        """Return the margins of each network along the run, at columns of the followed points: (M, frames, n).

        None for runs from before these were kept.

        Raises:
            StoreError: as :meth:`way`.
        """
        parts = self._parts("unlearned")
        if not all("trajectory_margins.npy" in part.files for part in parts):
            return None
        return np.concatenate(
            [np.asarray(part.array("trajectory_margins")[:, :, columns], np.float32) for part in parts]
        )

    def course(self, convention: str) -> pd.DataFrame:
        """Return what a retrain is worth, stopped after each epoch, as :func:`engine.views.course.frame` does.

        Empty where its networks kept no such margins: trained in shards, with early stopping, or before they were kept.

        Raises:
            StoreError: the margins are gone from the store or damaged; in words.
            MetricError: too few sound models; in words.
        """
        return _course(str(default_store()), self.run, self.models, convention, self)

    def by_size(self, convention: str) -> pd.DataFrame:
        """Return KLOM and floor with fewer of the models, as :func:`engine.views.enough.frame` does.

        Raises:
            StoreError: the margins are gone from the store or damaged; in words.
            MetricError: too few sound models; in words.
        """
        return _by_size(str(default_store()), self.run, self.method, self.models, convention, self)

    def epochs(self) -> dict[str, np.ndarray]:
        """Return how many epochs each network was trained for, (m,) by role; empty without early stopping.

        Empty too where no part says so: networks in shards, and those from before this was stored.

        Raises:
            StoreError: the parts are gone from the store or damaged; in words.
        """
        by_role = {}
        for role in ("original", "oracle", "floor"):
            metas = [part.json("meta") for part in self._parts(role)]
            if all("epochs" in meta for meta in metas):
                by_role[role] = np.concatenate([np.array(meta["epochs"]) for meta in metas])  # (m,)
        return by_role

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


@st.cache_resource(max_entries=48, show_spinner=False)
def _way(
    store_path: str,  # noqa: ARG001 - part of the cache's key
    run: str,  # noqa: ARG001
    method: str,  # noqa: ARG001
    models: int,  # noqa: ARG001
    _result: Result,
) -> missing.Way | None:
    parts = _result._parts("unlearned")
    points = np.array(parts[0].array("trajectory_points"))  # (n,)
    if not len(points):
        return None
    return missing.Way.of(
        _result.method,
        _result.name,
        parts=[part.array("trajectory") for part in parts],
        models=[len(part.array("margins")) for part in parts],
        seen=np.array(parts[0].array("trajectory_seen")),
        points=points,
        oracle=_result._column("oracle", "margins", points),
    )


@st.cache_resource(max_entries=48, show_spinner=False)
def _course(
    store_path: str,  # noqa: ARG001 - part of the cache's key
    run: str,  # noqa: ARG001
    models: int,  # noqa: ARG001
    convention: Any,
    _result: Result,
) -> pd.DataFrame:
    parts = _result._parts("floor")
    if not all("course.npy" in part.files for part in parts):
        return course.empty()
    points = np.array(parts[0].array("course_points"))  # (n,)
    splits = {split: np.flatnonzero(np.isin(points, ids)) for split, ids in _result.points().items()}
    return course.frame(
        oracle=_result._column("oracle", "margins", points),
        course=np.concatenate([np.array(part.array("course")) for part in parts]),
        share=np.array(parts[0].array("course_share")),
        splits={split: splits[split] for split in SPLITS},
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


def stopped(run: RunRow) -> str:
    """Say after how many epochs a run's networks stopped, in a sentence; empty without early stopping.

    Empty too where the store lost the parts: the figures beside it say so.
    """
    training = Recipe.from_json(run.recipe).training
    if not training.patience:  # no part is read for the many runs without it
        return ""
    measured = results(run)
    try:
        by_role = measured[0].epochs() if measured else {}
    except StoreError:
        return ""
    if not by_role:
        return ""
    names = {"original": "Training", "oracle": "that of oracles", "floor": "that of second oracles"}
    words = [
        f"{names[role]} stopped after {epochs.mean():.1f} epochs ({epochs.min()} to {epochs.max()})"
        for role, epochs in by_role.items()
    ]
    return f"{', '.join(words)}; {training.epochs} were allowed."


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
