"""A tiny data set and tiny settings shared by the engine's tests."""

from __future__ import annotations

import functools

import numpy as np
import torch

from engine.data.base import ImageData, image_data
from engine.ensemble import Ensemble
from engine.images import Images
from engine.lesson import Lesson, learn
from engine.models import architectures
from engine.models.base import Architecture, Net
from engine.models.sharded import net_for
from engine.record import TrainingRecord
from engine.task import ForgetTask
from engine.train import last, train
from engine.training import Training

CPU = torch.device("cpu")
FORGET = torch.tensor([3, 7, 8, 20, 31, 33])
MEMORISED = {"halves": [0.9, 0.0, 0.3, 0.8, 0.1, 0.2], "confidence": [0.1, 0.2, 0.9, 0.3, 0.7, 0.8]}


def data(side: int = 4, channels: int = 1, train: int = 48, classes: int = 3, seed: int = 0) -> ImageData:
    """Return random pictures whose label can be learned from the brightest third."""
    rng = np.random.default_rng(seed)
    n = train + 12
    y = rng.integers(0, classes, n)
    x = rng.integers(0, 120, (n, channels, side, side)).astype(np.uint8)
    for i, label in enumerate(y):
        x[i, :, label % side] += 100
    return image_data(
        name="small",
        classes=tuple("abcdefgh"[:classes]),
        x_train=x[:train],
        y_train=y[:train],
        x_test=x[train:],
        y_test=y[train:],
    )


def net(architecture: Architecture | None = None, source: ImageData | None = None) -> Net:
    source = source or data()
    return Net(architecture or architectures()["mlp"](hidden=8), source.shape, len(source.classes))


def images(source: ImageData | None = None) -> Images:
    return Images.of(source or data(), "train", CPU)


def training(**settings: object) -> Training:
    return Training.from_settings({"epochs": 2, "batch_size": 16, "lr": 0.05, **settings})


def task(
    of: Net,
    source: Images,
    reads: tuple[str, ...],
    oracle: object = None,
    recipe: Training | None = None,
    lesson: Lesson | None = None,
    by: str = "halves",
) -> ForgetTask:
    kept = torch.ones(len(source), dtype=torch.bool)
    kept[FORGET] = False
    return ForgetTask(
        net=of,
        training=recipe or training(),
        reads=reads,
        _forget=source.take(FORGET),
        _retain=source.take(kept.nonzero()[:, 0]),
        _numbers=kept.nonzero()[:, 0],
        _reads={
            **({} if oracle is None else {"oracle outputs": lambda _: oracle}),
            "training record": lambda original: record(original, source, recipe or training()),
            "memorisation scores": lambda _: torch.tensor(MEMORISED[by]),
            **({} if lesson is None else {"lesson": lambda original: lesson.of(original.ids)}),
        },
    )


@functools.cache
def lesson(of: Net, method: object, ids: tuple[int, ...]) -> Lesson:
    """What a learned unlearner is given for originals with seed 0: a real one, of pictures made like these."""
    source = data(side=of.shape[1], channels=of.shape[0], classes=of.classes)
    everything = images(source)
    retain = torch.tensor(sorted(set(range(len(everything))) - set(FORGET.tolist())))
    left = everything.take(retain) if getattr(method, "fresh", False) else everything
    return learn(of, left, training(), method, seed=0, ids=ids, size=len(everything))


def sharded(of: Net, recipe: Training) -> Net:
    """The network as a recipe has it: of as many as there are shards."""
    return net_for(of.architecture, of.shape, of.classes, recipe)


def record(original: Ensemble, source: Images, recipe: Training) -> TrainingRecord:
    """What the training of originals with seed 0 left; steps and slices are made when they are asked for."""
    about = {"seed": 0, "role": "original"}

    def again(**hooks: object) -> None:
        last(train(original.net, source, recipe, ids=original.ids, strategy=original.strategy, **about, **hooks))

    def gradients() -> np.ndarray:
        steps: list[np.ndarray] = []
        again(keep=lambda step: steps.append(step.numpy()))
        return np.stack(steps)

    def after(slice_: int) -> Ensemble:
        slices: list[Ensemble] = []
        again(checkpoint=slices.append)
        return slices[slice_]

    return TrainingRecord(
        original=original, training=recipe, size=len(source), forget=FORGET, _gradients=gradients, _after=after, **about
    )


def same(a: object, b: object) -> bool:
    """Whether two ensembles are equal bit for bit."""
    first, second = a.tensors(), b.tensors()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def close(a: object, b: object, tolerance: float = 1e-4) -> bool:
    """Whether two ensembles are equal up to rounding."""
    first, second = a.tensors(), b.tensors()
    return all(torch.allclose(first[k].double(), second[k].double(), atol=tolerance, rtol=tolerance) for k in first)
