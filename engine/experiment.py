"""A recipe turned into objects, and into the specs that name its artefacts. Pure: reads nothing, runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.data import make_dataset
from engine.data.base import Dataset
from engine.forget import make_selector
from engine.forget.base import Selector
from engine.knobs import BadSetting, Configured
from engine.models import make_architecture
from engine.models.base import Architecture
from engine.records import Choice, Recipe, Training
from engine.unlearners import make_unlearner, unlearners
from engine.unlearners.base import Unlearner

Spec = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A checked recipe: every plug-in found, every setting valid, every default filled in."""

    recipe: Recipe
    dataset: Dataset
    architecture: Architecture
    selector: Selector
    methods: tuple[Unlearner, ...]
    before: tuple[Selector, ...] = ()

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selector of every request in order; this recipe's own is the last."""
        return (*self.before, self.selector)

    def original_spec(self, data_hash: str) -> Spec:
        """Return what the originals' numbers depend on."""
        return self._trained(data_hash, "original", subset="all")

    def oracle_spec(self, data_hash: str, forget_hash: str) -> Spec:
        """Return what the oracles' numbers depend on: shared by every method that forgets the same points."""
        return self._trained(data_hash, "oracle", subset=f"without:{forget_hash}")

    def floor_spec(self, data_hash: str, forget_hash: str) -> Spec:
        """Return the spec of the second, independent oracles: the noise floor, and the teachers of oracle matching."""
        return self._trained(data_hash, "floor", subset=f"without:{forget_hash}")

    def halves_spec(self, data_hash: str) -> Spec:
        """Return the spec of networks on random halves of the training set: the same ones, whatever is forgotten."""
        return self._trained(data_hash, "halves", subset="half")

    def reads_halves(self) -> bool:
        """Return whether a selector or a method wants networks on random halves."""
        by_halves = any("memorisation" in selector.needs() for selector in self.selectors)
        return by_halves or any(method.scored_by() == "halves" for method in self.methods)

    def forget_spec(self, data_hash: str) -> Spec:
        """Return what the forget set depends on; originals and halves count only when the selector looks at them."""
        return self.forget_specs(data_hash)[-1]

    def forget_specs(self, data_hash: str) -> list[Spec]:
        """Return the spec of each request's forget set; it names the one before, whose pictures it cannot choose."""
        specs: list[Spec] = []
        for choice, selector in zip(self.recipe.requests, self.selectors, strict=True):
            chosen = {k: v for k, v in choice.to_json().items() if k != "name"}  # a name changes no pictures
            spec: Spec = {"data": data_hash, "selector": chosen, "seed": self.recipe.seed}
            needs = selector.needs()
            if "memorisation" in needs:
                spec |= {"halves": self.halves_spec(data_hash), "models": self.recipe.ensemble.models}
            if set(needs) - {"memorisation"}:
                spec["original"] = self.original_spec(data_hash)
                spec["chunk"] = list(self.recipe.ensemble.chunks()[0])
            if specs:
                spec["after"] = specs[-1]
            specs.append(spec)
        return specs

    def unlearned_spec(
        self, data_hash: str, forget_hash: str, method: Unlearner, *, gone: str = "", after: Spec | None = None
    ) -> Spec:
        """Return what one method's result depends on.

        At a later request of a sequence also on ``after``, the spec of what the method left at the request before, and
        ``gone`` is the identity of all pictures that are gone by then: its oracles are trained without them.
        """
        spec: Spec = {
            "original": self.original_spec(data_hash),
            "forget": forget_hash,
            "method": as_choice(method).to_json(),
            "seed": self.recipe.seed,
        }
        if "oracle outputs" in method.card.reads:
            spec["oracle"] = self.floor_spec(data_hash, gone or forget_hash)
        if method.scored_by() == "halves":
            halves = self.halves_spec(data_hash)
            spec["memorisation"] = {"scores": "halves", "halves": halves, "models": self.recipe.ensemble.models}
        elif method.scored_by() == "confidence":
            spec["memorisation"] = {"scores": "confidence", "chunk": list(self.recipe.ensemble.chunks()[0])}
        if "lesson" in method.card.reads:
            spec["lesson"] = self.lesson_spec(data_hash, method)
        if after is not None:
            spec["after"] = after
        return spec

    def lesson_spec(self, data_hash: str, method: Unlearner) -> Spec:
        """Return what a learned unlearner depends on: not the forget set, so that one serves every request."""
        return {"original": self.original_spec(data_hash), "learning": as_choice(method).to_json()}

    def evaluation_spec(self, data_hash: str, gone: str, unlearned: Spec, models: int) -> Spec:
        """Return what one row of the result table depends on; ``gone`` names all pictures that are gone by then."""
        return {
            "unlearned": unlearned,
            "oracle": self.oracle_spec(data_hash, gone),
            "floor": self.floor_spec(data_hash, gone),
            "measuring": self.recipe.measuring.settings(),
            "models": models,
        }

    def _trained(self, data_hash: str, role: str, *, subset: str) -> Spec:
        training = self.recipe.training
        if role != "original":  # only originals keep a trajectory: the others' numbers, and names, are those without
            training = replace(training, trajectory=False)
        return {
            "data": data_hash,
            "model": self.recipe.model.to_json(),
            "training": training.settings(),
            "subset": subset,
            "role": role,
            "seed": self.recipe.seed,
        }


