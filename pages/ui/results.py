"""What a run measured, as arrays for the views; margins are read for one point at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from engine.queue import ResultRow, RunRow
from engine.store import default_store
from pages.ui import say, workspace


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
        """One row of numbers per split."""
        return list(self.payload["rows"])

    @property
    def data_hash(self) -> str:
        """The hash of the data set it was measured on."""
        return str(self.payload["spec"]["unlearned"]["original"]["data"])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``klom``, ``floor`` and ``klom_other``, each (P,).

        Raises:
            StoreError: they are gone from the store or damaged; in words.
        """
        return _arrays(str(default_store()), self.run, self.method, self.models, self.payload["spec"])

    def points(self) -> dict[str, np.ndarray]:
        """Return the points of each split."""
        train, total = int(self.payload["train"]), len(self.arrays()["klom"])
        forget = np.asarray(self.payload["forget"], dtype=np.int64)
        return {
            "forget": forget,
            "retain": np.setdiff1d(np.arange(train), forget),
            "test": np.arange(train, total),
        }

    def split_of(self, point: int) -> str:
        """Return the split a point belongs to."""
        if point >= int(self.payload["train"]):
            return "test"
        return "forget" if point in set(self.payload["forget"]) else "retain"

    def margins(self, point: int) -> dict[str, np.ndarray]:
        """Return the margins (m,) of originals, unlearned networks, oracles and second oracles on one point.

        Raises:
            StoreError: they are gone from the store or damaged; in words.
        """
        spec, store = self.payload["spec"], workspace.store()
        places = {
            "original": ("trained", spec["unlearned"]["original"]),
            "unlearned": ("unlearned", spec["unlearned"]),
            "oracle": ("trained", spec["oracle"]),
            "floor": ("trained", spec["floor"]),
        }
        return {
            role: np.concatenate(
                [
                    np.array(store.artefact(kind, trained).read(part).array("margins")[:, point])
                    for part in self.payload["parts"]
                ]
            )  # (m,)
            for role, (kind, trained) in places.items()
        }


@st.cache_resource(max_entries=24, show_spinner=False)
def _arrays(
    store_path: str,  # noqa: ARG001 - part of the cache's key
    run: str,  # noqa: ARG001
    method: str,  # noqa: ARG001
    models: int,  # noqa: ARG001
    _spec: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    part = workspace.store().artefact("evaluation", _spec).read("whole")
    return {name: np.array(part.array(name)) for name in ("klom", "floor", "klom_other")}


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
    found = workspace.queue().results(run.id)
    return f"{run.status}:{sum(row.models for row in found)}:{len(found)}"
