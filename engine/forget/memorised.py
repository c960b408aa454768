"""A forget set by memorisation: what networks know by heart, what they get right without it, or some of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from engine.cards import Card
from engine.forget.base import Count, Scene, Selector, checked, checked_count, whole, words
from engine.knobs import Knob


@dataclass(frozen=True)
class Memorised(Selector):
    """The ``n`` training pictures that are memorised most, least or half, or a third of each."""

    key = "memorised"
    order = 5
    forms = ("memorised:most,50", "memorised:least,50", "memorised:half,50", "memorised:mixed,48")
    card = Card(
        name="Memorised most or least",
        summary="The training pictures that networks know by heart, or those they get right without them.",
        family="memorisation",
        formula="P[right | learned] - P[right | not learned], over networks on random halves",
        reads=("memorisation scores",),
        cost="as many networks as the ensemble has, on half of the data each",
        paper="What makes unlearning hard and what to do about it",
        year=2024,
        arxiv="2406.01257",
        departs="Memorisation is estimated with probabilities where the paper counts right answers.",
    )

    end: Annotated[
        str,
        Knob(
            "which",
            "most: known by heart; least: known without them; half: nearest to 0.5; mixed: a third of each, as the "
            "paper's forget sets are.",
            choices=("most", "least", "half", "mixed"),
        ),
    ] = "most"
    n: Count = 50

    def title(self) -> str:
        return f"{self.n} memorised {self.end}"

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:  # noqa: ARG002
        """Rank the scores; of equal ones the lower number goes first, and in a mixture most and least before half."""
        checked_count(self.n, scene.data)
        scores = scene.memorised()  # (N,)
        most, least = np.argsort(-scores, kind="stable"), np.argsort(scores, kind="stable")  # (N,)
        half = np.argsort(np.abs(scores - 0.5), kind="stable")  # (N,)
        if self.end != "mixed":
            return checked({"most": most, "least": least, "half": half}[self.end][: self.n], scene.data)
        third = self.n // 3
        ends = np.concatenate([most[:third], least[~np.isin(least, most[:third])][:third]])
        between = half[~np.isin(half, ends)][: self.n - 2 * third]
        return checked(np.concatenate([ends, between]), scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "most,50"."""
        form = " or ".join(cls.forms)
        end, n = words(text, form=form, least=2, most=2)
        return cls.from_settings({"end": end, "n": whole(n, form=form)})
