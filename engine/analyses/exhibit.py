"""The pictures that a method makes on its way, such as UNSIR's noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement


@dataclass(frozen=True)
class Exhibit(Analysis):
    """What a method makes from the first original, made again for those who look: no part of its result."""

    key = "exhibit"
    order = 90
    over = "first chunk"
    doing = "making pictures"
    requires = "exhibits"
    card = Card(
        name="What it makes on its way",
        summary="Shows the pictures that the method makes for each class while it unlearns.",
        family="method",
        reads=("method", "weights"),
        cost="the part of the method that makes them, for one network",
    )

    pictures: Annotated[int, Knob("pictures", "Pictures of each class at most.", low=1, high=64)] = 8
    classes: Annotated[int, Knob("classes", "Classes at most: each is a row of the figure.", low=1, high=100)] = 12

    def roles(self) -> tuple[str, ...]:
        """Return the originals, which the pictures are made from."""
        return ("original",)

    def misfit(self, subject: Subject) -> str | None:
        """Refuse methods that make none, and rows of a table."""
        if not subject.exhibits:
            return f"{subject.method} makes no pictures on its way"
        return "rows of a table make no pictures" if subject.noun == "row" else None

    def planned_cost(self, subject: Subject) -> float:
        """Return a pass over the training set: what the making takes is known only to the method."""
        return float(subject.train)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:  # noqa: ARG002
        """Return the pictures and how sure the original is of the classes they were made for.

        ``pictures`` float32 (K, n, c, h, w), normalised; ``classes`` int64 (K,); ``sure`` float32 (K, n), the
        probability that the original gives to the class a picture was made for.
        """
        progress(0.3, "making them")
        made, classes = bench.exhibit(self.pictures)
        made, shown = made[: self.classes], classes[: self.classes]
        logits = bench.only(0).ensembles("original").logits_shared(made.flatten(0, 1))[0]  # (K * n, C)
        sure = logits.softmax(dim=1).unflatten(0, made.shape[:2])  # (K, n, C)
        rows = torch.arange(len(shown), device=shown.device)
        arrays = {"pictures": made, "classes": shown, "sure": sure[rows, :, shown]}
        names = [bench.classes[int(c)] for c in shown]
        return Measurement({k: v.cpu().numpy() for k, v in arrays.items()}, {"names": names, "classes": len(classes)})
