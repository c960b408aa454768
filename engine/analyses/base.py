"""The contract of an analysis: a question about stored networks, or about the data, answered with arrays.

Adding one is a file here and a file of the same key in ``engine/views``; the command line, the queue, the pages, disk
use and deletion find it there.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.analyses.bench import ROLES, Bench
from engine.cards import Card
from engine.knobs import Configured, Scalar
from engine.measurement import Measurement
from engine.models.base import Net

About = Literal["method", "point", "run", "data"]
"""What is asked about: a method of a run, one point under it, a run without its methods, a data set."""
Over = Literal["all", "chunks", "first chunk"]
Progress = Callable[[float, str], None]
"""Called with the share done (0 to 1) and what is being done; may raise to cancel."""


@dataclass(frozen=True)
class Subject:
    """What is known before anything is measured: networks of a job, sizes of the splits, the network's architecture.

    ``noun`` is what a point is called, "picture" or "row"; ``exhibits`` what the method shows of itself, if anything;
    ``unlearning`` the cost of the method for one network, in forward-equivalent example passes.
    """

    models: int
    forget: int
    train: int
    test: int
    net: Net
    noun: str = "picture"
    method: str = ""
    exhibits: str = ""
    unlearning: float = 0.0


@dataclass(frozen=True)
class Analysis(Configured, abc.ABC):
    """A configured analysis: a frozen value whose fields are knobs. Found by scanning ``engine/analyses``.

    ``card.summary`` says in one sentence what is measured; how to read it is said by the view of the same key.
    """

    card: ClassVar[Card]
    order: ClassVar[int] = 100
    about: ClassVar[About] = "method"
    over: ClassVar[Over] = "all"
    """Networks of one job: all of them; a chunk, where every array begins with M and network i's row depends on that
    network alone, so that rows of all chunks are joined; or only the first chunk."""
    doing: ClassVar[str] = "analysing"
    """What a worker is doing meanwhile, for progress."""
    requires: ClassVar[str] = ""
    """A fact of the method ("exhibits") without which there is nothing to measure, so that pages do not offer it."""

    def needs(self) -> tuple[str, ...]:
        """Return which of ``card.reads`` these settings open."""
        return self.card.reads

    def prerequisite_settings(self) -> Mapping[str, Mapping[str, Scalar]]:
        """Return the settings of the prerequisites it reads, by word; a word that is absent stands for the defaults."""
        return {}

    def roles(self) -> tuple[str, ...]:
        """Return the ensembles that these settings open, of :data:`engine.analyses.bench.ROLES`."""
        return ROLES

    def misfit(self, subject: Subject) -> str | None:
        """Return in one sentence why there is nothing to measure here, else None. Asked before anything is computed."""
        del subject
        return None

    @abc.abstractmethod
    def planned_cost(self, subject: Subject) -> float:
        """Return the work for ``subject.models`` networks together, in forward-equivalent example passes."""

    @abc.abstractmethod
    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Measure. The same bench and seed give the same arrays.

        ``seed`` is that of the networks' training, 0 of an analysis of the data alone.
        """
