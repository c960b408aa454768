"""Requests in a row on digits: does a method that forgot once go on forgetting, and what becomes of what was forgotten?

    python benchmarks/sequence.py [--models 20] [--sequence "class:3 class:5 class:8"] [--methods scrub,unsir]

Each sequence is one run per request, through the queue and the compute process like any run of the app; the store may
be kept between calls with ``--store``. By default three classes one after another, and five times 144 pictures at
random, a tenth of the training set each. KLOM is the 95th percentile over points, paper convention: *earlier* are the
pictures of all requests before, which should stay as forgotten as they were.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from benchmarks.methods import engine  # noqa: E402
from engine.metrics import headline  # noqa: E402

SEQUENCES = ("class:3 class:5 class:8", " ".join(["random:144"] * 5))
METHODS = "do_nothing,neg_grad_plus,scrub,unsir,salun,oracle_matching,partial_retrain:share=0.5"
SPLITS = ("forget", "earlier", "retain", "test")


def measure(store: Path, asked: list[str], methods: str, models: int) -> list[dict[str, Any]]:
    """Run every request of a sequence and return their summaries in order."""
    further = [flag for forget in asked[1:] for flag in ("--then", forget)]
    wanted = ("--forget", asked[0], *further, "--models", str(models), "--methods", methods)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(engine("recipe", *wanted), file)
        file.flush()
        return engine("run", file.name, "--each", "--store", str(store), "--json")["requests"]


def table(found: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table: a row per method, in each cell a value per request."""
    lines = [
        "| method | KLOM: forget | earlier | retain | test | acc. forget | earlier | retain | retrains |",
        "|---|" + "---|" * 8,
    ]
    rows = {(one["request"], r["method"], r["split"]): r for one in found for r in one["results"]}
    for method in dict.fromkeys(r["method"] for one in found for r in one["results"]):

        def said(split: str, what: str, scale: float = 1.0, digits: int = 1, of: str = method) -> str:
            here = [rows.get((one["request"], of, split), {}).get(what) for one in found]
            return " ".join("-" if value is None else f"{scale * value:.{digits}f}" for value in here)

        cells = [said(split, headline().key) for split in SPLITS]
        cells += [said(split, "accuracy", 100, 0) for split in SPLITS[:3]]
        lines.append(f"| `{method}` | " + " | ".join([*cells, said("forget", "compute", digits=2)]) + " |")
    floors = [[one["floor"].get(split, {}).get(headline().key) for one in found] for split in SPLITS]
    cells = [" ".join("-" if value is None else f"{value:.1f}" for value in floor) for floor in floors]
    lines.append("| (floor) | " + " | ".join(cells) + " | | | | |")
    stopped = {method: why for one in found for method, why in one["stopped"].items()}
    return [*lines, *(f"\n{method}: {why}" for method, why in stopped.items())]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--sequence", action="append", metavar="FORGETS", help="requests, separated by spaces")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    lines = [f"{datetime.date.today().isoformat()}, {hardware()}, {asked.models} networks of each kind."]
    found: dict[str, Any] = {"hardware": hardware(), "models": asked.models, "sequences": []}
    with tempfile.TemporaryDirectory() as folder:
        for sequence in asked.sequence or SEQUENCES:
            requests = measure(asked.store or Path(folder) / "store", sequence.split(), asked.methods, asked.models)
            found["sequences"].append({"sequence": sequence, "requests": requests})
            lines += ["", f"### {sequence}", "", *table(requests)]
    print(json.dumps(found, indent=1) if asked.json else "\n".join(lines))


if __name__ == "__main__":
    main()
