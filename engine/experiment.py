"""A recipe turned into objects, and into the specs that name its artefacts. Pure: reads nothing, runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.data import make_dataset
from engine.data.base import Dataset
from engine.forget import make_selector
from engine.forget.base import Selector
from engine.knobs import BadSetting, Configured
from engine.metrics import metrics
from engine.models import make_architecture
from engine.models.base import Architecture
from engine.prerequisites import fragments, once, prerequisites_of
from engine.records import Choice, Recipe
from engine.scope import Scope
from engine.specs import Evaluation, ForgetSet, Unlearned
from engine.training import MOMENTS, Training
from engine.unlearners import make_unlearner, unlearners
from engine.unlearners.base import Unlearner


@dataclass(frozen=True)
class Experiment:
    """A checked recipe: every plug-in made, every setting valid, every default filled in."""

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

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Return why networks like these cannot be trained on pictures of ``shape`` (c, h, w), or None."""
        if self.recipe.training.restricts_examples and self.architecture.batch_norm:
            return (
                f"{self.architecture.card.name} has batch norm, so an example has no gradient of its own: set "
                "restricted gradient to batch, or choose another model."
            )
        return self.architecture.misfit(shape) or self.recipe.training.misfit(shape)

    def forget_specs(self, scope: Scope) -> list[ForgetSet]:
        """Return the spec of each request's forget set; it names the one before, whose pictures it cannot choose.

        Originals count only where the selector looks at their features or margins.
        """
        specs: list[ForgetSet] = []
        for choice, selector in zip(self.recipe.requests, self.selectors, strict=True):
            chosen = {k: v for k, v in choice.settings.items() if k != "name"}  # a name changes no pictures
            reads = prerequisites_of(selector)
            looks = bool(set(selector.needs()) - {one.reads for one in reads})
            specs.append(
                ForgetSet(
                    scope.info["hash"],
                    Choice(choice.key, chosen),
                    self.recipe.seed,
                    original=scope.trained("original") if looks else None,
                    chunk=scope.chunks[0] if looks else None,
                    reads=fragments(reads, scope),
                    after=specs[-1] if specs else None,
                )
            )
        return specs

    def unlearned_spec(self, scope: Scope, method: Unlearner, forget: str, *, after: Unlearned | None) -> Unlearned:
        """Return what one method's result depends on, at a request for the pictures with the identity ``forget``.

        At a later request of a sequence also on ``after``, what the method made at the request before.
        """
        reads = fragments(prerequisites_of(method), scope)
        moments = self.recipe.measuring.moments
        return Unlearned(
            scope.trained("original"),
            forget,
            as_choice(method),
            self.recipe.seed,
            reads,
            after,
            moments if moments != MOMENTS else None,
        )

    def evaluation_spec(self, scope: Scope, unlearned: Unlearned, models: int) -> Evaluation:
        """Return what the rows of the result table of one method depend on."""
        oracle, floor = scope.trained("oracle"), scope.trained("floor")
        return Evaluation(unlearned, oracle, floor, self.recipe.measuring, models, tuple(metrics()))


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
        if before and (why := once(method)):
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


def _each_once(requests: tuple[Selector, ...]) -> None:
    """Refuse two requests for the very same pictures; chance and rules find others the second time."""
    for number, one in enumerate(requests, start=1):
        first = requests.index(one) + 1
        if one.names_pictures and first < number:
            raise BadSetting(f"request {number} asks for {one.title()}, which request {first} already removed")


def misfits(model: Choice, training: Training) -> dict[str, dict[str, Any]]:
    """Return which methods, by key, cannot work on originals like these: ``why``, and ``remedy``, what to set.

    Every method has its default settings. ``remedy`` holds settings of the training, none where none helps.

    Raises:
        BadSetting: an unknown model or a bad setting of it.
    """
    architecture = make_architecture(model.to_json())
    by_key = {}
    for key, kind in unlearners().items():
        method = kind()
        if why := method.misfit(training, architecture):
            changed = Training.from_settings({**training.settings(), **method.remedy})
            helps = method.misfit(changed, architecture) is None
            by_key[key] = {"why": why, "remedy": dict(method.remedy) if helps else {}}
    return by_key
