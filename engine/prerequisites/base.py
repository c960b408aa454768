"""What a prerequisite is: something that methods, selectors and analyses read and that must be computed before.

A plug-in names on its card what it reads. The prerequisite of that name defines what it depends on, which jobs make
it, and how it is read back. Plan, estimate, progress, disk use and deletion know none by name: a new one is one file.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch

from engine.cards import Card
from engine.data.base import ImageData
from engine.ensemble import Ensemble, Strategy
from engine.jobs import Hooks, Job
from engine.knobs import Configured, Scalar
from engine.records import Choice
from engine.scope import Scope
from engine.specs import ForgetSet, Prepared, Unlearned
from engine.store import Artefact, Store


class Reads(Protocol):
    """A plug-in that reads prerequisites: a method, a selector."""

    def needs(self) -> tuple[str, ...]:
        """Return the words of what it reads with these settings."""

    def prerequisite_settings(self) -> Mapping[str, Mapping[str, Scalar]]:
        """Return the settings of what it reads, by word; a word that is absent stands for the defaults."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a prerequisite is read with, inside a job.

    ``spec`` is the reader's and ``fragment`` its part about this prerequisite, ``parts`` the parts that the
    prerequisite's jobs stored for ``part``. ``indices`` int64 (n,) are the training pictures to read it for: those to
    forget, or all of them for a selector. ``original`` are the networks a method starts from, None for a selector.
    """

    store: Store
    data: ImageData
    spec: Unlearned | ForgetSet
    fragment: Any
    part: str
    parts: tuple[str, ...]
    indices: np.ndarray
    device: torch.device
    strategy: Strategy = "stacked"
    original: Ensemble | None = field(default=None, repr=False)

    @classmethod
    def of(cls, job: Job, spec: Unlearned | ForgetSet, word: str, **known: Any) -> Self:
        """Return the reading of the prerequisite ``word`` in a job of the reader ``spec``; ``known`` is the rest."""
        return cls(
            spec=spec,
            fragment=spec.reads.get(word),
            part=job.part,
            parts=job.inputs["reads"][word],
            strategy=job.inputs.get("strategy", "stacked"),
            **known,
        )


@dataclass(frozen=True)
class Prerequisite(Configured, abc.ABC):
    """Something that is computed before a reader runs, and how the reader gets it.

    ``reads`` is the word on the readers' cards; its own ``card`` says what it is and what it costs. ``once``: it is
    true of the originals alone, so a method that reads it takes one request. ``doing`` describes its own jobs in the
    progress of a run.
    """

    card: ClassVar[Card]
    reads: ClassVar[str]
    once: ClassVar[bool] = True
    doing: ClassVar[str] = ""

    @classmethod
    def read_by(cls, plugin: Reads) -> Self | None:
        """Return it with the settings that ``plugin`` reads it with, or None if it does not read it.

        Raises:
            BadSetting: the plug-in asks for settings that it does not have.
        """
        if cls.reads not in plugin.needs():
            return None
        return cls.from_settings(plugin.prerequisite_settings().get(cls.reads, {}))

    @abc.abstractmethod
    def fragment(self, scope: Scope) -> Any:
        """Return, as plain JSON data, what of it the reader's numbers depend on; None where the originals are all.

        It becomes part of the reader's spec, under :attr:`reads`.
        """

    def jobs(self, scope: Scope, chunk: tuple[int, int]) -> tuple[Job, ...]:
        """Return the jobs that must be finished before a reader's job on ``chunk``, each with its cost.

        Jobs that several chunks or readers share are equal and are done once. Most cost: a whole training run.
        """
        del scope, chunk
        return ()

    @abc.abstractmethod
    def load(self, reading: Reading) -> Any:
        """Return the prerequisite itself; called when the reader first reads it.

        Raises:
            BadSetting: the stored parts do not suffice; in words.
        """

    def work(self, store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
        """Do one of its own jobs, those with a spec :class:`engine.specs.Prepared`, and write its part."""
        raise NotImplementedError(f"{self.key} has no jobs of its own")

    def prepared(self, of: Mapping[str, Any]) -> Prepared:
        """Return the spec of a job of its own that depends on its settings and on ``of``, plain JSON data."""
        return Prepared(Choice(self.key, self.settings()), of)
