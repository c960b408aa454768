"""Write ``example.json``, the picture on the Start page, from a finished demo run: nothing in it is made up.

``python assets/make_example.py [--store DIR]`` takes the newest finished run that has oracle matching, and of its
forget set, among the tenth that the originals remember most, the point whose unlearned networks are typical.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.pictures import find  # noqa: E402 - the engine lies beside this folder
from engine.queue import Queue  # noqa: E402
from engine.specs import WHOLE, Evaluation, ForgetSet  # noqa: E402
from engine.store import Store, default_store  # noqa: E402

METHOD = "oracle_matching"


def main() -> None:
    """Choose the point, gather its margins and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=default_store())
    store = Store.open(parser.parse_args().store)
    queue = Queue(store.queue_path)
    for run in queue.runs():
        rows = {row.method_id: row for row in queue.results(run.id)} if run.status == "done" else {}
        if METHOD in rows and "do_nothing" in rows:
            break
    else:
        raise SystemExit("no finished run with oracle matching and do nothing; run the demo first")
    payload = rows[METHOD].payload
    spec = Evaluation.from_json(payload["spec"])
    forget = ForgetSet.from_json(payload["forget"]).artefact(store).read(WHOLE).array("indices")

    def values(row: str, name: str) -> np.ndarray:
        return Evaluation.from_json(rows[row].payload["spec"]).artefact(store).read(WHOLE).array(name)[forget]

    remembered = values("do_nothing", "klom") >= np.quantile(values("do_nothing", "klom"), 0.9)
    klom = np.where(remembered, values(METHOD, "klom"), np.nan)
    place = int(np.nanargmin(np.abs(klom - np.nanmedian(klom))))
    point = int(forget[place])

    def margins(role: str) -> list[float]:
        artefact = spec.ensembles[role].artefact(store)
        parts = [artefact.read(part).array("margins")[:, point] for part in payload["parts"]]
        return [round(float(value), 3) for value in np.concatenate(parts)]

    pictures = find(store, spec.unlearned.original.data)
    if pictures is None:
        raise SystemExit("the pictures of that run are gone")
    example = {
        "picture": pictures.url(point),
        "label": pictures.class_name(point),
        "point": point,
        "method": "oracle matching",
        "models": len(margins("oracle")),
        "klom": round(float(klom[place]), 3),
        "floor": round(float(values(METHOD, "floor")[place]), 3),
        "original": margins("original"),
        "unlearned": margins("unlearned"),
        "oracle": margins("oracle"),
    }
    (ROOT / "assets" / "example.json").write_text(json.dumps(example) + "\n", "utf-8")
    print(f"point {point}, a {example['label']}: KLOM {example['klom']}, floor {example['floor']}")


if __name__ == "__main__":
    main()
