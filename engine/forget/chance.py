"""A random forget set: what deletion requests from unrelated people look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from engine.cards import Card
from engine.forget.base import Count, Scene, Selector, checked, checked_count, generator, whole


@dataclass(frozen=True)
class Random(Selector):
    """``n`` training pictures drawn without replacement."""

    key = "random"
    order = 0
    forms = ("random:50",)
    card = Card(
        name="Random",
        summary="Pictures drawn at random, as deletion requests from unrelated people would be.",
        family="chance",
        cost="none",
    )

    n: Count = 50

    def title(self) -> str:
        return f"random {self.n}"

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:
        """Draw the pictures from the seed alone."""
        total = len(scene.data.y_train)
        chosen = generator(seed, self.key).choice(total, checked_count(self.n, scene.data), replace=False)  # (F,)
        return checked(chosen, scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "50"."""
        return cls(n=whole(text, form=cls.forms[0]))
