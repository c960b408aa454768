"""How long it takes to look closer: attention, inversion, predictions and gradients of whole ensembles.

    python benchmarks/looking.py [--models 100] [--data digits,fashion]

Networks are untrained small CNNs: what is measured does not depend on their weights. Each analysis is measured once on
four ensembles, in this process, with one thread; seconds and, for attention, maps a second are printed.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from engine.analyses import make_analysis  # noqa: E402
from engine.analyses.bench import ROLES, Bench  # noqa: E402
from engine.data import make_dataset  # noqa: E402
from engine.data.base import ImageData  # noqa: E402
from engine.ensemble import Ensemble  # noqa: E402
from engine.models import make_architecture  # noqa: E402
from engine.models.base import Net  # noqa: E402

CASES = (
    {"key": "predictions"},
    {"key": "attention", "pictures": 16},
    {"key": "attention", "pictures": 16, "kind": "integrated gradients"},
    {"key": "inversion"},
    {"key": "inversion", "attack": "inverter"},
    {"key": "inversion", "attack": "difference"},
    {"key": "slopes"},
)


def bench(data: ImageData, models: int, reads: tuple[str, ...]) -> Bench:
    """Return untrained networks of every role on a data set, 50 of its training pictures forgotten."""
    net = Net(make_architecture({"key": "cnn"}), data.shape, len(data.classes))
    train = len(data.y_train)
    forget = np.sort(np.random.default_rng(0).choice(train, 50, replace=False))

    @functools.cache
    def ensemble(role: str) -> Ensemble:
        about = {"seed": 0, "role": role, "ids": range(models), "device": torch.device("cpu")}
        return Ensemble.initial(net, **about, strategy="looped")

    return Bench(
        reads=reads,
        roles=ROLES,
        ids=tuple(range(models)),
        splits={
            "forget": forget,
            "retain": np.setdiff1d(np.arange(train), forget),
            "test": np.arange(train, data.points),
        },
        labels=np.concatenate([data.y_train, data.y_test]),
        classes=data.classes,
        train=train,
        _data=data,
        _ensemble=ensemble,
    )


def main() -> None:
    """Print a line per data set and analysis."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--data", default="digits,fashion")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(hardware())
    for key in asked.data.split(","):
        with tempfile.TemporaryDirectory() as folder:
            data = make_dataset({"key": key}).load(Path(folder), lambda *_: None)
        for case in CASES:
            plugin = make_analysis(case)
            begun = time.perf_counter()
            measured = plugin.measure(bench(data, asked.models, plugin.needs()), seed=0, progress=lambda *_: None)
            took = time.perf_counter() - begun
            settings = ", ".join(f"{k} {v}" for k, v in case.items() if k != "key")
            maps = measured.arrays.get("maps")
            rate = "" if maps is None else f", {np.prod(maps.shape[:3]) / took:,.0f} maps a second"
            print(f"{key}, {asked.models} CNNs of each kind: {case['key']} {settings} {took:.1f} s{rate}", flush=True)


if __name__ == "__main__":
    main()
