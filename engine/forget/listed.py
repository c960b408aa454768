"""A group of training pictures that the data set itself knows of, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from engine.cards import Card
from engine.forget.base import ForgetError, Scene, Selector, checked
from engine.knobs import Knob


@dataclass(frozen=True)
class Listed(Selector):
    """The mislabelled pictures, or those of a folder within a class folder: what the data set lists under a name."""

    key = "listed"
    order = 7
    forms = ("listed:mislabelled", "listed:cat/small")
    names_pictures = True
    card = Card(
        name="A named part",
        summary="Pictures that the data set knows as a group: wrong labels, or a folder within a class.",
        family="list",
        cost="none",
        fails="Most data sets know of no groups; pictures of your own have one for each folder within a class folder.",
    )

    name: Annotated[
        str, Knob("name", "mislabelled, or class/folder for a folder within a class folder, as in cat/small.")
    ] = "mislabelled"

    def title(self) -> str:
        return self.name.strip()

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:  # noqa: ARG002
        """Take what is listed.

        Raises:
            ForgetError: the data set has no group of this name; the text lists those it has.
        """
        known = scene.data.subsets
        if self.name.strip() in known:
            return checked(known[self.name.strip()], scene.data)
        names = ", ".join(sorted(known)[:20]) + (" and more" if len(known) > 20 else "")
        there = f"it has {names}" if names else "it has none; choose another kind of forget set"
        raise ForgetError(f"{scene.data.name} has no part called {self.name.strip()!r}: {there}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "mislabelled" or "cat/small"."""
        return cls(name=text)
