"""Linear probes: does a layer still tell the forgotten points apart, though the outputs no longer do?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement
from engine.seeds import derive


@dataclass(frozen=True)
class Probe(Analysis):
    """Ridge regression from a layer's outputs to the classes, learned on other points, tried on the forget set.

    It is learned on retained points and on half of the test points, without which no probe could name a class that is
    forgotten whole; it never sees a forgotten point. Tried on the forget set and on the other half of the test points.
    """

    key = "probe"
    order = 12
    over = "chunks"
    doing = "fitting linear probes"
    card = Card(
        name="Linear probe",
        summary="Reads the classes off each layer with a straight cut: what the outputs hide may still be there.",
        family="representation",
        formula="W = argmin |X W - Y|^2 + penalty |W|^2, features X and classes Y of points that are not forgotten",
        reads=("weights",),
        cost="4 forward passes of the sampled points per network, and a linear system for each layer",
        paper="Understanding intermediate layers using linear classifier probes",
        year=2016,
        arxiv="1610.01644",
        better="oracle",
        departs="Ridge regression in closed form where the paper trains a softmax: no rate and no epochs to choose.",
        fails="A high accuracy is no memory by itself: networks that never saw the points can be read as well. Compare "
        "with the oracle's.",
    )

    sample: Annotated[int, Knob("points per split", "Points drawn from each split at most.", low=4, high=5000)] = 1000
    penalty: Annotated[
        float,
        Knob(
            "penalty",
            "Ridge penalty as a share of the mean squared length of a feature.",
            low=1e-8,
            high=10,
            scale="log",
            advanced=True,
        ),
    ] = 1e-3

    def misfit(self, subject: Subject) -> str | None:
        """Refuse where there is nothing to learn from or to try on."""
        if min(subject.test, subject.train - subject.forget) < 4:
            return "a probe learns from retained and test points, and there are fewer than four of one kind"
        return None

    def planned_cost(self, subject: Subject) -> float:
        """Return four forward passes of the sampled points."""
        splits = (subject.forget, subject.train - subject.forget, subject.test)
        return 4.0 * subject.models * sum(min(self.sample, n) for n in splits)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return ``accuracy`` float32 (M, roles, layers, 2) on forget and test points, and the axes in the facts."""
        forget, retain, test = (self._draw(bench.splits[split], split, seed) for split in ("forget", "retain", "test"))
        test = np.random.default_rng(derive(seed, "probe", "halves")).permutation(test)
        learned = np.concatenate([retain, test[::2]])
        points = np.concatenate([learned, forget, test[1::2]])
        labels = torch.from_numpy(bench.labels[points])  # (n,)
        ends = np.cumsum([len(learned), len(forget), len(points) - len(learned) - len(forget)])
        layers = list(bench.net.layers)
        values = np.empty((len(bench), len(self.roles()), len(layers), 2), np.float32)
        for m in range(len(bench)):
            one = bench.only(m)  # features of all networks of a wide layer would not fit into memory
            for r, role in enumerate(self.roles()):
                progress((m + r / len(self.roles())) / len(bench), f"network {m + 1} of {len(bench)}, {role}")
                for number, features in enumerate(one.layers(role, points).values()):
                    x = features[0].cpu()  # (n, D)
                    weights = ridge(x[: ends[0]], labels[: ends[0]], len(bench.classes), self.penalty)
                    right = (answers(x, weights) == labels).double()  # (n,)
                    tried = right[ends[0] : ends[1]], right[ends[1] : ends[2]]
                    values[m, r, number] = [float(part.mean()) for part in tried]
        facts = {
            "roles": list(self.roles()),
            "layers": layers,
            "splits": ["forget", "test"],
            "learned": len(learned),
            "points": {"forget": len(forget), "test": int(ends[2] - ends[1])},
        }
        return Measurement({"accuracy": values}, facts)

    def _draw(self, points: np.ndarray, split: str, seed: int) -> np.ndarray:
        """Return the points of a split that are used, the same ones for every network, sorted."""
        rng = np.random.default_rng(derive(seed, "probe", split))
        return np.sort(rng.choice(points, min(self.sample, len(points)), replace=False))


def ridge(x: Tensor, y: Tensor, classes: int, penalty: float) -> Tensor:
    """Return the weights (D + 1, C) of ridge regression from features x (n, D) to classes y (n,); the last row is bias.

    Targets are 1 for the class and 0 elsewhere; the bias is free. Solved where there are fewer equations: over the D
    features or over the n points.
    """
    x = x.double()
    target = torch.nn.functional.one_hot(y, classes).double()  # (n, C)
    middle, level = x.mean(dim=0), target.mean(dim=0)  # (D,), (C,)
    x, target = x - middle, target - level
    n, width = x.shape
    added = max(penalty * float(x.square().sum()) / max(1, min(n, width)), 1e-12)
    if width <= n:
        inner = x.t() @ x + added * torch.eye(width, dtype=x.dtype)
        weights = torch.linalg.solve(inner, x.t() @ target)  # (D, C)
    else:
        inner = x @ x.t() + added * torch.eye(n, dtype=x.dtype)
        weights = x.t() @ torch.linalg.solve(inner, target)  # (D, C)
    return torch.cat([weights, (level - middle @ weights).unsqueeze(0)])


def answers(x: Tensor, weights: Tensor) -> Tensor:
    """Return the class with the largest value for features x (n, D) under weights (D + 1, C): int64 (n,)."""
    return (x.double() @ weights[:-1] + weights[-1]).argmax(dim=1)
