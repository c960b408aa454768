"""Bad teaching: a random network teaches what should be forgotten, the original teaches the rest."""

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
from engine.losses import kl_divergence
from engine.seeds import derive
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class BadTeaching(Unlearner):
    """The student imitates an untrained teacher on F and the frozen original on a sample of R."""

    key = "bad_teaching"
    order = 20
    card = Card(
        name="Bad teaching",
        summary="A student imitates a random network on what should be forgotten and the original on the rest.",
        family="distillation",
        formula="min KL(random || student) on F, KL(original || student) on a sample of R",
        reads=("forget", "retain"),
        cost="4 forward-equivalents x (|F| + share |R|) x epochs",
        paper="Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks Using an Incompetent Teacher",
        year=2022,
        arxiv="2205.08096",
        departs="KL is summed over classes and averaged over the batch; the released code divides by the classes too, "
        "which Adam undoes. Adam 3e-3 and 3 epochs instead of 1e-4 and 1, for the few steps a small data set makes.",
        fails="A random network's answers are no oracle's: forgotten points end at chance, where generalising networks "
        "would often be right and, for a forgotten class, never.",
    )
    published = Preset(
        settings={"lr": 1e-4, "epochs": 1, "share": 0.3, "temperature": 1.0},
        source="Can Bad Teaching Induce Forgetting?",
        number="ResNet-18 on CIFAR-10, 5 % random (by IAU's paper): accuracy gap 0.98, attack gap 64.93, 20 s",
        gap="attack and network are other ones",
    )
    tuned = MappingProxyType({"lr": "1e-4|1e-3|3e-3", "epochs": "1|3"})

    lr: Annotated[float, Knob("learning rate", "Step length of Adam.", low=1e-7, high=1, scale="log")] = 3e-3
    epochs: Annotated[int, Knob("epochs", "Passes over the forget set and the sample.", low=1, high=100)] = 3
    share: Annotated[
        float, Knob("retain share", "Share of the retain set that the original teaches.", low=0.01, high=1)
    ] = 0.3
    temperature: Annotated[
        float, Knob("temperature", "Softens teachers and student alike.", low=0.1, high=20, advanced=True)
    ] = 1.0
    batch_size: Annotated[int, Knob("batch size", "Examples per step.", low=1, high=4096, advanced=True)] = 64

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return 4 forward-equivalents per example and epoch: one of a teacher, three of the student."""
        return 4.0 * (forget + self._sample_size(retain)) * self.epochs

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        def imitate(student: Student, x: Tensor, teacher: Tensor) -> Tensor:
            return kl_divergence(teacher=teacher, student=student(x), temperature=self.temperature)

        streams = Streams(seed, self.key, original.ids, original.device)
        random = Ensemble.initial(
            task.net,
            seed=derive(seed, "bad teacher"),
            role="bad teacher",
            ids=original.ids,
            device=original.device,
            strategy=original.strategy,
        )
        both, forget = task.forget.join(task.retain), len(task.forget)
        sample = forget + streams.choice(len(task.retain), self._sample_size(len(task.retain)))  # (M, s)
        positions = torch.cat([torch.arange(forget, device=original.device).expand(len(original), -1), sample], dim=1)
        total = self.epochs * -(-positions.shape[1] // self.batch_size)
        stepper = Stepper(original, total=total, lr=self.lr, optimizer="adam")
        yield stepper.snapshot()
        for _ in range(self.epochs):
            for order in streams.epoch(positions.shape[1], self.batch_size):  # (M, B)
                chosen = positions.gather(1, order)  # (M, B)
                x, _ = both.batch(chosen)
                bad = (chosen < forget).unsqueeze(-1)  # (M, B, 1)
                teacher = torch.where(bad, random.logits(x), original.logits(x))  # (M, B, C)
                size = chosen.shape[1]
                cost = size * (FORWARD + FORWARD + BACKWARD)  # each example has one teacher that counts
                stepper.step(imitate, x, teacher, seen=size, cost=cost, name="distillation loss")
                yield stepper.snapshot()

    def _sample_size(self, retain: int) -> int:
        return max(1, round(self.share * retain))
