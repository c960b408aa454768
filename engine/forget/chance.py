"""A random forget set: what deletion requests from unrelated people look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from engine.cards import Card
from engine.forget.base import Count, ForgetError, Scene, Selector, checked, checked_count, generator, whole
from engine.knobs import Knob


@dataclass(frozen=True)
class Random(Selector):
    """``n`` training pictures, or so many per cent of them, drawn without replacement."""

    key = "random"
    order = 0
    forms = ("random:50", "random:5%")
    card = Card(
        name="Random",
        summary="Pictures drawn at random, as deletion requests from unrelated people would be.",
        family="chance",
        cost="none",
    )

    n: Count = 50
    percent: Annotated[
        float,
        Knob(
            "or per cent", "So many per cent of the training pictures instead; 0: the number.", low=0, high=99, unit="%"
        ),
    ] = 0.0

    def title(self) -> str:
        return f"random {self.percent:g} %" if self.percent else f"random {self.n}"

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:
        """Draw the pictures from the seed alone."""
        total = len(scene.data.y_train)
        count = max(1, round(self.percent / 100 * total)) if self.percent else self.n
        chosen = generator(seed, self.key).choice(total, checked_count(count, scene.data), replace=False)  # (F,)
        return checked(chosen, scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "50" or "5%"."""
        if not text.endswith("%"):
            return cls(n=whole(text, form=" or ".join(cls.forms)))
        try:
            percent = float(text[:-1])
        except ValueError:
            raise ForgetError(f"{text!r} is no share; write it like {cls.forms[1]}") from None
        if not percent:
            raise ForgetError(f"{text!r} is nothing to forget; write it like {cls.forms[1]}")
        return cls(percent=percent)
