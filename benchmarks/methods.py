"""Every method of the registry on digits, beside the floor: does it forget, what does it break, what does it take?

    python benchmarks/methods.py [--models 100] [--model mlp,cnn] [--forget "random:50;class:3"] [--write]

Each forget set is one run of all methods with their defaults, through the queue and the compute process like any run of
the app; the store may be kept between calls with ``--store``. Beside KLOM (95th percentile over points, paper
convention) and accuracies stand each method's largest change of a single weight and of its forget KLOM against doing
nothing, so that none passes for a method that does not act. ``--write`` puts one model's tables into docs/methods.md.
``--set scrub:lr=0.001`` replaces a method's defaults, ``--only iau,ssd`` leaves the others out. Methods that cannot
work on the networks at hand are named and left out; ``--training "--shards 4 --slices 2"`` trains others.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from engine.data import datasets  # noqa: E402
from engine.experiment import misfits  # noqa: E402
from engine.metrics import headline  # noqa: E402
from engine.queue import Queue  # noqa: E402
from engine.records import Recipe  # noqa: E402
from engine.specs import Evaluation  # noqa: E402
from engine.store import Store  # noqa: E402
from engine.unlearners import unlearners  # noqa: E402

PAGE = ROOT / "docs" / "methods.md"
BEGIN, END = "<!-- measured {model}: begin -->", "<!-- measured {model}: end -->"
"""Between these lines of the page are the tables of a model."""
PARTIAL = "partial_retrain:share=0.1", "partial_retrain:share=0.5"


def engine(*arguments: str) -> Any:
    """Run the command line and return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"engine {arguments[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def measure(
    store: Path, model: str, forget: str, methods: list[str], models: int, training: list[str]
) -> list[dict[str, Any]]:
    """Run the methods on one forget set and return a row for each, and one for the floor."""
    about = ["--model", model, "--forget", forget, "--models", str(models), *training]
    plain = Recipe.from_json(engine("recipe", *about, "--methods", "do_nothing"))
    refused = misfits(plain.model, plain.training)
    for key, found in refused.items():
        print(f"{key} is left out: {found['why']}", file=sys.stderr)
    fitting = [method for method in methods if method.partition(":")[0] not in refused]
    recipe = engine("recipe", *about, "--methods", ",".join(fitting))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe, file)
        file.flush()
        found = engine("run", file.name, "--store", str(store), "--json")
    rows: dict[str, dict[str, Any]] = {}
    for one in found["results"]:
        row = rows.setdefault(one["method"], {"method": one["method"]})
        row |= {f"klom_{one['split']}": one[headline().key], f"accuracy_{one['split']}": one["accuracy"]}
        row |= {"seconds": one["seconds"], "compute": one["compute"], "models": one["models"]}
    for method, reason in found["stopped"].items():
        rows.setdefault(method, {"method": method})["stopped"] = reason
    look_closer(store, found["run"], rows, forget)
    submitted = Recipe.from_json(found["recipe"])
    for method, choice in zip(submitted.methods_ids(), submitted.methods, strict=True):
        if method != choice.key and method in rows:  # listed more than once: what sets it apart
            rows[method]["method"] = f"{choice.key} {choice.settings.get('share', '')}".strip()
    floor = {"method": "(floor)", **{f"klom_{split}": value[headline().key] for split, value in found["floor"].items()}}
    return [*rows.values(), floor]


