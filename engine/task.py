"""What an unlearning method may see: the forget and retain examples, the training recipe, what its card declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from torch import Tensor

from engine.ensemble import Ensemble
from engine.images import Images
from engine.models.base import Net
from engine.objective import Objective
from engine.training import Training


class NotDeclared(PermissionError):
    """A plug-in read something that its card does not list."""


OracleLogits = Callable[[Tensor], Tensor]
"""Maps pictures (M, B, c, h, w) to logits (M, B, C) of models trained without the forget set."""


@dataclass(frozen=True)
class ForgetTask:
    """One request: the examples to forget, those to retain, and what else the method reads.

    There is no test set here and no oracle weights. ``reads`` is what the method's card declares: "forget", "retain"
    and words of prerequisites. Reaching for anything else raises :class:`NotDeclared`, so a card cannot lie.
    """

    net: Net
    training: Training
    reads: tuple[str, ...]
    _forget: Images = field(repr=False)
    _retain: Images = field(repr=False)
    _numbers: Tensor | None = field(default=None, repr=False)
    _total: int = 0
    _reads: Mapping[str, Callable[[Ensemble], Any]] = field(default_factory=dict, repr=False)

    @property
    def forget(self) -> Images:
        """The examples to forget."""
        self._declared("forget")
        return self._forget

    @property
    def retain(self) -> Images:
        """The rest of the training set."""
        self._declared("retain")
        return self._retain

    @property
    def objective(self) -> Objective:
        """What the originals minimised, for methods that go on with it."""
        return Objective.of(self.training)

    def read(self, name: str, original: Ensemble) -> Any:
        """Return a prerequisite by its word: "oracle outputs", "lesson" ...; :mod:`engine.prerequisites` has them all.

        ``original`` are the models the caller asks for. Cost: no passes here, it was computed beforehand.

        Raises:
            NotDeclared: the card does not list it.
            ValueError: the task was built without it.
        """
        self._declared(name)
        if name not in self._reads:
            raise ValueError(f"this method reads the {name}, and the task was built without it")
        return self._reads[name](original)

    @property
    def numbers(self) -> Tensor:
        """The numbers, rising, of the retain examples in the training set of :attr:`size`: int64 (R,).

        Raises:
            NotDeclared: the card does not list "retain".
            ValueError: the task was built without them.
        """
        self._declared("retain")
        if self._numbers is None:
            raise ValueError("the task was built without the numbers of the retained examples, which this method reads")
        return self._numbers

    @property
    def size(self) -> int:
        """How many examples the originals were trained on, with those that earlier requests removed."""
        return self._total or len(self._forget) + len(self._retain)

    def part(self, forget: Tensor, *, also_retain: Tensor, reads: tuple[str, ...]) -> Self:
        """Return the task of forgetting only the examples at these positions of F, for a method that ``reads`` so much.

        ``forget`` (f,) and ``also_retain`` (k,) are int64 positions in F; the latter follow the retain set in the
        part's own. What is in neither is in no set of the part. Of ``reads`` it grants what this task grants.
        """
        retain = self._retain.join(self._forget.take(also_retain)) if len(also_retain) else self._retain
        return replace(
            self,
            reads=tuple(what for what in reads if what in self.reads),
            _forget=self._forget.take(forget),
            _retain=retain,
            _numbers=None,
            _reads={},
        )

    def retrain_cost(self) -> float:
        """Return what one retrain without the forget set costs: forward-equivalent example passes per model."""
        return self.training.passes * len(self._retain) * self.training.visits

    def _declared(self, what: str) -> None:
        if what not in self.reads:
            raise NotDeclared(f"the method's card does not say that it reads {what}")
