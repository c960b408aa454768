"""L2UL: what learning the unlearner takes, milliseconds per request, and how near it comes to the retrained model.

    python benchmarks/l2ul.py [--sizes 1,50] [--lessons 1000] [--requests 10] [--only requests|contaminated]

First table: breast cancer (two classes, 30 numbers each) and digits, logistic regression and an MLP of ten units, one
original each, random forget sets that were in no lesson. Columns: learning once (s), one request (ms, median), one
retrain of the same loop (ms, median), their ratio; test and forget accuracy of doing nothing, L2UL and retrain
(percent); the distance to the retrained weights over that of doing nothing (of root mean squares, as single pictures
may move next to nothing), on requests and on held-out lessons. The retrained weights are those of the original's own
start and batches with the forget set left out.

Second table: the paper's Figure 4. Two clouds of 250 points that a line tells apart, ``k`` more points with the wrong
label far on one side; the lesson is learned on the contaminated set, the request is the dirty points. Accuracies on
clean test points (percent), and the distance to the retrained weights over that of doing nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from engine.curvature import flatten, unflatten  # noqa: E402
from engine.data import datasets  # noqa: E402
from engine.data.split import held_out  # noqa: E402
from engine.ensemble import Ensemble  # noqa: E402
from engine.images import Images  # noqa: E402
from engine.lesson import Lesson, learn  # noqa: E402
from engine.models import architectures  # noqa: E402
from engine.models.base import Net  # noqa: E402
from engine.train import last, train  # noqa: E402
from engine.training import Training  # noqa: E402
from engine.unlearners import unlearners  # noqa: E402

CPU = torch.device("cpu")
MODELS = {"LR": ("logistic", {}), "MLP 10": ("mlp", {"hidden": 10})}


@dataclass(frozen=True)
class Task:
    """Training and test examples of a small set, on the CPU."""

    name: str
    train: Images
    test: Images
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns of one example."""
        return tuple(self.train.x.shape[1:])  # type: ignore[return-value]


def table(name: str, x: np.ndarray, y: np.ndarray, test: np.ndarray) -> Task:
    """Return numbers x (N, d) as examples of d channels of one pixel: 256 levels each, standardised."""
    low, high = x[~test].min(axis=0), x[~test].max(axis=0)
    levels = np.clip(np.round(255 * (x - low) / (high - low)), 0, 255).astype(np.uint8)  # (N, d)
    moments = [
        torch.tensor(m(levels[~test] / 255, axis=0), dtype=torch.float32)[:, None, None] for m in (np.mean, np.std)
    ]
    parts = [Images(torch.tensor(levels[rows])[:, :, None, None], torch.tensor(y[rows]).long(), 255, *moments)
             for rows in (~test, test)]  # fmt: skip
    return Task(name, *parts, classes=int(y.max()) + 1)


def breast_cancer() -> Task:
    """569 tumours, 30 measurements, benign or malignant; a stratified fifth is held out."""
    found = load_breast_cancer()
    return table("breast cancer", found.data, found.target, held_out(found.target, [str(i) for i in range(569)]))


def digits() -> Task:
    """The embedded digits with their fixed test set."""
    with tempfile.TemporaryDirectory() as folder:
        data = datasets()["digits"]().load(Path(folder), lambda *_: None)
    return Task("digits", Images.of(data, "train", CPU), Images.of(data, "test", CPU), len(data.classes))


def fitted(net: Net, images: Images, training: Training, gone: Tensor) -> Ensemble:
    """Return model 0 of the original's seed, trained without the examples ``gone``: its own start and batches."""
    from engine.lesson import _train  # the lesson's own training: what a retrain is compared with must be the same

    weights = torch.ones(1, len(images))
    weights[0, gone] = 0
    row = _train(net, images, training, torch.arange(len(images))[None], weights, 0, "original", [0])
    like = Ensemble.initial(net, seed=0, role="original", ids=[0], device=CPU, strategy="stacked")
    return Ensemble(net, unflatten(row, like.params), like.buffers, (0,))


def accuracy(ensemble: Ensemble, images: Images) -> float:
    """Return the share of right answers in percent."""
    logits = ensemble.logits_shared(images.pictures(slice(None)))[0]  # (n, C)
    return 100 * float((logits.argmax(-1) == images.y).float().mean())


def answered(lesson: Lesson, original: Ensemble, forget: Images) -> tuple[Ensemble, float]:
    """Return the unlearned model and the milliseconds it took."""
    start = time.perf_counter()
    params = lesson.of([0]).answer(original.params, forget)
    took = 1000 * (time.perf_counter() - start)
    return Ensemble(original.net, params, original.buffers, (0,)), took


def gain(original: Ensemble, unlearned: Ensemble, retrained: Ensemble) -> float:
    """Return the distance to the retrained weights over that of doing nothing."""
    first, made, wanted = (flatten(e.params) for e in (original, unlearned, retrained))
    return float((made - wanted).norm() / (first - wanted).norm())


