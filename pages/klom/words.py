"""The KLOM page's words: what the numbers rest on, what to know about them, and the headline's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from engine.metrics import scores
from engine.metrics.scores import Scores
from engine.queue import RunRow
from engine.records import Recipe
from engine.views import headline
from pages.ui import results, say, show, workspace


def table(run: RunRow, measured: Mapping[str, Scores]) -> pd.DataFrame:
    """Return the headline's rows for every method of the recipe; those not measured yet hold no numbers."""
    names = say.method_names(workspace.words(), run.recipe)
    facts = say.method_facts(workspace.words(), run.recipe)
    return headline.frame([(method, name, measured.get(method)) for method, name in names.items()], facts)


def basis(run: RunRow, measured: Sequence[results.Result], convention: str) -> str:
    """Say which convention is shown, which one the run asks for, and how many models the numbers rest on."""
    total = Recipe.from_json(run.recipe).ensemble.models
    sizes = sorted({r.models for r in measured})
    models = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    so_far = "" if sizes[0] == total else f" so far, of {total}"
    default = measured[0].convention
    other = "" if convention == default else f" (this run asked for {default}: no intervals were measured)"
    return f"KLOM, {convention} convention{other}; {models} models of each kind{so_far}. Click a dot to look closer."


def subject(run: RunRow, measured: Sequence[results.Result], convention: str = "") -> str:
    """Return what a downloaded figure is about: data, model, forget set, ensemble, methods, convention, run."""
    about = say.subject(workspace.words(), run.recipe)
    names = ", ".join(r.name for r in measured)
    suffix = f"; KLOM convention: {convention}" if convention else ""
    return f"{'; '.join(f'{k}: {v}' for k, v in about.items())}; methods: {names}{suffix}; run {run.id}"


def warnings(measured: Sequence[results.Result]) -> list[str]:
    """Return what a reader should know, each sentence once, with the methods it is about unless it is all of them."""
    methods: dict[str, list[str]] = {}
    for result in measured:
        for text in result.scores.warnings:
            methods.setdefault(text, []).append(result.name)
    everyone = len(measured)
    about = {text: f"{len(names)} methods" if len(names) > 2 else ", ".join(names) for text, names in methods.items()}
    return [text if len(names) == everyone else f"{about[text]}: {text}" for text, names in methods.items()]


def columns(statistic: str) -> dict[str, Any]:
    """Return the headline table's columns in order, those of the statistic shown first; extra metrics only if shown."""
    parts = ("value", "low", "high", "floor", "oracle")
    chosen = headline.chosen_statistic(statistic)
    shown = [column for column in scores.columns(chosen, parts) if column.metric is chosen or not column.metric.extra]
    return {
        "name": st.column_config.TextColumn("Method", pinned=True),
        "split": st.column_config.TextColumn("Split"),
        **show.numbers(shown),
        "models": st.column_config.NumberColumn("models", help="Per ensemble.", format="%d"),
    }