def as_choice(plugin: Configured) -> Choice:
    """Return the key and every setting of a plug-in."""
    return Choice(plugin.key, plugin.settings())


def resolve(recipe: Recipe) -> Experiment:
    """Find every plug-in the recipe names and fill in its defaults.

    Raises:
        BadSetting: an unknown key, a bad setting, or a method that cannot work on such originals, in one sentence.
    """
    dataset = make_dataset(recipe.dataset.to_json())
    architecture = make_architecture(recipe.model.to_json())
    selector = make_selector(recipe.forget.to_json())
    before = tuple(make_selector(choice.to_json()) for choice in recipe.before)
    methods = tuple(make_unlearner(choice.to_json()) for choice in recipe.methods)
    _together(recipe.training)
    for method in methods:
        if why := method.misfit(recipe.training, architecture):
            raise BadSetting(why)
        if before and (why := method.once()):
            raise BadSetting(why)
    _each_once((*before, selector))
    complete = replace(
        recipe,
        dataset=as_choice(dataset),
        model=as_choice(architecture),
        forget=as_choice(selector),
        methods=tuple(as_choice(m) for m in methods),
        before=tuple(as_choice(one) for one in before),
    )
    if len(set(complete.methods_ids())) != len(methods):
        raise BadSetting("recipe: the same method with the same settings is listed twice")
    return Experiment(complete, dataset, architecture, selector, methods, before)


def _together(training: Training) -> None:
    """Refuse training options that do not go together."""
    if training.trajectory and training.patience:
        raise BadSetting(
            "A trajectory is kept of trainings that run all their epochs: turn off early stopping (patience 0) or "
            "keep no trajectory."
        )
    if training.sharded and (training.trajectory or training.patience):
        which = "early stopping (patience 0)" if training.patience else "the kept trajectory"
        raise BadSetting(f"Training in shards or slices goes without {which}: turn off one of the two.")


def _each_once(asked: tuple[Selector, ...]) -> None:
    """Refuse two requests for the very same pictures; chance and rules find others the second time."""
    for number, one in enumerate(asked, start=1):
        first = asked.index(one) + 1
        if one.names_pictures and first < number:
            raise BadSetting(f"request {number} asks for {one.title()}, which request {first} already removed")


def misfits(model: Choice, training: Training) -> dict[str, dict[str, Any]]:
    """Return which methods, by key, cannot work on originals like these: ``why``, and ``remedy``, what to set.

    Asked of each method as it is by default. ``remedy`` holds settings of the training, none where none helps.

    Raises:
        BadSetting: an unknown model or a bad setting of it.
    """
    architecture = make_architecture(model.to_json())
    found = {}
    for key, kind in unlearners().items():
        method = kind()
        if why := method.misfit(training, architecture):
            changed = Training.from_settings({**training.settings(), **method.remedy})
            helps = method.misfit(changed, architecture) is None
            found[key] = {"why": why, "remedy": dict(method.remedy) if helps else {}}
    return found
