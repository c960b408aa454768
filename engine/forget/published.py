"""The forget sets of a published benchmark, by number."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np

from engine.cards import Card
from engine.forget.base import ForgetError, Scene, Selector, checked, whole
from engine.forget.indices import read_numbers
from engine.knobs import Knob


@dataclass(frozen=True)
class Published(Selector):
    """One of ten sets of CIFAR-10's training pictures, as numbers in the official order.

    1 to 3 are random (10, 100, 1,000 pictures), 4 to 6 and 7 to 9 lie along the first and second principal component
    of datamodels (10, 100, 500), 10 holds the neighbours of one picture.
    """

    key = "published"
    order = 8
    forms = ("published:3",)
    names_pictures = True
    card = Card(
        name="Published set",
        summary="One of the ten forget sets of a published benchmark, so that numbers can be put beside its own.",
        family="list",
        cost="none",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        fails="The numbers are those of the CIFAR-10 that is downloaded here; in a folder or archive of the same "
        "pictures they name others.",
    )

    number: Annotated[
        int, Knob("set", "1 to 3 random, 4 to 9 along datamodels' components, 10 like one picture.", low=1, high=10)
    ] = 1

    def title(self) -> str:
        return f"published set {self.number}"

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:  # noqa: ARG002
        """Take the numbers from the file of the benchmark.

        Raises:
            ForgetError: other data than CIFAR-10 in its official order.
        """
        known = sets()
        labels = scene.data.y_train
        if len(labels) != known["training pictures"] or labels[:10].tolist() != known["first labels"]:
            raise ForgetError(
                f"the published sets are numbers of CIFAR-10's {known['training pictures']:,} training pictures in "
                f"their official order, and this is {scene.data.name}; choose the data set CIFAR-10, or another kind "
                "of forget set"
            )
        return checked(read_numbers(known["sets"][str(self.number)]), scene.data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "3"."""
        return cls(number=whole(text, form=cls.forms[0]))


@functools.cache
def sets() -> Mapping[str, Any]:
    """Return the benchmark's file: its data, source and licence, and the numbers of each set as text."""
    return json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))
