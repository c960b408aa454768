"""Reference points rather than methods: doing nothing, retraining, and a retrain that is stopped early."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from engine.cards import Card
from engine.descent import Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.knobs import Knob
from engine.models.base import Architecture
from engine.sharding import train_sharded
from engine.task import ForgetTask
from engine.train import train
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class DoNothing(Unlearner):
    """Return the originals unchanged."""

    key = "do_nothing"
    order = 0
    reference = "do nothing"
    card = Card(
        name="Do nothing",
        summary="Keeps the original network as it is; many published methods score worse than this.",
        family="reference",
        formula="theta = theta_0",
        reads=(),
        cost="none",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        fails="It forgets nothing; its KLOM on the forget set is what there is to gain.",
    )

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 0.0

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:  # noqa: ARG002
        """Yield the originals once: zero steps of zero."""
        yield Stepper(original, total=0, lr=0.0).snapshot()


@dataclass(frozen=True)
class Retrain(Unlearner):
    """Train fresh networks on the retain set with the originals' own recipe."""

    key = "retrain"
    order = 1
    starts = "fresh"
    reference = "retrain"
    card = Card(
        name="Retrain",
        summary="Trains new networks that never see the forget set: the exact answer, at full price.",
        family="reference",
        formula="theta = A(R)",
        reads=("retain",),
        cost="1 retrain",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="Pictures are normalised by mean and spread of the whole training set, and a table's categories and "
        "filled gaps come from it: that much of the forget set a retrain knows, and no picture, row or label of it.",
        fails="Never; its KLOM is the noise floor, because it is compared with other retrained networks.",
    )

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return what a training step costs for each retain example and epoch."""
        return training.passes * retain * training.visits

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield every training step of the new networks; step 0 is a fresh initialisation, not the original."""
        yield from _retrain(original, task, task.training, seed, self.key)


@dataclass(frozen=True)
class PartialRetrain(Unlearner):
    """Retrain on the recipe's own schedule and stop after a share of its epochs.

    Stopped is what papers compare with: one training gives the whole curve. Squeezed lays the schedule out over the
    fewer epochs, which is another training; on the digits its networks end far from the oracles where stopped ones are
    at the floor.
    """

    key = "partial_retrain"
    order = 2
    starts = "fresh"
    reference = "partial retrain"
    card = Card(
        name="Partial retrain",
        summary="Retrains from scratch on the retain set and stops after a share of the epochs: what time alone buys.",
        family="reference",
        formula="theta = A(R) as it is after share x epochs",
        reads=("retain",),
        cost="share of a retrain",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs="Epochs are rounded to a whole number, at least one. The squeezed schedule is ours.",
        fails="At small shares the network has not learned yet: the retain and test sets drift from the oracle.",
    )

    share: Annotated[float, Knob("share", "Share of a full retrain's epochs.", low=0.01, high=1.0)] = 0.2
    schedule: Annotated[
        str,
        Knob(
            "schedule",
            "stopped: the full retrain's learning rates, cut off; squeezed: all of them in the fewer epochs.",
            choices=("stopped", "squeezed"),
        ),
    ] = "stopped"

    def misfit(self, training: Training, architecture: Architecture) -> str | None:  # noqa: ARG002
        """Refuse to stop a training that has no one schedule: in shards or slices, or with early stopping."""
        if self.schedule == "stopped" and (training.sharded or training.patience):
            return (
                "A retrain in shards, in slices or with early stopping has no one schedule to stop on: set the partial "
                "retrain's schedule to squeezed."
            )
        return None

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return the rounded number of epochs' worth of a retrain."""
        return training.passes * retain * self._shorter(training).visits

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield every training step of the new networks, up to the last that is made."""
        shorter = self._shorter(task.training)
        if self.schedule == "squeezed":
            yield from _retrain(original, task, shorter, seed, self.key)
            return
        last = shorter.epochs * task.retain.steps(shorter.batch_size)
        for snapshot in _retrain(original, task, task.training, seed, self.key):
            yield dataclasses.replace(snapshot, total=last)
            if snapshot.step == last:
                return

    def _shorter(self, training: Training) -> Training:
        return dataclasses.replace(training, epochs=max(1, round(self.share * training.epochs)))


def _retrain(original: Ensemble, task: ForgetTask, training: Training, seed: int, role: str) -> Iterator[Snapshot]:
    about = {"seed": seed, "role": role, "ids": original.ids, "strategy": original.strategy}
    if training.sharded:  # cut as an oracle is, by the examples' numbers among all
        places = {"numbers": task.numbers, "total": task.size}
        yield from train_sharded(task.net, task.retain, training, **about, **places)
    else:
        yield from train(task.net, task.retain, training, **about)
