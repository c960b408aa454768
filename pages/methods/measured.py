"""What the finished runs of the store say about each method: for the cards of the Methods page."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from engine.metrics.scores import Scores
from engine.queue import RunRow
from engine.store import default_store
from engine.views import methods
from pages.ui import runs, say, workspace

RUNS = 200
"""Newest finished runs looked at."""


def table() -> pd.DataFrame:
    """Return one row per finished run and method, those nearest to their floor first."""
    done = [row for row in runs.listed(RUNS) if row.status == "done"]
    return _table(str(default_store()), tuple(row.id for row in done), done)


@st.cache_data(max_entries=4, show_spinner=False)
def _table(store_path: str, ids: tuple[str, ...], _runs: list[RunRow]) -> pd.DataFrame:  # noqa: ARG001
    return methods.frame([entry for run in _runs for entry in _entries(run)])


def _entries(run: RunRow) -> list[dict[str, Any]]:
    words = workspace.words()
    about = say.subject(words, run.recipe)
    names = say.method_names(words, run.recipe)
    keys = dict(zip(names, (method["key"] for method in run.recipe["methods"]), strict=True))
    newest = {row.method_id: row.payload for row in workspace.queue().results(run.id)}
    return [
        {
            "run": run.id,
            "method": method,
            "key": keys[method],
            "name": names[method],
            "data": about["Data"],
            "model": about["Model"],
            "forget": about["Forget"],
            "scores": Scores.from_json(payload["scores"]),
        }
        for method, payload in newest.items()
        if method in keys
    ]
