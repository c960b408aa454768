"""Fisher forgetting: noise on the weights, most on those that the retain set does not need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from torch import Tensor

from engine.cards import Card, Preset
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.gradients import mean_square_gradient
from engine.knobs import Knob
from engine.losses import cross_entropy
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

FLOOR = 1e-8
"""Added to the Fisher information before it is inverted."""


@dataclass(frozen=True)
class FisherForgetting(Unlearner):
    """One draw of Gaussian noise per weight; its variance falls with the retain set's Fisher information there.

    The paper's optimum under a quadratic loss is covariance sqrt(lambda sigma^2) B^(-1/2), B the loss's curvature on R
    (proposition 4); its released code takes B's stand-in, the diagonal Fisher information, to the power -1.
    """

    key = "fisher"
    order = 31
    card = Card(
        name="Fisher forgetting",
        summary="Adds noise to the weights, the more the less what is kept depends on them.",
        family="second order",
        formula="theta <- theta + sqrt(v) n, v = alpha min((I_R + 1e-8)^-power, ceiling), n ~ N(0, 1)",
        reads=("retain",),
        cost="3 forward-equivalents x |R|",
        paper="Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        year=2020,
        arxiv="1911.04933",
        departs="Fisher information from the given labels, not from all classes; one variance per weight, where "
        "released code averages rows, shakes the last layer more and resets a forgotten class's row.",
        fails="Noise does not know the forget set: what blurs it blurs the rest, and nothing repairs the network.",
    )
    published = Preset(
        settings={"alpha": 1e-6},
        source="Eternal Sunshine of the Spotless Net",
        number="ResNet-18 on CIFAR-10, one class (by UNSIR's paper): retain accuracy 10.85, forget 0",
        gap="no reset of the forgotten class's row, and another network",
    )
    tuned = MappingProxyType({"alpha": "1e-7|1e-6|1e-5|1e-4"})

    alpha: Annotated[
        float, Knob("alpha", "Variance of the noise where the Fisher information is 1.", low=1e-12, high=1, scale="log")
    ] = 1e-6
    power: Annotated[
        float,
        Knob("power", "1 as in the released code; 0.5 is the paper's optimum; 0 the same noise everywhere.", low=0,
             high=1, advanced=True),
    ] = 1.0  # fmt: skip
    ceiling: Annotated[
        float,
        Knob("ceiling", "Largest value of the inverse, for weights nothing depends on.", low=1, high=1e8, scale="log",
             advanced=True),
    ] = 1e3  # fmt: skip

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        return 3.0 * retain

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        streams = Streams(seed, self.key, original.ids, original.device)
        stepper = Stepper(original, total=1, lr=0.0)
        yield stepper.snapshot()
        information = mean_square_gradient(original, cross_entropy, task.retain)
        noisy = {
            name: weight + self.variance(information[name]).sqrt() * streams.normal(*weight.shape[1:])
            for name, weight in original.params.items()
        }
        size = len(task.retain)
        stepper.place(noisy, seen=size, cost=size * (FORWARD + BACKWARD))
        yield stepper.snapshot()

    def variance(self, information: Tensor) -> Tensor:
        """Return the noise's variance for weights with this Fisher information, any shape."""
        return self.alpha * (information + FLOOR).pow(-self.power).clamp(max=self.ceiling)
