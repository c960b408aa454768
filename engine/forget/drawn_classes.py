"""Whole classes drawn at random, as tables over many class sets are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from engine.cards import CLASSES, Card
from engine.forget.base import ForgetError, Scene, Selector, checked, generator, whole
from engine.knobs import Knob


@dataclass(frozen=True)
class DrawnClasses(Selector):
    """Every training picture of ``n`` classes that chance draws."""

    key = "classes"
    order = 1
    forms = ("classes:2",)
    suits = CLASSES
    card = Card(
        name="Random classes",
        summary="Every picture of some classes that are drawn at random, for tables over many class sets.",
        family="labels",
        cost="none",
    )

    n: Annotated[int, Knob("how many classes", "Classes to forget whole, drawn at random.", low=1, high=1000)] = 2

    def title(self) -> str:
        return f"{self.n} random class{'es' if self.n > 1 else ''}"

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:
        """Draw the classes, of those that have training pictures, from the seed alone."""
        labels = scene.data.y_train
        there = np.unique(labels)  # (C,)
        if self.n >= len(there):
            raise ForgetError(
                f"{scene.data.name} has pictures of {len(there)} classes, and one must be retained; choose at most "
                f"{len(there) - 1}"
            )
        drawn = generator(seed, self.key).choice(there, self.n, replace=False)  # (n,)
        return checked(np.flatnonzero(np.isin(labels, drawn)), scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "2"."""
        return cls(n=whole(text, form=cls.forms[0]))