def look_closer(store: Path, run: str, rows: dict[str, dict[str, Any]], forget: str) -> None:
    """Add to each row what the summary does not have: changed weights, accuracy on test pictures of other classes."""
    opened = Store.open(store)
    data = datasets()["digits"]().load(store, lambda *_: None)
    gone = [int(c) for c in forget.partition(":")[2].split(",")] if forget.startswith("class:") else []
    others = len(data.y_train) + np.flatnonzero(~np.isin(data.y_test, gone))  # (n,)
    for result in Queue(opened.queue_path).results(run):
        ensembles, parts = Evaluation.from_json(result.payload["spec"]).ensembles, result.payload["parts"]
        made, first, oracle = (
            [ensembles[role].artefact(opened).read(name) for name in parts]
            for role in ("unlearned", "original", "oracle")
        )
        changes = []
        for after, before in zip(made, first, strict=True):
            weights, old = after.tensors("weights"), before.tensors("weights")
            changes += [np.abs(weights[name] - old[name]).max() for name in old]
        row = rows[result.method_id]
        row["largest_change"] = float(max(changes))
        row["accuracy_others"] = float(np.concatenate([part.array("correct")[:, others] for part in made]).mean())
        row["oracle_others"] = float(np.concatenate([part.array("correct")[:, others] for part in oracle]).mean())


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table."""
    nothing = next((row["klom_forget"] for row in rows if row["method"] == "do_nothing"), None)
    lines = [
        "| method | forget | retain | test | acc. forget | retain | test | others | s | retrains | moved | weight |",
        "|---|" + "---|" * 11,
    ]
    for row in rows:
        moved = None if nothing is None or row.get("klom_forget") is None else row["klom_forget"] - nothing
        cells = [
            f"`{row['method']}`" if row["method"][0] != "(" else row["method"],
            *(_number(row.get(f"klom_{split}")) for split in ("forget", "retain", "test")),
            *(_percent(row.get(f"accuracy_{split}")) for split in ("forget", "retain", "test", "others")),
            _number(row.get("seconds"), 1),
            _number(row.get("compute"), 3),
            "" if row["method"] == "(floor)" else _number(moved, sign=True),
            f"{row['largest_change']:.2g}" if "largest_change" in row else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    return "" if value is None else f"{value:{'+' if sign else ''}.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def chosen(only: str, settings: list[str]) -> list[str]:
    """Return the methods to run, as the command line writes them."""
    tuned = {text.partition(":")[0]: text for text in settings}
    keys = [key for key in unlearners() if key not in ("retrain", "partial_retrain")]
    if only:
        keys = [key for key in keys if key in {"do_nothing", *only.split(",")}]
    return [tuned.get(key, key) for key in keys] + list(PARTIAL)


def write(model: str, lines: list[str]) -> None:
    """Put the lines in the model's place on the page.

    Raises:
        SystemExit: the page has no place for it.
    """
    begin, end = BEGIN.format(model=model), END.format(model=model)
    text = PAGE.read_text("utf-8")
    if begin not in text or end not in text:
        raise SystemExit(f"{PAGE.name} has no lines {begin} and {end}: name one model that it has")
    whole = "\n".join([begin, *lines, end])
    PAGE.write_text(re.sub(f"{begin}.*{end}", lambda _: whole, text, flags=re.DOTALL), "utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--model", default="mlp,cnn")
    parser.add_argument("--forget", default="random:50;class:3;cluster:4", help="separated by semicolons")
    parser.add_argument("--only", default="")
    parser.add_argument("--set", action="append", default=[], metavar="METHOD:KNOB=VALUE")
    parser.add_argument("--training", default="", help="flags of `python -m engine recipe` for the training")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    methods = chosen(asked.only, asked.set)
    lines = [f"{datetime.date.today().isoformat()}, {hardware()}, {asked.models} networks of each kind, defaults."]
    found: dict[str, Any] = {"hardware": hardware(), "models": asked.models, "tables": []}
    with tempfile.TemporaryDirectory() as folder:
        store = asked.store or Path(folder) / "store"
        for model in asked.model.split(","):
            for forget in asked.forget.split(";"):
                rows = measure(store, model, forget, methods, asked.models, asked.training.split())
                found["tables"].append({"model": model, "forget": forget, "rows": rows})
                oracle = next((r["oracle_others"] for r in rows if "oracle_others" in r), None)
                about = f"; oracles on the other classes {_percent(oracle)}" if forget.startswith("class") else ""
                lines += ["", f"### {model}, {forget}{about}", "", *table(rows)]
                print("\n".join(lines[-len(rows) - 5 :]), file=sys.stderr, flush=True)
    if asked.write:
        write(asked.model, lines)
    print(json.dumps(found, indent=1) if asked.json else "\n".join(lines))


if __name__ == "__main__":
    main()
