"""A forget set by margin: the pictures that the originals are least, or most, sure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from engine.cards import Card
from engine.forget.base import Count, Scene, Selector, checked, checked_count, whole, words
from engine.knobs import Knob


@dataclass(frozen=True)
class Margin(Selector):
    """The ``n`` training pictures with the lowest or highest margin, averaged over the originals."""

    key = "margin"
    order = 4
    forms = ("margin:lowest,50", "margin:highest,50")
    card = Card(
        name="Lowest or highest margin",
        summary="The training pictures that the networks find hardest, or easiest.",
        family="margins",
        formula="true-class logit minus logsumexp of the others, mean over the originals",
        reads=("margins",),
        cost="one evaluation of the originals",
    )

    end: Annotated[str, Knob("end", "lowest: the hardest; highest: the easiest.", choices=("lowest", "highest"))] = (
        "lowest"
    )
    n: Count = 50

    def title(self) -> str:
        return f"{self.n} {self.end} margins"

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:  # noqa: ARG002
        """Rank the mean margins; of equal ones the lower number goes first."""
        checked_count(self.n, scene.data)
        margins = scene.mean_margins()  # (N,)
        ranked = np.argsort(margins if self.end == "lowest" else -margins, kind="stable")  # (N,)
        return checked(ranked[: self.n], scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "lowest,50"."""
        form = " or ".join(cls.forms)
        end, n = words(text, form=form, least=2, most=2)
        return cls.from_settings({"end": end, "n": whole(n, form=form)})
