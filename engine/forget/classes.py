"""Whole classes as a forget set: the network should no longer know that a kind of thing exists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from engine.cards import CLASSES, Card
from engine.data.base import ImageData
from engine.forget.base import ForgetError, Left, Scene, Selector, checked
from engine.knobs import Knob


@dataclass(frozen=True)
class Classes(Selector):
    """Every training picture of the classes named; ``classes`` lists names or numbers, names first where both fit."""

    key = "class"
    order = 1
    forms = ("class:3", "class:3,5")
    names_pictures = True
    suits = CLASSES
    card = Card(
        name="Classes",
        summary="Every picture of one or more classes: the network should forget that they exist.",
        family="labels",
        cost="none",
        fails="Test pictures of the class stay in the test split; a retrained network shows what to expect there.",
    )

    classes: Annotated[
        str,
        Knob("classes", "Class names or numbers with commas between them: 3,5; a name goes before a number."),
    ] = "0"

    def __post_init__(self) -> None:
        """Take spaces around the names away, so that equal choices are equal settings."""
        super().__post_init__()
        object.__setattr__(self, "classes", ",".join(part.strip() for part in self.classes.split(",")))

    def title(self) -> str:
        return f"{'classes' if ',' in self.classes else 'class'} {self.classes.replace(',', ', ')}"

    def among(self, left: Left) -> Self:
        """Check that some pictures of every class are left."""
        for number in self._numbers(left.data):
            removed = left.gone[left.data.y_train == number]  # (n,)
            if len(removed) and removed.all():
                raise ForgetError(
                    f"request {left.request} asks for class {left.data.classes[number]}, of which request "
                    f"{removed.max()} already removed the last picture; choose another class"
                )
        return self

    def select(self, scene: Scene, *, seed: int) -> np.ndarray:  # noqa: ARG002
        """Take all training pictures with these labels."""
        data = scene.data
        numbers = self._numbers(data)
        counts = np.bincount(data.y_train, minlength=len(data.classes))  # (C,)
        for number in numbers:
            if counts[number] == 0:
                raise ForgetError(f"class {data.classes[number]} has no training pictures; choose another class")
        chosen = np.flatnonzero(np.isin(data.y_train, numbers))  # (F,)
        if len(chosen) == len(data.y_train):
            raise ForgetError(
                f"these classes are the whole training set of {data.name}, nothing is left to retain; keep one class"
            )
        return checked(chosen, data)

    def _numbers(self, data: ImageData) -> list[int]:
        names = {name: i for i, name in enumerate(data.classes)}
        numbers: list[int] = []
        for part in self.classes.split(","):
            if part in names:
                number = names[part]
            elif part.isascii() and part.isdigit() and len(part) <= 12 and int(part) < len(data.classes):
                number = int(part)
            else:
                names_shown = ", ".join(data.classes[:10]) + (" ..." if len(data.classes) > 10 else "")
                raise ForgetError(
                    f"{data.name} has no class {part!r}; its classes are {names_shown}, or numbers from 0 to "
                    f"{len(data.classes) - 1}"
                )
            if number in numbers:
                raise ForgetError(f"class {data.classes[number]} is listed more than once; list each class once")
            numbers.append(number)
        return numbers

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "3,5" or "cat,dog"; whether there are such classes is checked with the data."""
        if not all(part.strip() for part in text.split(",")):
            raise ForgetError(f"{text!r} has an empty class name; write it like {' or '.join(cls.forms)}")
        return cls(classes=text)
