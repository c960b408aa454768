"""Each method's settings searched on some networks and measured again on others, beside its default and doing nothing.

    python benchmarks/grids.py [--choose 20] [--models 40] [--forget "random:50;class:3;cluster:4"] [--write]

A grid is one sweep, as the app and ``python -m engine run --methods`` make them; the default is always in it. Of each
method the setting with the lowest of the larger of forget and retain KLOM (95th percentile) is chosen, on ``--choose``
networks of seed 0; for whole classes and clusters one setting for both. It is then measured again, beside the default,
on ``--models`` networks of seed 1, which played no part in the choice. "Nearer than doing nothing" is claimed where the
paired difference of forget KLOM on those networks lies beyond its 95 % interval. A method that breaks networks is never
chosen. ``--write`` puts the tables into docs/methods.md and the settings into engine/unlearners/searched.json, which
the forms of the app offer. ``--store`` keeps what was computed between calls, ``--only`` leaves methods out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from benchmarks.methods import PAGE, engine  # noqa: E402
from engine.claims import off_label  # noqa: E402
from engine.experiment import misfits  # noqa: E402
from engine.metrics import headline  # noqa: E402
from engine.metrics.paired import difference  # noqa: E402
from engine.queue import Queue  # noqa: E402
from engine.records import Recipe  # noqa: E402
from engine.specs import WHOLE, Evaluation, ForgetSet  # noqa: E402
from engine.store import Store  # noqa: E402
from engine.sweep import expand  # noqa: E402
from engine.unlearners import make_unlearner, unlearners  # noqa: E402

BEGIN, END = "<!-- best of grids: begin -->", "<!-- best of grids: end -->"
SEARCHED = ROOT / "engine" / "unlearners" / "searched.json"
KINDS = {"random": "random pictures", "class": "a class or cluster", "cluster": "a class or cluster"}
"""What a search on a selector's forget set is for, as the presets of methods name it."""


def run(store: Path, model: str, forget: str, methods: str, models: int, seed: int) -> tuple[dict[str, Any], Recipe]:
    """Run methods through the queue and return what the command line prints, and the recipe."""
    about = ["--model", model, "--forget", forget, "--models", str(models), "--seed", str(seed)]
    recipe = engine("recipe", *about, "--methods", methods)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe, file)
        file.flush()
        found = engine("run", file.name, "--store", str(store), "--json")
    return found, Recipe.from_json(found["recipe"])


def by_method(found: dict[str, Any], recipe: Recipe) -> list[dict[str, Any]]:
    """Return one row per method of a run, in its order: its key and settings, and numbers under metric and split."""
    rows: dict[str, dict[str, Any]] = {}
    for one in found["results"]:
        row = rows.setdefault(one["method"], {})
        row |= {f"klom_{one['split']}": one[headline().key], f"accuracy_{one['split']}": one["accuracy"]}
        row |= {"compute": one["compute"], "broken": one["broken"]}
    for method, reason in found["stopped"].items():
        rows.setdefault(method, {})["stopped"] = reason
    both = zip(recipe.methods_ids(), recipe.methods, strict=True)
    return [{**rows.get(m, {}), "id": m, "method": choice.key, "settings": choice.settings} for m, choice in both]


def worse(row: dict[str, Any]) -> float:
    """Return what settings are ranked by: the larger of forget and retain KLOM, and never one that breaks networks."""
    if row.get("broken") or "klom_forget" not in row:
        return float("inf")
    return max(row["klom_forget"], row["klom_retain"])


