"""Where each method of a run stands now, read off the table of its curves (:mod:`engine.views.curves`)."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from engine.records import SPLITS
from engine.views.curves import QUANTITIES, level, ways


def now(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method: name, step, total, share, seconds, models, time_share, and per split where it stands.

    Per split: each quantity, and ``off_<split>``, how many of the oracles' standard deviations its margin is away.
    ``time_share`` is its time as a share of a retrain's. A method is looked at where most of its networks are, so that
    one chunk ahead does not speak for all.
    """
    rows = []
    oracles = {split: oracle for split in SPLITS if (oracle := level(table, "oracle", split)) is not None}
    seconds = next((oracle["seconds"] for oracle in oracles.values()), math.nan)
    for method, way in ways(table).groupby("method", sort=False):
        step = int(way.loc[way["models"] == way["models"].max(), "step"].max())
        here = way[way["step"] == step].set_index("split")
        first = here.iloc[0]
        row: dict[str, Any] = {
            "method": method,
            **{name: first[name] for name in ("name", "step", "total", "share", "seconds", "models")},
            "time_share": first["seconds"] / seconds if seconds else math.nan,
        }
        for split in here.index:
            row |= {f"{quantity}_{split}": here.at[split, quantity] for quantity in QUANTITIES}
            row[f"off_{split}"] = math.nan
            if split in oracles and oracles[split]["margin_sd"] > 0:
                gap = here.at[split, "margin"] - oracles[split]["margin"]
                row[f"off_{split}"] = gap / oracles[split]["margin_sd"]
        rows.append(row)
    return pd.DataFrame(rows)


def nearest(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the same table with at most ``most`` methods: references first, then the closest to the oracle now.

    For a figure that can be read; a sweep may have a hundred settings.
    """
    methods = list(dict.fromkeys(ways(table)["method"]))
    if len(methods) <= most:
        return table
    away = now(table).set_index("method")["off_forget"].abs()
    first = list(dict.fromkeys(table.loc[table["reference"] != "", "method"]))
    rest = away.drop(first).sort_values(na_position="last", kind="stable").index
    left_out = set(rest[max(0, most - len(first)) :])
    return table[~table["method"].isin(left_out)]


def sentence(standing: pd.DataFrame) -> str:
    """Say which methods of :func:`now` are among the oracles on the forget set, and which have passed them."""
    if standing.empty or "off_forget" not in standing or standing["off_forget"].isna().all():
        return ""
    inside = [str(name) for name in standing.loc[standing["off_forget"].abs() <= 1, "name"]]
    beyond = [str(name) for name in standing.loc[standing["off_forget"] < -1, "name"]]
    parts = []
    if inside:
        parts.append(f"Among the oracles on the forget set: {', '.join(inside)}.")
    if beyond:
        parts.append(f"Below them: {', '.join(beyond)}.")
    return " ".join(parts) or "No method is among the oracles on the forget set yet."
