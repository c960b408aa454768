"""Is DeltaGrad faster than the retrain whose weights it aims at, and how near does it come?

    python benchmarks/deltagrad.py [--models 20] [--repeats 5] [--model logistic] [--batches 1437,512,64] [--json]

Digits, 50 random pictures forgotten, the default training but for batch size and epochs. In turns, in one run, stacked:
``retrain`` trains anew on the retain set; ``DeltaGrad`` replays with its defaults, or with ``--period`` and
``--burn-in``, reading the trajectory from a memory-mapped file as a run does. Distances are between weights, per model,
to the exact answer: the same start and the same batches without the forgotten pictures, every gradient computed
(period 1). ``nearer`` is the distance of doing nothing over that of DeltaGrad: its mean, and its least over models.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks._common import hardware
from engine.curvature import flatten
from engine.data import datasets
from engine.ensemble import Ensemble
from engine.images import Images
from engine.models import architectures
from engine.models.base import Net
from engine.record import TrainingRecord
from engine.task import ForgetTask
from engine.train import last, train
from engine.training import Training
from engine.unlearners import unlearners

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def prepared(
    net: Net, images: Images, training: Training, models: int, file: Path
) -> tuple[Ensemble, ForgetTask, float]:
    """Train originals that keep their trajectory in ``file``; return them, the request, and the seconds it took."""
    about: dict[str, Any] = {"seed": 0, "role": "original", "ids": range(models)}
    start = time.perf_counter()
    with file.open("wb") as out:
        original = last(
            train(
                net, images, training, strategy="stacked", keep=lambda g: out.write(g.cpu().numpy().tobytes()), **about
            )
        ).ensemble
    seconds = time.perf_counter() - start
    size = flatten(original.params).shape[1]
    gradients = np.memmap(file, np.float32, "r").reshape(-1, models, size)  # (T, M, P)
    forget = torch.from_numpy(np.random.default_rng(0).choice(len(images), 50, replace=False)).to(DEVICE)
    kept = torch.ones(len(images), dtype=torch.bool, device=DEVICE)
    kept[forget] = False

    def record(originals: Ensemble) -> TrainingRecord:
        where = {"seed": about["seed"], "role": about["role"], "size": len(images), "forget": forget}
        return TrainingRecord(original=originals, training=training, _gradients=lambda: gradients, **where)

    task = ForgetTask(
        net=net,
        training=training,
        reads=unlearners()["deltagrad"].card.reads,
        _forget=images.take(forget),
        _retain=images.take(kept.nonzero()[:, 0]),
        _reads={"training record": record},
    )
    return original, task, seconds


def measure(key: str, training: Training, models: int, repeats: int, knobs: dict[str, int]) -> dict[str, Any]:
    """Return seconds, ratios and distances of one batch size."""
    data = datasets()["digits"]().load(Path(), lambda _share, _message: None)
    net, images = Net(architectures()[key](), data.shape, len(data.classes)), Images.of(data, "train", DEVICE)
    method = unlearners()["deltagrad"](**knobs)
    with tempfile.TemporaryDirectory() as folder:
        original, task, trained = prepared(net, images, training, models, Path(folder) / "path")
        truth = last(unlearners()["deltagrad"](period=1).unlearn(original, task, seed=0)).ensemble
        retrains, replays = [], []
        for repeat in range(repeats):
            start = time.perf_counter()
            about: dict[str, Any] = {"seed": repeat, "role": "retrain", "ids": range(models), "strategy": "stacked"}
            last(train(net, task._retain, training, **about))
            retrains.append(_seconds(start))
            start = time.perf_counter()
            found = last(method.unlearn(original, task, seed=0))
            replays.append(_seconds(start))
    exact, before, after = (flatten(e.params) for e in (truth, original, found.ensemble))  # (M, P)
    nothing, distance = (before - exact).norm(dim=1), (after - exact).norm(dim=1)  # (M,)
    ratios = [a / b for a, b in zip(retrains, replays, strict=True)]
    return {
        "model": key,
        "batch_size": training.batch_size,
        "epochs": training.epochs,
        "models": models,
        "repeats": repeats,
        "period": method.period,
        "burn_in": method.burn_in,
        "keeping_seconds": trained,
        "retrain_seconds": statistics.median(retrains),
        "deltagrad_seconds": statistics.median(replays),
        "faster": statistics.median(ratios),
        "faster_least": min(ratios),
        "compute": found.cost / task.retrain_cost(),
        "do_nothing_distance": float(nothing.mean()),
        "distance": float(distance.mean()),
        "nearer": float(nothing.mean() / distance.mean()),
        "nearer_least": float((nothing / distance).min()),
    }


def _seconds(start: float) -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="logistic")
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", default="1437,512,64", help="batch sizes; 1437 is the whole training set")
    parser.add_argument("--epochs", type=int, default=0, help="0: 100 with whole batches, else 20")
    parser.add_argument("--period", type=int)
    parser.add_argument("--burn-in", type=int)
    parser.add_argument("--threads", type=int, default=1, help="as a worker of the app on two cores has")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    knobs = {k: v for k, v in (("period", asked.period), ("burn_in", asked.burn_in)) if v is not None}
    rows = []
    for size in map(int, asked.batches.split(",")):
        epochs = asked.epochs or (100 if size >= 1437 else 20)
        rows.append(measure(asked.model, Training(batch_size=size, epochs=epochs), asked.models, asked.repeats, knobs))
    if asked.json:
        print(json.dumps({"hardware": hardware(), "results": rows}, indent=1))
        return
    print(f"{hardware()}\n{asked.model}, {asked.models} models, n = {asked.repeats}")
    print("| batch | epochs | period, burn-in | retrain s | DeltaGrad s | faster (least) | compute | nearer (least) |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['batch_size']} | {row['epochs']} | {row['period']}, {row['burn_in']} | "
            f"{row['retrain_seconds']:.2f} | {row['deltagrad_seconds']:.2f} | "
            f"{row['faster']:.1f} ({row['faster_least']:.1f}) | {row['compute']:.2f} | "
            f"{row['nearer']:.1f} ({row['nearer_least']:.1f}) |"
        )


if __name__ == "__main__":
    main()
