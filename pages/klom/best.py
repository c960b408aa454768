"""The best of each method's settings, where a run tried several: on its forget set and on those of its sister runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from engine.queue import RunRow
from engine.store import StoreError
from engine.views import best
from pages.klom import words as klom_words
from pages.ui import results, runs, say, show, workspace

_SAME = ("dataset", "model", "training", "ensemble", "measuring", "seed", "before")
_RUNS = 200
"""Newest runs that are looked at for sisters."""


def draw(
    run: RunRow,
    table: pd.DataFrame,
    statistic: str,
    choose: Callable[[Sequence[Any]], None],
    *,
    convention: str,
    subject: str,
) -> None:
    """Show the best settings of a headline's ``table``; nothing where each method has one setting."""
    if not _several(run.recipe):
        return
    words = workspace.words()
    names = {entry["key"]: entry["card"]["name"] for entry in words["methods"]}
    measured = [(_forget(run.recipe), table, _keys(run.recipe))]
    measured += [(_forget(row.recipe), _table(row, convention), _keys(row.recipe)) for row in sisters(run)]
    settings = best.frame(measured, names, statistic)
    if settings.empty or not best.swept(settings):
        return
    show.heading(best.CARD)
    if len(measured) == 1:
        st.html('<p class="fs-small">Run the same methods on another forget set and it stands beside this one.</p>')
    figure = partial(best.figure, settings, statistic=statistic)

    def here(data: Sequence[Any]) -> None:
        if data[0] in _keys(run.recipe):
            choose(data)

    show.chart(figure, "best", on_click=here, alt="Forget KLOM of each method's best setting, per forget set")
    number = st.column_config.NumberColumn
    show.behind(
        best.CARD,
        "best",
        settings,
        figure,
        subject=subject,
        meanings=best.COLUMNS,
        columns={
            "forget_set": "Forget set",
            "setting": st.column_config.TextColumn("Best setting", pinned=True),
            "tried": number("of", help="Settings tried."),
            "forget": number("forget KLOM", format="%.2f"),
            "retain": number("retain KLOM", format="%.2f"),
            "test": number("test KLOM", format="%.2f"),
            "floor": number("floor", format="%.2f", help="Noise floor of the forget set."),
            "nothing": number("doing nothing", format="%.2f", help="Forget KLOM of the originals."),
            "compute": number("of a retrain", format="percent"),
            "gentle": st.column_config.CheckboxColumn("gentle", help="The retain set stays within twice its floor."),
        },
        order=["forget_set", "setting", "tried", "forget", "nothing", "floor", "retain", "test", "compute", "gentle"],
    )


def sisters(run: RunRow) -> list[RunRow]:
    """Return finished runs that differ only in forget set and methods, the newest of each forget set, sweeps alone."""
    mine = {part: run.recipe.get(part) for part in _SAME}
    by_forget_set: dict[str, RunRow] = {}
    for row in runs.listed(_RUNS):
        other = {part: row.recipe.get(part) for part in _SAME}
        if row.id == run.id or row.status != "done" or other != mine or not _several(row.recipe):
            continue
        if row.recipe["forget"] != run.recipe["forget"]:
            by_forget_set.setdefault(_forget(row.recipe), row)
    return list(by_forget_set.values())[: best.MOST - 1]


def _several(recipe: Mapping[str, Any]) -> bool:
    keys = [choice["key"] for choice in recipe["methods"]]
    return len(set(keys)) < len(keys)


def _table(row: RunRow, convention: str) -> pd.DataFrame:
    try:
        scores = {r.method: r.scores_in(convention) for r in results.results(row)}
    except StoreError:  # its numbers are gone from the store: there is nothing to show beside this one
        scores = {}
    return klom_words.table(row, scores)


def _keys(recipe: Mapping[str, Any]) -> dict[str, str]:
    ids = say.method_names(workspace.words(), recipe)
    return {method: str(choice["key"]) for method, choice in zip(ids, recipe["methods"], strict=True)}


def _forget(recipe: Mapping[str, Any]) -> str:
    return say.subject(workspace.words(), recipe)["Forget"]
