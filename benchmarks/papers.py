"""Every method with the settings of its paper, our numbers beside the paper's, and what is not the same.

    python benchmarks/papers.py [--models 40] [--forget "random:50;class:3"] [--write]

The settings are the presets that the methods' files declare (``scrub@paper`` on the command line). The published number
is of other data and networks than the digits' MLP here, as the last column says: these pairs are no reproduction.
``--write`` puts the table into docs/methods.md.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from benchmarks.grids import by_method, run, written  # noqa: E402
from benchmarks.methods import PAGE  # noqa: E402
from engine.experiment import misfits  # noqa: E402
from engine.records import Choice  # noqa: E402
from engine.training import Training  # noqa: E402
from engine.unlearners import make_unlearner, unlearners  # noqa: E402

BEGIN, END = "<!-- as in the papers: begin -->", "<!-- as in the papers: end -->"


def measure(store: Path, model: str, forget_sets: list[str], models: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return a row per method and forget set, of those that have settings of their paper and fit these networks."""
    unfit = misfits(Choice(model), Training())
    keys = [
        key
        for key, method in unlearners().items()
        if method.published is not None and method.published.settings and key not in unfit
    ]
    rows: dict[str, dict[str, dict[str, Any]]] = {key: {} for key in keys}
    for forget in forget_sets:
        specs = [written(key, unlearners()[key].published.settings) for key in keys]
        found, recipe = run(store, model, forget, ",".join(["do_nothing", *specs]), models, 0)
        for row in by_method(found, recipe):
            if row["method"] in rows:
                rows[row["method"]][forget] = row
    return rows


def table(rows: dict[str, dict[str, dict[str, Any]]], forget_sets: list[str]) -> list[str]:
    """Return a Markdown table, every method that has something published."""
    head = ["method", "settings", "from", "published", *(f"here, {forget}" for forget in forget_sets), "not the same"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for key, method in unlearners().items():
        preset = method.published
        if preset is None:
            continue
        default = make_unlearner({"key": key}).settings()
        settings = {**preset.settings, **{f"training: {k}": v for k, v in preset.training.items()}}
        words = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in settings.items())
        same = preset.settings and all(default[k] == v for k, v in preset.settings.items())
        cells = [
            f"`{key}`",
            (words or "none") + (" (the default)" if same else ""),
            preset.source,
            preset.number or "-",
        ]
        cells += [here(rows.get(key, {}).get(forget)) for forget in forget_sets]
        lines.append("| " + " | ".join([*cells, preset.gap or "-"]) + " |")
    return lines


def here(row: dict[str, Any] | None) -> str:
    """Return what a method scored: KLOM p95 on forget and retain set, and forget accuracy."""
    if row is None:
        return "-"
    if "klom_forget" not in row:
        return "stopped"
    broke = f", {row['broken']} broke" if row.get("broken") else ""
    return f"{row['klom_forget']:.2f} / {row['klom_retain']:.2f}, {100 * row['accuracy_forget']:.0f} %{broke}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--forget", default="random:50;class:3", help="separated by semicolons")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    forget_sets = asked.forget.split(";")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(asked.store or Path(folder) / "store", asked.model, forget_sets, asked.models)
    about = f"{datetime.date.today().isoformat()}, {hardware()}, {asked.models} networks of each kind, {asked.model}."
    lines = [about, "", *table(rows, forget_sets)]
    if asked.write:
        text = PAGE.read_text("utf-8")
        if BEGIN not in text:
            raise SystemExit(f"{PAGE.name} has no line {BEGIN}")
        whole = "\n".join([BEGIN, *lines, END])
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: whole, text, flags=re.DOTALL), "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
