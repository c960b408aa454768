"""Oracle matching: regress the network's logits onto those of models that never saw the forget set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch
from torch import Tensor

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper, Student
from engine.ensemble import Ensemble
from engine.knobs import Knob
from engine.losses import squared_error
from engine.streams import Streams
from engine.task import ForgetTask, OracleLogits
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class OracleMatching(Unlearner):
    """Fit oracle logits on F and on a fresh random part of R in each epoch (Algorithm C.1)."""

    key = "oracle_matching"
    order = 20
    card = Card(
        name="Oracle matching",
        summary="Gives every point its own target: the answer of a network that never saw the forget set.",
        family="matching",
        formula="min ||f(x; theta) - f_oracle(x)||^2 on F and a random part of R",
        reads=("forget", "retain", "oracle outputs"),
        cost="3 forward-equivalents x (|F| + share x |R|) x epochs; the oracle's outputs are taken as given",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        departs=(
            "Model i matches its own oracle i, drawn from a second oracle ensemble that is independent of the one KLOM "
            "compares with, so a good score is not a copy of the yardstick. Adam instead of SGD."
        ),
        fails="It is no deletion method by itself: it needs the outputs of the retrain it wants to avoid.",
    )
    published = Preset(
        settings={"lr": 1e-4, "epochs": 4, "batch_size": 512, "repeats": 5},
        source="the released code of Unlearning via Simulated Oracle Matching, for predicted targets",
        number="ResNet-9 on CIFAR-10: forget KLOM like the floor for less than 5 % of a retrain",
        gap="the released retain sample is 20 times the forget set; here it is a share of the retain set",
    )
    tuned = MappingProxyType({"lr": "1e-4|1e-3", "epochs": "4|8"})

    lr: Annotated[float, Knob("learning rate", "Step length.", low=1e-7, high=1, scale="log")] = 5e-3
    epochs: Annotated[int, Knob("epochs", "Passes over F and a fresh part of R.", low=1, high=200)] = 8
    retain_share: Annotated[
        float, Knob("retain share", "Part of R drawn afresh in each epoch; the paper finds 0.04 enough.", low=0, high=1)
    ] = 0.5
    repeats: Annotated[
        int,
        Knob("repeats of the forget set", "How often each forget example is matched in an epoch.", low=1, high=100),
    ] = 1
    matched: Annotated[
        str,
        Knob(
            "matched",
            "both: forget and retain examples; retain: the oracle's answers on retain examples alone, an ablation.",
            choices=("both", "retain"),
            advanced=True,
        ),
    ] = "both"
    optimizer: Annotated[str, Knob("optimizer", "The update rule.", choices=("sgd", "adam"), advanced=True)] = "adam"
    batch_size: Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)] = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 3 forward-equivalents per matched example."""
        return 3.0 * (self._times() * forget + round(self.retain_share * retain)) * self.epochs

    def _times(self) -> int:
        return self.repeats if self.matched == "both" else 0

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update on a mixed batch."""

        def match(student: Student, x: Tensor, oracle: Tensor) -> Tensor:
            return squared_error(teacher=oracle, student=student(x))

        oracle_logits: OracleLogits = task.read("oracle outputs", original)
        streams = Streams(seed, self.key, original.ids, original.device)
        forgotten, retained = len(task.forget), len(task.retain)
        sampled = round(self.retain_share * retained)
        both = task.forget.join(task.retain)  # forget first, then retain
        forget = torch.arange(forgotten, device=original.device).repeat(self._times())  # (k F,)
        forget = forget.expand(len(original), -1)  # (M, k F)
        size = forget.shape[1] + sampled
        total = self.epochs * -(-size // self.batch_size)
        stepper = Stepper(original, total=total, lr=self.lr, optimizer=self.optimizer)
        yield stepper.snapshot()
        for _ in range(self.epochs):
            fresh = forgotten + streams.choice(retained, sampled)  # (M, R')
            positions = torch.cat([forget, fresh], dim=1)  # (M, k F + R')
            for order in streams.epoch(size, self.batch_size):  # (M, B)
                x, _ = both.batch(positions.gather(1, order))
                count = order.shape[1]
                oracle = oracle_logits(x)  # (M, B, C)
                cost = count * (FORWARD + BACKWARD)
                stepper.step(match, x, oracle, seen=count, cost=cost, name="distance to the oracle")
                yield stepper.snapshot()
