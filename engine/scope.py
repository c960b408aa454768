"""A scope in a plan: the recipe, the data and the request that a job belongs to, and the training jobs named there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.halves import half_size
from engine.jobs import CURVE_POINTS, Job, part_name
from engine.models import make_architecture
from engine.models.base import Net
from engine.records import Recipe
from engine.specs import ForgetSet, Trained, course_epochs

_TRAINING = {
    "original": "training originals",
    "oracle": "training oracles",
    "floor": "training second oracles",
    "halves": "training networks on random halves",
}
"""What progress calls the training of each role."""

POINT_BYTES = 7
"""Bytes of a stored margin (float32), of the answer (uint16) and of whether it was right (bool)."""


@dataclass(frozen=True, eq=False)
class Scope:
    """Where in a plan something is needed.

    ``info`` describes the data set, which ``data`` decodes; ``inputs`` is what every job that trains gets besides
    its spec. ``gone`` is the identity of all pictures that are removed by then, ``removed`` their number, ``forget``
    the forget set of the request and ``choosing`` the job that chooses it; before any request they are empty.
    ``parameters`` is the number of weights of one network, 0 where it is not known yet.
    """

    recipe: Recipe
    info: Mapping[str, Any]
    data: Job
    inputs: Mapping[str, Any]
    parameters: int = 0
    gone: str = ""
    removed: int = 0
    forget: ForgetSet | None = None
    choosing: Job | None = None

    @property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """The half-open ranges of model numbers that ensembles are cut into."""
        return self.recipe.ensemble.chunks()

    @property
    def points(self) -> int:
        """Number of training and test examples together."""
        return self.info["train"] + self.info["test"]

    def trained(self, role: str) -> Trained:
        """Return the spec of the networks of a role: "original", "oracle", "floor" or "halves"."""
        return trained(self.recipe, self.info["hash"], role, self.gone)

    def training(self, role: str, chunk: tuple[int, int]) -> Job:
        """Return the job that trains a chunk of the networks of a role, the same wherever in the plan it is needed."""
        training, spec = self.recipe.training, self.trained(role)
        train, models = self.info["train"], chunk[1] - chunk[0]
        inputs, needs, examples = self.inputs, (self.data.id,), train
        if spec.subset == "half":
            examples = half_size(train)
        elif spec.subset != "all":
            examples = train - self.removed
            inputs = {**inputs, "forget": self.forget}
            needs = (self.choosing.id,) if self.choosing is not None else needs
        original = role == "original"
        path = path_bytes(self.recipe, self.info, models) if original else 0
        if spec.keeps_course:
            path += 4 * models * len(course_epochs(training.epochs)) * min(self.points, 3 * CURVE_POINTS)
        return Job(
            spec,
            part_name(chunk),
            inputs=inputs,
            needs=needs,
            cost=(training.passes * training.visits * examples + self.points) * models,
            bytes=self.ensemble_bytes(models, copies=training.slices if original else 1) + path,
            doing=_TRAINING[role],
        )

    def ensemble_bytes(self, models: int, *, copies: int = 1) -> int:
        """Return what ``copies`` sets of the weights of ``models`` networks and their margins take on disk."""
        return models * (copies * 4 * self.parameters + POINT_BYTES * self.points)


def trained(recipe: Recipe, data_hash: str, role: str, gone: str = "") -> Trained:
    """Return what the numbers of a role's networks depend on.

    "original" learn everything, "halves" a random half each; "oracle" and "floor", the second and independent oracles,
    everything but the pictures with the identity ``gone``. Oracles serve every method that forgets those.
    """
    training = recipe.training
    if role != "original":  # only originals keep a trajectory: the others' numbers, and names, are those without
        training = replace(training, trajectory=False)
    subset = {"original": "all", "halves": "half"}.get(role, f"without:{gone}")
    return Trained(data_hash, recipe.model, training, subset, role, recipe.seed)


def path_bytes(recipe: Recipe, info: Mapping[str, Any], models: int) -> int:
    """Return the bytes that the trajectories of ``models`` originals take: a gradient per step, 0 if not stored."""
    training = recipe.training
    if not training.trajectory:
        return 0
    network = Net(make_architecture(recipe.model.to_json()), tuple(info["shape"]), len(info["classes"])).initial(0)
    steps = training.epochs * -(-info["train"] // training.batch_size)
    return 4 * models * steps * sum(p.numel() for p in network.parameters())