def requests(task: Task, model: str, sizes: Sequence[int], number: int, settings: dict[str, object]) -> list[str]:
    """Return the rows of the first table for one task and model."""
    key, own = MODELS[model]
    net = Net(architectures()[key](**own), task.shape, task.classes)
    training, method = Training(), unlearners()["l2ul"](**settings)
    begun = time.perf_counter()
    lesson = learn(net, task.train, training, method, seed=0, ids=[0])
    learning = time.perf_counter() - begun
    original = fitted(net, task.train, training, torch.empty(0, dtype=torch.long))
    kinds = [(f"random {size}", None, size) for size in sizes]
    kinds += [(f"class {c}", c, 0) for c in (range(task.classes) if task.classes > 2 else ())][:3]
    rows = []
    for label, only, size in kinds:
        found: dict[str, list[float]] = {
            k: [] for k in ("ms", "retrain", "left", "nothing", *(f"{w}{s}" for w in "nur" for s in "tf"))
        }
        for request in range(number if only is None else 1):
            generator = torch.Generator().manual_seed(10_000 + request)
            gone = torch.randperm(len(task.train), generator=generator)[:size] if only is None else (
                task.train.y == only).nonzero()[:, 0]  # fmt: skip
            forget = task.train.take(gone)
            kept = torch.ones(len(task.train), dtype=torch.bool)
            kept[gone] = False
            start = time.perf_counter()
            last(train(net, task.train, training, seed=0, role="original", ids=[0], strategy="looped",
                       subset=kept.nonzero()[:, 0]))  # fmt: skip
            found["retrain"].append(1000 * (time.perf_counter() - start))
            retrained = fitted(net, task.train, training, gone)
            unlearned = answered(lesson, original, forget)[0]
            found["ms"] += [answered(lesson, original, forget)[1] for _ in range(5)]
            first, made, wanted = (flatten(e.params) for e in (original, unlearned, retrained))
            found["left"].append(float((made - wanted).square().sum()))
            found["nothing"].append(float((first - wanted).square().sum()))
            for who, ensemble in (("n", original), ("u", unlearned), ("r", retrained)):
                found[f"{who}t"].append(accuracy(ensemble, task.test))
                found[f"{who}f"].append(accuracy(ensemble, forget))
        mid = {k: statistics.median(v) for k, v in found.items()}
        mean = {k: statistics.mean(v) for k, v in found.items()}
        rows.append(
            f"| {task.name}, {model} | {label} | {learning:.0f} | {mid['ms']:.2f} | {mid['retrain']:.0f} | "
            f"{mid['retrain'] / mid['ms']:.0f} | "
            + " | ".join(" / ".join(f"{mean[w + s]:.1f}" for w in "nur") for s in "tf")
            + f" | {(mean['left'] / mean['nothing']) ** 0.5:.2f} | {float(lesson.held_out[0]):.2f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def contaminated(model: str, dirty: Sequence[int], settings: dict[str, object]) -> list[str]:
    """Return the rows of the second table for one model."""
    key, own = MODELS[model]
    rows = []
    for count in dirty:
        rng = np.random.default_rng(count)
        clouds = [rng.normal((side, 0), 0.7, (500, 2)) for side in (-2, 2)]  # half of each for testing
        x = np.concatenate(
            [*clouds, rng.normal((9, 0), 0.7, (count, 2))]
        )  # far beyond class 1, with the label of class 0
        y = np.concatenate([np.zeros(500), np.ones(500), np.zeros(count)]).astype(np.int64)
        test = np.zeros(len(x), dtype=bool)
        test[:1000:2] = True
        task = table("clouds", x, y, test)
        net = Net(architectures()[key](**own), task.shape, 2)
        training, method = Training(), unlearners()["l2ul"](**settings)
        gone = torch.arange(500, 500 + count)
        original = fitted(net, task.train, training, torch.empty(0, dtype=torch.long))
        lesson = learn(net, task.train, training, method, seed=0, ids=[0])
        retrained = fitted(net, task.train, training, gone)
        unlearned, _ = answered(lesson, original, task.train.take(gone))
        took = statistics.median(answered(lesson, original, task.train.take(gone))[1] for _ in range(5))
        told = " | ".join(f"{accuracy(e, task.test):.1f}" for e in (original, unlearned, retrained))
        rows.append(f"| {model}, {settings['regressor']} | {count} | {told} | "
                    f"{gain(original, unlearned, retrained):.2f} | {took:.2f} |")  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1,10,50")
    parser.add_argument("--lessons", type=int, default=1000)
    parser.add_argument("--alike", type=float, default=0.0)
    parser.add_argument("--regressor", default="linear")
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--data", default="breast cancer,digits")
    parser.add_argument("--models", default="LR,MLP 10")
    parser.add_argument("--dirty", default="10,25,50,100,200")
    parser.add_argument("--only", choices=("requests", "contaminated"))
    asked = parser.parse_args()
    torch.set_num_threads(1)  # as a worker has it here; two threads on so little work wait for each other
    learning = {"lessons": asked.lessons, "alike": asked.alike, "regressor": asked.regressor}
    lines = [hardware(), ""]
    if asked.only != "contaminated":
        lines += ["| data, model | request | learning s | request ms | retrain ms | ratio | test: nothing / L2UL / "
                  "retrain | forget: the same | distance | held out |", "|---|" + "---|" * 9]  # fmt: skip
        for task in (breast_cancer(), digits()):
            if task.name in asked.data.split(","):
                for model in asked.models.split(","):
                    sizes = [int(size) for size in asked.sizes.split(",")]
                    lines += requests(task, model, sizes, asked.requests, learning)
        lines.append("")
    if asked.only != "requests":
        lines += ["| model, regression | dirty points | contaminated | L2UL | retrain | distance | request ms |",
                  "|---|" + "---|" * 6]  # fmt: skip
        for model in asked.models.split(","):
            lines += contaminated(model, [int(k) for k in asked.dirty.split(",")], {**learning, "largest": 0.4})
    print("\n".join(lines))


if __name__ == "__main__":
    main()
