"""How much faster is training M models at once than one after the other?

    python benchmarks/ensemble.py [--arch mlp|cnn|both] [--models 100] [--epochs 20] [--json]

Digits, batch 64, SGD with momentum, the same number of epochs everywhere. Compared, in one run and in turns:

- ``loader``: the plain PyTorch loop as tutorials write it: nn.Module, torch.optim.SGD, DataLoader over a TensorDataset;
- ``tight``: the same loop over tensors in memory, a permutation and slices, no DataLoader;
- ``looped`` and ``stacked``: this engine's two strategies, per model.

Ratios are against ``loader`` (what an ensemble would cost otherwise) and against ``tight`` (the arithmetic alone).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks._common import hardware
from engine.data import datasets
from engine.images import Images
from engine.models import architectures
from engine.models.base import Net
from engine.train import last, train
from engine.training import Training

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loader_loop(net: Net, images: Images, training: Training, seed: int) -> tuple[float, nn.Module]:
    """Train one model as tutorials do and return its seconds and the model."""
    x, y = images.pictures(slice(None)).cpu(), images.y.cpu()
    batches = DataLoader(TensorDataset(x, y), batch_size=training.batch_size, shuffle=True)
    return _loop(net, training, seed, lambda: ((a.to(DEVICE), b.to(DEVICE)) for a, b in batches), len(batches))


def tight_loop(net: Net, images: Images, training: Training, seed: int) -> tuple[float, nn.Module]:
    """Train one model over tensors in memory and return its seconds and the model."""
    x, y = images.pictures(slice(None)), images.y

    def batches() -> object:
        order = torch.randperm(len(y), device=DEVICE)
        return ((x[i], y[i]) for i in order.split(training.batch_size))

    return _loop(net, training, seed, batches, -(-len(y) // training.batch_size))


def _loop(net: Net, training: Training, seed: int, batches: object, steps: int) -> tuple[float, nn.Module]:
    model = net.initial(seed).to(DEVICE).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=training.lr, momentum=training.momentum, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs * steps)
    start = time.perf_counter()
    for _ in range(training.epochs):
        for x, y in batches():  # type: ignore[operator]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
    return _seconds(start), model


def ours(net: Net, images: Images, training: Training, models: int, strategy: str) -> tuple[float, object]:
    """Train an ensemble and return its seconds and the ensemble."""
    start = time.perf_counter()
    snapshots = train(net, images, training, seed=0, role="benchmark", ids=range(models), strategy=strategy)  # type: ignore[arg-type]
    ensemble = last(snapshots).ensemble
    return _seconds(start), ensemble


def _seconds(start: float) -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(key: str, models: int, epochs: int, repeats: int) -> dict[str, object]:
    """Return seconds per model, ratios and accuracies of one architecture."""
    data = datasets()["digits"]().load(Path(), lambda _share, _message: None)
    net = Net(architectures()[key](), data.shape, len(data.classes))
    images, test = Images.of(data, "train", DEVICE), Images.of(data, "test", DEVICE)
    x, y = test.pictures(slice(None)), test.y
    training = Training(epochs=epochs)
    tight_loop(net, images, Training(epochs=1), 0)
    ours(net, images, Training(epochs=1), models, "stacked")
    seconds: dict[str, list[float]] = {"loader": [], "tight": [], "looped": [], "stacked": []}
    accuracy: dict[str, list[float]] = {"loop": [], "stacked": []}
    for repeat in range(repeats):
        for name, loop in (("loader", loader_loop), ("tight", tight_loop)):
            taken, model = loop(net, images, training, 2 * repeat + (name == "tight"))
            seconds[name].append(taken)
            accuracy["loop"].append(float((model.eval()(x).argmax(-1) == y).float().mean()))
        taken, _ = ours(net, images, training, 2, "looped")
        seconds["looped"].append(taken / 2)
        taken, ensemble = ours(net, images, training, models, "stacked")
        seconds["stacked"].append(taken / models)
        correct = ensemble.logits_shared(x).argmax(-1) == y  # type: ignore[attr-defined]
        accuracy["stacked"] = correct.float().mean(dim=1).tolist()
    ratios = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds["stacked"], strict=True))
        for name in ("loader", "tight", "looped")
    }
    means = {name: statistics.mean(values) for name, values in accuracy.items()}
    return {
        "architecture": key,
        "models": models,
        "epochs": epochs,
        "repeats": repeats,
        "seconds_per_model": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio_to_stacked": ratios,
        "accuracy": means,
        "accuracy_difference_points": 100 * (means["stacked"] - means["loop"]),
        "models_per_minute_stacked": 60 / statistics.median(seconds["stacked"]),
    }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=("mlp", "cnn", "both"), default="both")
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keys = ("mlp", "cnn") if arguments.arch == "both" else (arguments.arch,)
    found = [measure(key, arguments.models, arguments.epochs, arguments.repeats) for key in keys]
    if arguments.json:
        print(json.dumps({"hardware": hardware(), "results": found}, indent=1))
        return
    print(hardware())
    print("| model | loader | tight | looped | stacked (s per model) | x loader | x tight | accuracy difference |")
    print("|---|---|---|---|---|---|---|---|")
    for row in found:
        s, r = row["seconds_per_model"], row["ratio_to_stacked"]
        print(
            f"| {row['architecture']} | {s['loader']:.3f} | {s['tight']:.3f} | {s['looped']:.3f} | "
            f"{s['stacked']:.4f} | "
            f"{r['loader']:.1f} | {r['tight']:.1f} | {row['accuracy_difference_points']:+.2f} points |"
        )


if __name__ == "__main__":
    main()
