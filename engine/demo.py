"""The demo's recipe, in one place: the Start page's button and `make demo` run the same one."""

from __future__ import annotations

from engine.records import Choice, Recipe
from engine.training import EnsembleSize, Training

METHODS = (
    Choice("do_nothing"),
    Choice("gradient_descent"),
    Choice("gradient_ascent"),
    Choice("neg_grad_plus"),
    Choice("scrub"),
    Choice("oracle_matching"),
    Choice("partial_retrain", {"share": 0.2}),
    Choice("partial_retrain", {"share": 0.5}),
)

LOOKED = {
    "class:3": (Choice("do_nothing"), Choice("unsir"), Choice("scrub"), Choice("bad_teaching")),
    "random:50": (Choice("do_nothing"), Choice("gradient_descent"), Choice("scrub"), Choice("oracle_matching")),
}
"""Forget sets that are looked at closer, as the command line writes them, and the methods."""


def looking_recipe(dataset: str, forget: Choice, methods: tuple[Choice, ...], models: int = 40) -> Recipe:
    """Return a recipe to look closer at: an MLP on a data set that comes along."""
    return Recipe(
        dataset=Choice(dataset),
        model=Choice("mlp", {"hidden": 128, "depth": 1}),
        training=Training(),
        forget=forget,
        methods=methods,
        ensemble=EnsembleSize(models=models),
    )


def demo_recipe(forget: Choice | None = None, models: int = 100) -> Recipe:
    """Return the demo: digits, an MLP, ``models`` per ensemble, and 50 random pictures to forget unless given."""
    return Recipe(
        dataset=Choice("digits"),
        model=Choice("mlp", {"hidden": 128, "depth": 1}),
        training=Training(),
        forget=forget or Choice("random", {"n": 50}),
        methods=METHODS,
        ensemble=EnsembleSize(models=models),
    )