def search(
    store: Path, model: str, forget_sets: list[str], keys: list[str], models: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, per kind of forget set and method, the settings chosen, how many were tried and how they scored."""
    scores: dict[tuple[str, str, str], dict[str, float]] = {}
    settings: dict[str, Any] = {}
    for forget in forget_sets:
        grids = [written(key, one) for key in keys for one in settings_of(key)]
        found, recipe = run(store, model, forget, ",".join(grids), models, 0)
        for row in by_method(found, recipe):
            name = json.dumps(row["settings"], sort_keys=True)
            settings[name] = row["settings"]
            kind = KINDS[forget.partition(":")[0]]
            scores.setdefault((kind, row["method"], name), {})[forget] = worse(row)
        print(f"searched {forget}", file=sys.stderr, flush=True)
    chosen: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in dict.fromkeys(KINDS[forget.partition(":")[0]] for forget in forget_sets):
        for key in keys:
            tried = {name: sum(each.values()) for (k, m, name), each in scores.items() if (k, m) == (kind, key)}
            best = min(tried, key=lambda name: tried[name])
            if tried[best] < float("inf"):
                chosen.setdefault(kind, {})[key] = {"settings": settings[best], "tried": len(tried)}
    return chosen


def settings_of(key: str) -> list[dict[str, Any]]:
    """Return the settings of a method that are tried: its default and the grid its file declares, none twice."""
    method = unlearners()[key]
    default = make_unlearner({"key": key}).settings()
    tried = [default, *({**default, **one} for one in expand(key, method.fields(), method.tuned) if method.tuned)]
    return list({json.dumps(one, sort_keys=True): one for one in tried}.values())


def again(
    store: Path, model: str, forget: str, keys: list[str], chosen: dict[str, dict[str, Any]], models: int
) -> list[dict[str, Any]]:
    """Return a row per method, measured on networks that played no part in the choice, chosen setting and default."""
    specs = list(dict.fromkeys([*keys, *(written(key, one["settings"]) for key, one in chosen.items())]))
    found, recipe = run(store, model, forget, ",".join(specs), models, 1)
    rows = by_method(found, recipe)
    margins, points = read_margins(store, found["run"])
    default = {key: make_unlearner({"key": key}).settings() for key in keys}
    made = []
    for key in keys:
        own = [row for row in rows if row["method"] == key]
        plain = next(row for row in own if row["settings"] == default[key])
        best = next((row for row in own if row["settings"] == chosen.get(key, {}).get("settings")), plain)
        row = {**best, "method": key, "default": plain, "tried": chosen.get(key, {}).get("tried", 1)}
        row["changed"] = {k: v for k, v in best["settings"].items() if v != default[key][k]}
        row["claimed"] = not off_label(unlearners()[key].card.claims, found["recipe"])
        if best["id"] in margins and key != "do_nothing":
            side = {"oracle": margins["oracle"], "first": margins[best["id"]], "second": margins["original"]}
            ids = points["forget"]
            row["difference"] = difference(**{name: np.ascontiguousarray(v[:, ids]) for name, v in side.items()})
        made.append(row)
    floor = {f"klom_{split}": value[headline().key] for split, value in found["floor"].items()}
    return [*made, {"method": "(floor)", **floor}]


def written(key: str, settings: Mapping[str, Any]) -> str:
    """Return a method with settings in the words of the command line, those that differ from the default."""
    default = make_unlearner({"key": key}).settings()
    return ":".join([key, *(f"{name}={value}" for name, value in settings.items() if value != default[name])])


def read_margins(store: Path, run_id: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the margins (M, P) of oracles, originals and each method's networks, and the points of each split."""
    where = Store(store)
    margins: dict[str, np.ndarray] = {}
    points: dict[str, np.ndarray] = {}
    for result in Queue(where.queue_path).results(run_id):
        spec = Evaluation.from_json(result.payload["spec"])
        for role, ensemble in spec.ensembles.items():
            name = result.method_id if role == "unlearned" else role
            if name not in margins:
                chunks = ensemble.artefact(where)
                parts = [chunks.read(part) for part in result.payload["parts"]]
                margins[name] = np.concatenate([np.array(part.array("margins")) for part in parts])  # (M, P)
        forget = ForgetSet.from_json(result.payload["forget"]).artefact(where).read(WHOLE)
        points["forget"] = np.array(forget.array("indices"))
    return margins, points


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table, best first."""

    def number(row: dict[str, Any], name: str, scale: float = 1, digits: int = 2) -> str:
        return f"{scale * row[name]:.{digits}f}" if name in row else ""

    def setting(row: dict[str, Any]) -> str:
        if row["method"][0] == "(":
            return ""
        changed = row["changed"].items()
        return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in changed) or "default"

    head = [
        "method",
        "chosen",
        "of",
        "forget",
        "retain",
        "test",
        "acc. forget",
        "retrains",
        "default: forget",
        "retain",
    ]
    head += ["against doing nothing", "nearer"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in sorted(rows, key=lambda row: worse({"broken": 0, **row})):
        verdict, apart = "", ""
        if "difference" in row:
            one = row["difference"]
            apart = f"{one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f})"
            verdict = {True: "yes", False: "**no**", None: "cannot be told"}[one.nearer]
            verdict += "" if row["claimed"] else ", no claim of its paper"
        verdict += f", {row['broken']} broke" if row.get("broken") else ""
        plain = row.get("default", {})
        cells = [
            f"`{row['method']}`" if row["method"][0] != "(" else row["method"],
            setting(row),
            f"{row['tried']}" if "tried" in row else "",
            *(number(row, f"klom_{split}") for split in ("forget", "retain", "test")),
            number(row, "accuracy_forget", 100, 1),
            number(row, "compute", 1, 3),
            *(
                number(plain, f"klom_{split}") or ("stopped" if "stopped" in plain else "")
                for split in ("forget", "retain")
            ),
            apart,
            verdict,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Search, measure again, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", type=int, default=20, help="networks that the settings are chosen on")
    parser.add_argument("--models", type=int, default=40, help="networks that the choice is measured on")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--forget", default="random:50;class:3;cluster:4", help="separated by semicolons")
    parser.add_argument("--only", default="")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    forget_sets = asked.forget.split(";")
    plain = Recipe.from_json(engine("recipe", "--model", asked.model, "--methods", "do_nothing"))
    refused = misfits(plain.model, plain.training)
    keys = [key for key in unlearners() if not asked.only or key in {"do_nothing", *asked.only.split(",")}]
    keys = [key for key in keys if key not in refused]
    about = f"chosen on {asked.choose} networks of seed 0, measured on {asked.models} of seed 1"
    lines = [f"{datetime.date.today().isoformat()}, {hardware()}, {about}."]
    with tempfile.TemporaryDirectory() as folder:
        store = asked.store or Path(folder) / "store"
        tried = [key for key in keys if not unlearners()[key].reference]
        chosen = search(store, asked.model, forget_sets, tried, asked.choose)
        for forget in forget_sets:
            rows = again(store, asked.model, forget, keys, chosen[KINDS[forget.partition(":")[0]]], asked.models)
            lines += ["", f"### {asked.model}, {forget}", "", *table(rows)]
            print("\n".join(lines[-len(rows) - 4 :]), file=sys.stderr, flush=True)
    if asked.write:
        text = PAGE.read_text("utf-8")
        if BEGIN not in text:
            raise SystemExit(f"{PAGE.name} has no line {BEGIN}")
        whole = "\n".join([BEGIN, *lines, END])
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: whole, text, flags=re.DOTALL), "utf-8")
        source = (
            f"a search on the handwritten digits with the network {asked.model}, chosen on {asked.choose} networks and "
            f"measured on {asked.models} others"
        )
        kept = {kind: {key: one["settings"] for key, one in by.items()} for kind, by in chosen.items()}
        SEARCHED.write_text(json.dumps({"source": source, "settings": kept}, indent=1, sort_keys=True) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
