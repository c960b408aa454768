"""The contract of an unlearning method."""

from __future__ import annotations

import abc
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from torch import Tensor

from engine.cards import PAPER, PRESETS, Card, Preset
from engine.descent import Snapshot
from engine.ensemble import Ensemble
from engine.knobs import Configured, Scalar
from engine.models.base import Architecture
from engine.task import ForgetTask
from engine.training import Training


@functools.cache
def searched() -> Mapping[str, Any]:
    """Return what a recorded search chose: its ``source`` in words, and ``settings`` by kind of preset and method.

    ``benchmarks/grids.py --write`` makes the file.
    """
    return json.loads(Path(__file__).with_name("searched.json").read_text("utf-8"))


@dataclass(frozen=True)
class Exhibit:
    """Pictures that a method makes on its way, for one model; not part of the result.

    ``pictures`` float32 (K, n, c, h, w), normalised as the network takes them; row k was made for class ``classes[k]``.
    """

    pictures: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Unlearner(Configured, abc.ABC):
    """A configured method: a frozen value whose fields are knobs.

    Adding one is one class in one file of ``engine/unlearners``; registry, command line, forms, documents and the
    contract tests find it there. What the card's ``reads`` lists is all it can reach.
    """

    card: ClassVar[Card]
    order: ClassVar[int] = 100
    starts: ClassVar[str] = "original"
    """Where step 0 stands: "original", "fresh" for weights that were never trained, or the knob that decides."""
    reference: ClassVar[Literal["", "do nothing", "retrain", "partial retrain"]] = ""
    """What kind of reference it is, there to be compared with; empty for a method that is tried."""
    remedy: ClassVar[Mapping[str, Scalar]] = MappingProxyType({})
    """Settings of the training that end a :meth:`misfit`, where some do; a page offers to set them."""
    goes_on: ClassVar[bool] = False
    """Whether it can take a second request although it reads what was computed for the originals alone."""
    exhibits: ClassVar[str] = ""
    """What :meth:`exhibit` shows, as in "the noise it learns"; empty where it shows none."""

    called: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Names it has under some settings, its own or the training's, where its card's name would promise more: each a
    ``name`` with the ``settings`` and ``training`` that make it so; the first that fits counts."""
    published: ClassVar[Preset | None] = None
    """The settings of its paper, with the number that belongs to them; a reference has none."""

    @classmethod
    def presets(cls) -> Mapping[str, Preset]:
        """Return the presets there are, by kind of :data:`engine.cards.PRESETS`.

        Those for kinds of forget set were chosen by the search that ``searched.json`` names, beside this module.
        """
        search = searched()
        kinds = {
            kind: Preset(methods[cls.key], search["source"])
            for kind, methods in search["settings"].items()
            if cls.key in methods
        }
        kinds |= {} if cls.published is None else {PAPER: cls.published}
        return {kind: kinds[kind] for kind in PRESETS if kind in kinds}

    tuned: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Values worth trying where it is tuned, as a sweep takes them: a knob's name and "0.001|0.01"."""

    def misfit(self, training: Training, architecture: Architecture) -> str | None:
        """Return in one sentence why it cannot work on originals trained like this and what to change, else None.

        Checked before a run, and only for what is impossible (a record that is not stored): what is merely off-label
        is the card's ``claims``.
        """
        del training, architecture
        return None

    def needs(self) -> tuple[str, ...]:
        """Return the words of what it reads: those of its card."""
        return self.card.reads

    def prerequisite_settings(self) -> Mapping[str, Mapping[str, Scalar]]:
        """Return the settings of the prerequisites it reads, by their word on the card; none stands for the defaults.

        See :mod:`engine.prerequisites`.
        """
        return {}

    @abc.abstractmethod
    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:
        """Return the cost of a whole run before it starts: forward-equivalent example passes per model.

        Exact, not a guess: the last snapshot's ``cost`` equals it. ``forget`` and ``retain`` are numbers of examples.
        Where chance decides what must be done (which shards hold the forgotten), the mean over that chance.
        Under early stopping it is a bound: methods that train anew may stop before.
        """

    @abc.abstractmethod
    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield step 0 (untouched models), a snapshot after each update, and so at last the result.

        ``original`` is not modified. Model i's result depends only on (its original, task, seed, i): draw from
        :class:`engine.streams.Streams` with ``original.ids``. Evaluation, cancelling and storage are the caller's.
        """

    def exhibit(self, original: Ensemble, task: ForgetTask, *, seed: int, most: int) -> Exhibit:
        """Return the pictures that :meth:`unlearn` makes from the first of these models with the same arguments.

        At most ``most`` for each class.

        Raises:
            NotImplementedError: this method has none; its ``exhibits`` is empty.
        """
        raise NotImplementedError(f"{self.key} has no pictures to show")
