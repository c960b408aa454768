"""Recipes and the words around them: JSON in and out unchanged, one hash for one meaning, mistakes in words."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cards import Card
from engine.knobs import BadSetting
from engine.records import Choice, Recipe, canonical, digest
from engine.seeds import derive
from engine.training import EnsembleSize, Measuring, Training

RECIPE = Recipe(
    dataset=Choice("digits"),
    model=Choice("mlp", {"hidden": 32}),
    training=Training(epochs=3, lr=0.2),
    forget=Choice("random", {"n": 50}),
    methods=(Choice("do_nothing"), Choice("scrub", {"lr": 1e-3, "optimizer": "sgd"})),
    ensemble=EnsembleSize(models=7, chunk=3),
    seed=5,
)


def changed(**parts):
    return {**RECIPE.to_json(), **parts}


def test_a_recipe_survives_json():
    assert Recipe.from_json(json.loads(json.dumps(RECIPE.to_json()))) == RECIPE
    assert Recipe.from_json(RECIPE.to_json()).hash() == RECIPE.hash()


def test_what_is_left_out_takes_its_default():
    short = {k: v for k, v in RECIPE.to_json().items() if k not in ("training", "ensemble", "measuring", "seed")}
    read = Recipe.from_json(short)
    assert (read.training, read.ensemble, read.measuring, read.seed) == (Training(), EnsembleSize(), Measuring(), 0)


def test_the_order_of_keys_does_not_matter():
    backwards = dict(reversed(RECIPE.to_json().items()))
    assert Recipe.from_json(backwards).hash() == RECIPE.hash()


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": {"key": "folder"}},
        {"model": {"key": "mlp", "hidden": 33}},
        {"training": {**Training(epochs=3, lr=0.2).settings(), "warmup": 0.3}},
        {"forget": {"key": "random", "n": 51}},
        {"methods": [{"key": "do_nothing"}]},
        {"ensemble": {"models": 8, "chunk": 3}},
        {"measuring": {"convention": "easydub"}},
        {"seed": 6},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_is_in_the_hash(change):
    """Catches a cache key that omits a setting."""
    assert Recipe.from_json(changed(**change)).hash() != RECIPE.hash()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "a recipe is a JSON object"),
        ("recipe", "a recipe is a JSON object"),
        (changed(colour="red"), "unknown part 'colour'"),
        (changed(format=2), "format must be 1, not 2"),
        ({k: v for k, v in RECIPE.to_json().items() if k != "format"}, "format must be 1, not None"),
        (changed(methods=[]), "at least one method"),
        (changed(methods="scrub"), "at least one method"),
        (changed(methods=["scrub"]), r'methods\[0\] must be an object with a "key"'),
        (changed(methods=[{"key": "scrub"}, {"key": "scrub"}]), "listed twice"),
        (changed(methods=[{"key": "scrub", "lr": None}]), r"methods\[0\].lr must be a number"),
        (changed(methods=[{"key": "scrub", "lr": float("nan")}]), r"methods\[0\].lr must be finite"),
        (changed(forget={"key": "random", "n": float("inf")}), "forget.n must be finite"),
        (changed(forget={"key": "indices", "path": "\ud800"}), "not valid Unicode"),
        (changed(dataset={"key": "\udfff"}), "not valid Unicode"),
        (changed(dataset={"key": ""}), 'dataset must be an object with a "key"'),
        (changed(dataset=None), 'dataset must be an object with a "key"'),
        (changed(training=[]), "training must be an object"),
        (changed(training={"epochs": 0}), "training: epochs"),
        (changed(training={"epoch": 1}), "training: unknown setting 'epoch'"),
        (changed(training={"precision": "fp8"}), "training: precision"),
        (changed(ensemble={"models": 1}), "ensemble: models"),
        (changed(measuring={"convention": "mine"}), "measuring: KLOM|measuring: convention"),
        (changed(seed=-1), "seed must be"),
        (changed(seed=2**63), "seed must be"),
        (changed(seed=True), "seed must be"),
        (changed(seed="0"), "seed must be"),
        (changed(seed=1.0), "seed must be"),
    ],
)
def test_mistakes_are_said_in_words(value, said):
    with pytest.raises(BadSetting, match=said):
        Recipe.from_json(value)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*RECIPE.to_json(), "more"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
            max_leaves=4,
        ),
        max_size=3,
    )
)
def test_any_json_is_a_recipe_or_a_bad_setting(parts):
    """Catches a recipe from outside that ends in a traceback instead of a sentence."""
    value = copy.deepcopy(changed(**parts))
    try:
        recipe = Recipe.from_json(value)
    except BadSetting:
        return
    assert Recipe.from_json(json.loads(canonical(recipe.to_json()))).hash() == recipe.hash()


def test_short_names_of_methods_are_unique():
    methods = (Choice("scrub"), Choice("scrub", {"lr": 1e-3}), Choice("retrain"))
    names = Recipe.from_json(changed(methods=[m.to_json() for m in methods])).methods_ids()
    assert names[2] == "retrain"
    assert len(set(names)) == 3
    assert all(name.startswith("scrub-") for name in names[:2])


@pytest.mark.parametrize(("models", "chunk"), [(100, 20), (7, 3), (2, 1000), (5, 1)])
def test_chunks_cover_every_model_once(models, chunk):
    ranges = EnsembleSize(models=models, chunk=chunk).chunks()
    assert [i for low, high in ranges for i in range(low, high)] == list(range(models))
    assert max(high - low for low, high in ranges) <= chunk


def test_canonical_json_is_what_it_says():
    assert canonical({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad808", "stored artefacts are found by this number"


def test_a_card_describes_itself_in_plain_json():
    described = Card(name="A", summary="B.", reads=("forget",), year=2024).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["reads"] == ["forget"]


def test_seeds_depend_on_every_argument():
    """Catches two roles, or two models, that share a stream; the values are part of what a recipe means."""
    seen = {derive(s, role, i) for s in (0, 1, 10) for role in ("original", "oracle", "a/b", "a") for i in range(50)}
    assert len(seen) == 3 * 4 * 50
    assert all(0 <= value < 2**63 for value in seen)
    assert len({value % 2**32 for value in seen}) == len(seen), "torch's CPU generator reads the low 32 bits only"
    assert derive(0, "original", 0) == 2692457424214863337
