"""What the networks answer now: predicted classes, how sure they are, and how like networks that know nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import ROLES, Bench
from engine.cards import Card
from engine.ensemble import Ensemble
from engine.measurement import Measurement

_AT_ONCE = 2000
"""Points whose probabilities are held at once: 100 networks of 10 classes are 8 MB."""


@dataclass(frozen=True)
class Predictions(Analysis):
    """The class each network answers at each point, its largest probability and the entropy of all of them.

    The answers of a thousand pictures are whole distributions; what is kept of them is enough for shares per class,
    for what one picture is called, and for how sure the networks are. Mean probabilities per class are kept per split:
    neighbours of a forgotten class may betray it where answers do not.
    """

    key = "predictions"
    order = 5
    over = "chunks"
    doing = "asking the networks"
    card = Card(
        name="Predictions",
        summary="Asks every network what each point is and how sure it is, before, after, and had it never seen it.",
        family="answers",
        formula="ZRF = 1 - mean_x JS(M(x), M_random(x)), JS in bits",
        reads=("weights", "pictures"),
        cost="a forward pass of all points through five ensembles",
        paper="Can Bad Teaching Induce Forgetting?",
        year=2022,
        arxiv="2205.08096",
        better="oracle",
        departs="ZRF is the mean over networks, each beside an untrained one of its own; the paper has one of each.",
        fails="An answer is one class: two networks may call a picture alike and be far apart in everything else.",
    )

    def planned_cost(self, subject: Subject) -> float:
        """Return a forward pass of every point through each of five networks."""
        return 5.0 * subject.models * (subject.train + subject.test)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return what every network of each role answers.

        ``predicted`` int16 (M, roles, P); ``sure`` float32 (M, roles, P), the largest probability; ``entropy`` float32
        (M, roles, P) in nats; ``mean`` float32 (M, roles, splits, C), the mean probability of each class; ``zrf``
        float32 (M, roles, splits), 1 where answers are those of an untrained network.
        """
        original = bench.ensembles(ROLES[0])
        about = {"ids": bench.ids, "device": original.device, "strategy": original.strategy}
        untrained = Ensemble.initial(original.net, seed=seed, role="untrained", **about)
        models, points, classes = len(bench), len(bench.labels), len(bench.classes)
        shape = (models, len(ROLES), points)
        predicted, sure, entropy = np.empty(shape, np.int16), np.empty(shape, np.float32), np.empty(shape, np.float32)
        sums = np.zeros((models, len(ROLES), len(bench.splits), classes))
        likeness = np.zeros((models, len(ROLES), len(bench.splits)))
        for start in range(0, points, _AT_ONCE):
            here = np.arange(start, min(points, start + _AT_ONCE))
            blank = self._probabilities(bench, untrained, here)  # (M, n, C)
            for r, role in enumerate(ROLES):
                progress((start + len(here) * r / len(ROLES)) / points, f"{role}, points from {start:,}")
                p = self._probabilities(bench, bench.ensembles(role), here)  # (M, n, C)
                predicted[:, r, here] = p.argmax(-1).cpu().numpy()
                sure[:, r, here] = p.amax(-1).cpu().numpy()
                entropy[:, r, here] = torch.special.entr(p).sum(-1).cpu().numpy()
                apart = divergence(p, blank).cpu().numpy()  # (M, n)
                values = p.cpu().numpy()
                for s, chosen in enumerate(bench.splits.values()):
                    at = np.flatnonzero(np.isin(here, chosen))
                    sums[:, r, s] += values[:, at].sum(axis=1)
                    likeness[:, r, s] += apart[:, at].sum(axis=1)
        sizes = np.array([max(1, len(chosen)) for chosen in bench.splits.values()])
        places = {name: chosen.tolist() for name, chosen in bench.splits.items() if name not in ("retain", "test")}
        return Measurement(
            {
                "predicted": predicted,
                "sure": sure,
                "entropy": entropy,
                "mean": (sums / sizes[:, None]).astype(np.float32),
                "zrf": (1 - likeness / sizes).astype(np.float32),
            },
            {
                "roles": list(ROLES),
                "classes": list(bench.classes),
                "splits": list(bench.splits),
                "places": places,
                "train": bench.train,
                "labels": bench.labels.tolist(),
            },
        )

    @staticmethod
    def _probabilities(bench: Bench, ensemble: Ensemble, points: np.ndarray) -> Tensor:
        x = bench.images.pictures(torch.from_numpy(points).to(ensemble.device))
        logits = torch.cat([ensemble.logits_shared(x[span]) for span in ensemble.spans(len(points))], dim=1)
        return logits.float().softmax(-1)  # (M, n, C)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of distributions over the last axis, in bits: 0 alike, 1 at most."""
    middle = torch.special.entr((p + q) / 2).sum(-1)
    return (middle - (torch.special.entr(p).sum(-1) + torch.special.entr(q).sum(-1)) / 2).clamp(min=0) / np.log(2)
