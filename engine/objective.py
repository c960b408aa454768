"""The recipe's objective: what originals and oracles minimise, and what methods that train on minimise on R."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from engine.descent import Student
from engine.losses import cross_entropy, logits_cross_entropy, mean_weighted_cross_entropy, weighted_cross_entropy
from engine.training import Training


@dataclass(frozen=True)
class Objective:
    """Cross-entropy with the recipe's label smoothing and SD term, plus ``weight_decay`` / 2 times |theta|^2.

    A method that goes on training on the retain set without the last term runs away from the retrain, even where both
    problems are convex: the retrain's optimum is one of this sum. The losses here are the first part; the second is an
    optimizer's ``weight_decay``. The GR term is a part of training alone: it triples the cost of a step.

    Source: Unlearning via Simulated Oracle Matching, section 5 and appendix D.4.
    """

    label_smoothing: float = 0.0
    deviation: float = 0.0
    weight_decay: float = 0.0

    @classmethod
    def of(cls, training: Training) -> Self:
        """Return the objective of models that are trained like this."""
        return cls(training.label_smoothing, training.deviation, training.weight_decay)

    def loss(self, student: Student, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of pictures x (B, c, h, w) with labels y (B,)."""
        return cross_entropy(student, x, y, label_smoothing=self.label_smoothing, deviation=self.deviation)

    def logits_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of logits (B, C) that are there already."""
        return logits_cross_entropy(logits, y, label_smoothing=self.label_smoothing, deviation=self.deviation)

    def summed_loss(self, student: Student, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of the pictures' losses times ``weight`` (B,)."""
        smoothing, deviation = self.label_smoothing, self.deviation
        return weighted_cross_entropy(student, x, y, weight, label_smoothing=smoothing, deviation=deviation)

    def weighted_loss(self, student: Student, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Return the mean of the pictures' losses by ``weight`` (B,): see ``mean_weighted_cross_entropy``."""
        smoothing, deviation = self.label_smoothing, self.deviation
        return mean_weighted_cross_entropy(student, x, y, weight, label_smoothing=smoothing, deviation=deviation)
