"""RUM: the forget set in groups of like memorisation, and a method of one's choice applied to one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

import torch

from engine.cards import Card, Preset
from engine.descent import Snapshot
from engine.ensemble import Ensemble
from engine.knobs import BadSetting, Knob, Scalar
from engine.memorisation import Scores, by_rank, sizes
from engine.models.base import Architecture
from engine.seeds import derive
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners import make_unlearner
from engine.unlearners.base import Unlearner

BASES = (
    *("neg_grad_plus", "scrub", "salun", "random_labels", "amnesiac", "l1_sparse", "gradient_descent"),
    "gradient_ascent",
)
"""Methods that start from the network at hand, read no more than forget and retain set, and have a rate and epochs."""


@dataclass(frozen=True)
class RUM(Unlearner):
    """Unlearn S_1, S_2, ... in turn, each by a method's whole run from where the one before it ended."""

    key = "rum"
    order = 45
    card = Card(
        name="RUM",
        summary="Sorts what should be forgotten by how well it was memorised and unlearns one group after the other.",
        family="meta",
        formula="F in groups S_1 to S_k by rising memorisation; theta <- U(theta, S_i, R) for one after the other",
        reads=("forget", "retain", "memorisation scores"),
        cost="that of the chosen method for each group; networks on halves are trained beside it, half a retrain each",
        paper="What makes unlearning hard and what to do about it",
        year=2024,
        arxiv="2406.01257",
        departs=(
            "Groups are equal shares of any forget set, by rank; the paper makes its forget sets of the least, the "
            "most and the middling memorised. One rate and one number of epochs serve all groups; its code tunes "
            "each. Memorisation is estimated on halves of the training set, and with probabilities."
        ),
        fails="Each group costs a whole run of the method, and a forget set that is all alike has nothing to sort.",
    )
    published = Preset(
        settings={"base": "neg_grad_plus", "groups": 3},
        source="What makes unlearning hard and what to do about it",
        gap="its forget sets are made of three kinds of memorisation, and rates are tuned for each group",
    )
    tuned = MappingProxyType({"base": "neg_grad_plus|random_labels", "epochs": "1|3"})

    base: Annotated[str, Knob("method", "What is applied to each group in turn.", choices=BASES)] = "neg_grad_plus"
    low: Annotated[
        str,
        Knob(
            "method for the least memorised",
            "same: as the others; nothing: left as they are, for other examples teach the same.",
            choices=("same", "nothing", *BASES),
        ),
    ] = "same"
    groups: Annotated[int, Knob("groups", "How many groups of equal size; the paper has 3.", low=1, high=20)] = 3
    sequence: Annotated[
        str,
        Knob(
            "sequence",
            "low_to_high: the least memorised group first, as in the authors' code; high_to_low: the most.",
            choices=("low_to_high", "high_to_low"),
        ),
    ] = "low_to_high"
    waiting: Annotated[
        str,
        Knob(
            "groups that wait",
            "kept: in the retain set until it is their turn, as in the authors' code; aside: in no set.",
            choices=("kept", "aside"),
        ),
    ] = "kept"
    scores: Scores = "halves"
    lr: Annotated[
        float, Knob("learning rate", "Of the method on each group; 0 is the method's own.", low=0, high=1, scale="log")
    ] = 0.0
    epochs: Annotated[int, Knob("epochs", "Of the method on each group; 0 is the method's own.", low=0, high=100)] = 0

    def prerequisite_settings(self) -> Mapping[str, Mapping[str, Scalar]]:
        """Return the kind of memorisation scores these settings read."""
        return {"memorisation scores": {"by": self.scores}}

    def misfit(self, training: Training, architecture: Architecture) -> str | None:
        """Return why a method it applies cannot take its settings, or cannot work on such originals."""
        for lowest in (True, False):
            try:
                method = self._method(lowest=lowest)
            except BadSetting as error:
                return str(error)
            if method is not None and (why := method.misfit(training, architecture)):
                return why
        return None

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:
        """Return the sum of what the methods plan for their groups."""
        size = sizes(forget, self.groups)
        cost = 0.0
        for number, waiting in self._turns(len(size)):
            method = self._method(lowest=number == 0)
            if method is not None:
                retained = retain + sum(size[i] for i in waiting)
                cost += method.planned_cost(forget=size[number], retain=retained, training=training)
        return cost

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield step 0 and then every update of every group's run, numbered on; the first group's run has ``seed``."""
        scores = task.read("memorisation scores", original).cpu().numpy()  # (F,)
        groups = [torch.from_numpy(group).to(original.device) for group in by_rank(scores, self.groups)]  # (f,) each
        none = torch.empty(0, dtype=torch.int64, device=original.device)
        runs = []
        for turn, (number, waiting) in enumerate(self._turns(len(groups))):
            method = self._method(lowest=number == 0)
            if method is not None:
                also_retain = torch.cat([none, *(groups[i] for i in waiting)])  # (k,)
                part = task.part(groups[number], also_retain=also_retain, reads=method.card.reads)
                runs.append((method, part, derive(seed, "rum:group", turn) if turn else seed))
        # A run's first snapshot holds its number of steps, which is the same for one model as for all.
        total = sum(next(method.unlearn(original[:1], part, seed=run_seed)).total for method, part, run_seed in runs)
        last = Snapshot(original, 0, total, 0, 0.0, {})
        yield last
        for method, part, run_seed in runs:
            before = last
            run = method.unlearn(before.ensemble.clone(), part, seed=run_seed)
            next(run)  # its step 0 is where the one before it ended
            for here in run:
                step, seen, cost = before.step + here.step, before.seen + here.seen, before.cost + here.cost
                last = replace(here, step=step, total=total, seen=seen, cost=cost)
                yield last

    def _method(self, *, lowest: bool) -> Unlearner | None:
        """Return the method that is applied to a group, ``None`` where none is.

        Raises:
            BadSetting: the method does not take this learning rate or so many epochs.
        """
        key = self.low if lowest and self.low != "same" else self.base
        if key == "nothing":
            return None
        settings = {name: value for name, value in (("lr", self.lr), ("epochs", self.epochs)) if value}
        return make_unlearner({"key": key, **settings})

    def _turns(self, groups: int) -> list[tuple[int, list[int]]]:
        """Return, in turn, each group's number, 0 the least memorised, with the groups that are retained meanwhile."""
        order = list(range(groups)) if self.sequence == "low_to_high" else list(range(groups))[::-1]
        return [(number, order[turn + 1 :] if self.waiting == "kept" else []) for turn, number in enumerate(order)]
