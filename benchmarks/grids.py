"""Each method at the best setting of a small grid, per forget set, beside doing nothing and the floor.

    python benchmarks/grids.py [--models 40] [--model mlp] [--forget "random:50;class:3;cluster:4"] [--write]

A grid is one sweep, as the app and ``python -m engine run --methods`` make them, and all grids of a forget set are one
run. "Best" is the lowest 95th percentile of forget KLOM. A method whose paper claims the case and that does no better
than doing nothing at any setting is marked. ``--store`` keeps what was computed between calls, ``--only`` leaves
methods out, ``--write`` puts the tables into docs/methods.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from benchmarks.methods import PAGE, engine, look_closer  # noqa: E402
from engine.claims import off_label  # noqa: E402
from engine.experiment import misfits  # noqa: E402
from engine.metrics import headline  # noqa: E402
from engine.records import Recipe  # noqa: E402
from engine.unlearners import unlearners  # noqa: E402

BEGIN, END = "<!-- best of grids: begin -->", "<!-- best of grids: end -->"
RATES = "1e-5|1e-4|1e-3|1e-2"
GRIDS = {
    "gradient_descent": f"lr={RATES}:epochs=1|5|10",
    "gradient_ascent": f"lr={RATES}:epochs=1|5|10",
    "neg_grad_plus": "lr=1e-4|1e-3|1e-2:epochs=3|5|10",
    "scrub": "lr=1e-4|5e-4|5e-3:epochs=5|10:maximise_epochs=1|3",
    "random_labels": "lr=1e-4|1e-3|1e-2:epochs=1|3|5",
    "amnesiac": "lr=1e-4|1e-3:epochs=1|3|5",
    "salun": "lr=1e-4|1e-3:epochs=1|3:share=0.3|0.5|0.7",
    "boundary_shrink": "lr=1e-5|1e-4|1e-3:epochs=3|10",
    "boundary_expand": "lr=1e-5|1e-4|1e-3:epochs=3|10",
    "unsir": "impair_lr=1e-3|5e-3|2e-2:repair_lr=1e-3|1e-2",
    "iau": "lr=3e-4|1e-3|3e-3|1e-2|3e-2",
    "bad_teaching": "lr=1e-4|1e-3|3e-3:epochs=1|3",
    "usgd": "scale=0.003|0.01|0.03|0.1|0.3|1",
    "distillation": "lr=1e-3|1e-2:epochs=5|10",
    "oracle_matching": "lr=1e-4|1e-3:epochs=4|8",
    "ssd": "alpha=1|2|5|10|20:strength=0.5|1",
    "influence": "gradient=forget|retain:damping=1e-4|1e-3|1e-2|1e-1",
    "fisher": "alpha=1e-7|1e-6|1e-5|1e-4",
    "l1_sparse": "gamma=1e-5|1e-4|1e-3:lr=1e-3|1e-2",
    "synflow": "ratio=0.3|0.6|0.9:epochs=5|15",
    "adv_imp": "lr=0.01|0.03:strength=1|10",
    "rum": "base=neg_grad_plus|random_labels:epochs=1|3",
}
"""Settings to try, in the words of the command line; a method that is not here is measured as it is."""


def measure(store: Path, model: str, forget: str, methods: list[str], models: int) -> list[dict[str, Any]]:
    """Return one row per method: its best setting on this forget set, and how far every setting got."""
    plain = Recipe.from_json(engine("recipe", "--model", model, "--methods", "do_nothing"))
    refused = misfits(plain.model, plain.training)
    methods = [key for key in methods if key not in refused]
    grids = ",".join(f"{key}:{GRIDS[key]}" if key in GRIDS else key for key in methods)
    recipe = engine("recipe", "--model", model, "--forget", forget, "--models", str(models), "--methods", grids)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe, file)
        file.flush()
        found = engine("run", file.name, "--store", str(store), "--json")
    rows: dict[str, dict[str, Any]] = {}
    for one in found["results"]:
        row = rows.setdefault(one["method"], {})
        row |= {f"klom_{one['split']}": one[headline().key], f"accuracy_{one['split']}": one["accuracy"]}
        row |= {"compute": one["compute"]}
    for method, reason in found["stopped"].items():
        rows.setdefault(method, {})["stopped"] = reason
    look_closer(store, found["run"], rows, forget)
    submitted = Recipe.from_json(found["recipe"])
    tried: dict[str, list[dict[str, Any]]] = {}
    for method, choice in zip(submitted.methods_ids(), submitted.methods, strict=True):
        tried.setdefault(choice.key, []).append({**rows[method], "settings": choice.settings})
    nothing = tried["do_nothing"][0]["klom_forget"]
    best = []
    for key, several in tried.items():
        measured = [row for row in several if "klom_forget" in row]
        if not measured:
            best.append({"method": key, "settings": 0, "stopped": len(several)})
            continue
        one = min(measured, key=lambda row: row["klom_forget"])
        varied = [part.partition("=")[0] for part in GRIDS.get(key, "").split(":") if part]
        claimed = not off_label(unlearners()[key].card.claims, found["recipe"])
        best.append(
            {
                **one,
                "method": key,
                "setting": ", ".join(f"{name} {one['settings'][name]:g}" if isinstance(one["settings"][name], float)
                                     else f"{name} {one['settings'][name]}" for name in varied),
                "tried": len(several),
                "stopped": len(several) - len(measured),
                "claimed": claimed,
                "short": claimed and one["klom_forget"] > nothing,
            }
        )  # fmt: skip
    floor = {"method": "(floor)", **{f"klom_{split}": value[headline().key] for split, value in found["floor"].items()}}
    return [*best, floor]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table, best first; what the paper claims and no setting reaches is marked with "no"."""

    def number(row: dict[str, Any], name: str, scale: float = 1, digits: int = 2) -> str:
        return f"{scale * row[name]:.{digits}f}" if name in row else ""

    head = [
        "method",
        "best setting",
        "of",
        "forget",
        "retain",
        "test",
        "acc. forget",
        "others",
        "retrains",
        "better than doing nothing",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in sorted(rows, key=lambda row: row.get("klom_forget", 1e9)):
        said = ""
        if "claimed" in row and row["method"] != "do_nothing":
            said = "**no**" if row["short"] else ("yes" if row["claimed"] else "no claim")
        cells = [
            f"`{row['method']}`" if row["method"][0] != "(" else row["method"],
            row.get("setting", ""),
            f"{row['tried']}" + (f" ({row['stopped']} stopped)" if row["stopped"] else "") if "tried" in row else "",
            *(number(row, f"klom_{split}") for split in ("forget", "retain", "test")),
            number(row, "accuracy_forget", 100, 1),
            number(row, "accuracy_others", 100, 1),
            number(row, "compute", 1, 3),
            said,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--forget", default="random:50;class:3;cluster:4", help="separated by semicolons")
    parser.add_argument("--only", default="")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    keys = [key for key in unlearners() if not asked.only or key in {"do_nothing", *asked.only.split(",")}]
    lines = [f"{datetime.date.today().isoformat()}, {hardware()}, {asked.models} networks of each kind."]
    with tempfile.TemporaryDirectory() as folder:
        for forget in asked.forget.split(";"):
            rows = measure(asked.store or Path(folder) / "store", asked.model, forget, keys, asked.models)
            lines += ["", f"### {asked.model}, {forget}", "", *table(rows)]
            print("\n".join(lines[-len(rows) - 4 :]), file=sys.stderr, flush=True)
    if asked.write:
        text = PAGE.read_text("utf-8")
        if BEGIN not in text:
            raise SystemExit(f"{PAGE.name} has no line {BEGIN}")
        whole = "\n".join([BEGIN, *lines, END])
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: whole, text, flags=re.DOTALL), "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
