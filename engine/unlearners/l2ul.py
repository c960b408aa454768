"""L2UL: an unlearner that is itself learned, once, from many small trainings with and without a forget set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.cards import Card, Preset
from engine.descent import Snapshot, Stepper
from engine.ensemble import Ensemble
from engine.knobs import Scalar
from engine.models.base import Architecture
from engine.task import ForgetTask
from engine.teaching import Teaching
from engine.training import Training
from engine.unlearners.base import Unlearner

WIDEST = 32
"""Hidden units from which on weights are too many, and their changes too erratic, to be learned."""


@dataclass(frozen=True)
class L2UL(Teaching, Unlearner):
    """One evaluation of a learned map from (mean embedding of F, mean embedding of D, weights) to new weights."""

    key = "l2ul"
    order = 26
    card = Card(
        name="L2UL",
        summary="Learns once how weights change when pictures are left out; requests then take milliseconds.",
        family="learned",
        formula="theta <- theta_0 + |F| / |R| u(mu_F, mu_D, theta_0), u fitted to retrained weights",
        reads=("forget", "lesson"),
        cost="one look at F per request; before the first one, up to two trainings on a subset per lesson, for each "
        "network, or for all together with logistic regression",
        paper="Learning to Unlearn: Machine Unlearning via Learning the Unlearning Behaviors",
        year=2025,
        departs="Learns the change of the weights, in proportion to |F| / |R|, unless its target is the weights; "
        "labels are part of the embedding; a linear regression stands for the paper's network, which is a setting; a "
        "subset is all of the data, which are few here.",
        fails="Single pictures, and classes unless its lessons have similar pictures, come out no nearer than doing "
        "nothing. An MLP's hidden units change erratically: little is gained there. The unlearner has seen F itself.",
    )
    published = Preset(
        settings={"target": "weights", "regressor": "network", "labels": False},
        source="Learning to Unlearn, algorithm 1 and equation 2",
        number="HIGGS, logistic regression, 1,000 forgotten: accuracy 0.63 on them where a retrain has 0.74",
        gap="its tables are not here; on the digits this form comes no nearer than doing nothing",
    )

    def misfit(self, training: Training, architecture: Architecture) -> str | None:
        """Refuse networks with more weights than can be learned, and trainings that a lesson does not repeat."""
        if training.sharded or training.patience:
            return (
                "L2UL learns from trainings of one network over all epochs: set shards, slices and patience under "
                "Training to 1, 1 and 0."
            )
        if training.restricts_examples:
            return "L2UL's lessons know the gradient of a batch alone: set restricted gradient under Training to batch."
        if training.augmented:
            return "L2UL learns from pictures as they are: turn off random crop and random flip under Training."
        size = architecture.settings()
        small = architecture.key == "mlp" and size["depth"] == 1 and size["hidden"] <= WIDEST
        if architecture.key == "logistic" or small:
            return None
        return (
            "L2UL learns every single weight, so it works on logistic regression and on an MLP with one hidden layer "
            f"of at most {WIDEST} units; choose such a model or leave L2UL out."
        )

    def prerequisite_settings(self) -> Mapping[str, Mapping[str, Scalar]]:
        """Return every setting: they are those of the lesson."""
        return {"lesson": self.settings()}

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return one look at each forgotten picture: the lesson is priced as a job of its own."""
        return float(forget)

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:  # noqa: ARG002
        """Yield the original and what the lesson makes of it."""
        stepper = Stepper(original, total=1, lr=0.0)
        yield stepper.snapshot()
        forget = task.forget
        params = task.read("lesson", original).answer(original.params, forget)
        stepper.place(params, seen=len(forget), cost=float(len(forget)))
        yield stepper.snapshot()
