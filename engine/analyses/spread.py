"""Where the spread comes from: the network one starts with, the seed of the method, or which points one looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement

SOURCES = ("starts", "seeds", "points")
"""The original one starts from, the seed of the method, and the points that stand for their split."""
MEASURES = ("margin", "accuracy")
"""Mean margin of a split in logits, and its share of right answers."""


@dataclass(frozen=True)
class Spread(Analysis):
    """Variance of a method's result, split by what one would change to repeat it.

    The method runs ``seeds`` times from each of the same ``networks`` originals. Of a number per run (S, n) the mean
    square within a start is the variance of seeds, and that of the starts' means, less its share of it, the variance of
    starts: the one-way random-effects analysis of variance, whose estimates are unbiased. Points are the third: the
    variance over points of the mean answer, divided by how many there are, is what another sample of the split gives.
    """

    key = "spread"
    order = 32
    over = "first chunk"
    doing = "running the method again"
    card = Card(
        name="Where the spread comes from",
        summary="Runs the method again from the same networks with other seeds, and splits the spread of its result.",
        family="statistics",
        formula="s^2_seed = mean_m var_s(t_ms), s^2_start = var_m(mean_s t_ms) - s^2_seed / S",
        reads=("method",),
        cost="seeds - 1 further runs of the method on a few networks",
        paper="Variance Components (Searle, Casella and McCulloch)",
        year=1992,
        better="none",
        fails="A handful of starts gives a rough variance: with 8, its 95 % interval is 0.44 to 4.1 times it.",
    )

    networks: Annotated[int, Knob("starts", "Originals the method starts from.", low=2, high=100)] = 8
    seeds: Annotated[int, Knob("seeds", "Runs from each of them, with seeds of their own.", low=2, high=50)] = 4

    def roles(self) -> tuple[str, ...]:
        """Return none: the method opens what it starts from."""
        return ()

    def misfit(self, subject: Subject) -> str | None:
        """Refuse a single network, which has no spread of starts."""
        return "one network has no spread: measure two or more" if subject.models < 2 else None

    def planned_cost(self, subject: Subject) -> float:
        """Return the further runs of the method, and a forward pass of all points after each."""
        networks = min(self.networks, subject.models)
        return self.seeds * networks * (subject.unlearning + subject.train + subject.test)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:  # noqa: ARG002
        """Return ``sd`` float32 (measures, splits, sources) of one run, and ``level`` (measures, splits), its mean.

        Accuracy is a share of 1. The facts name the axes, and how many starts, seeds and points there were.
        """
        networks = min(self.networks, len(bench))
        runs = []
        for run in range(self.seeds):
            progress(run / self.seeds, f"run {run + 1} of {self.seeds} from {networks} networks")
            runs.append(bench.again(networks, run))
        answers = np.stack([[values for values, _ in runs], [right for _, right in runs]]).astype(np.float64)
        sd = np.empty((len(MEASURES), len(bench.splits), len(SOURCES)), np.float32)
        level = np.empty(sd.shape[:2], np.float32)
        for number, points in enumerate(bench.splits.values()):
            for measure, each in enumerate(answers[..., points]):  # (S, n, P)
                sd[measure, number] = np.sqrt(components(each))
                level[measure, number] = each.mean()
        facts = {
            "measures": list(MEASURES),
            "splits": list(bench.splits),
            "sources": list(SOURCES),
            "starts": networks,
            "seeds": self.seeds,
            "points": [len(points) for points in bench.splits.values()],
        }
        return Measurement({"sd": sd, "level": level}, facts)


def components(answers: np.ndarray) -> tuple[float, float, float]:
    """Return the variances of starts, seeds and points of the mean over points of answers (S, n, P).

    Raises:
        ValueError: fewer than two seeds or two starts.
    """
    seeds, starts, points = answers.shape
    if seeds < 2 or starts < 2:
        raise ValueError("variances need two seeds and two starts at least")
    each = answers.mean(axis=2)  # (S, n)
    within = float((each - each[:1]).var(axis=0, ddof=1).mean())  # exactly 0 for equal runs
    between = float(each.mean(axis=0).var(ddof=1))
    sampled = float(answers.mean(axis=(0, 1)).var(ddof=1) / points) if points > 1 else 0.0
    return max(0.0, between - within / seeds), within, sampled
