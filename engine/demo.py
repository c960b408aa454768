"""The demo's recipe, in one place: the Start page's button and `make demo` run the same one."""

from __future__ import annotations

from engine.records import Choice, Recipe
from engine.training import EnsembleSize, Training

METHODS = (
    Choice("do_nothing"),
    Choice("gradient_descent"),
    Choice("gradient_ascent", {"lr": 0.05}),
    Choice("neg_grad_plus"),
    Choice("scrub"),
    Choice("oracle_matching"),
    Choice("partial_retrain", {"share": 0.2}),
    Choice("partial_retrain", {"share": 0.5}),
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
