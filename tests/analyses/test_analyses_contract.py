"""The contract every analysis keeps; a new analysis is covered by existing."""

import dataclasses
import json
import sys
from types import ModuleType
from typing import get_args

import benches
import numpy as np
import pytest
import torch

from engine.analyses import analyses
from engine.analyses.base import About, Over
from engine.analyses.bench import ROLES, Bench
from engine.measurement import Measurement
from engine.task import NotDeclared
from engine.theme import DARK, LIGHT
from engine.views import views

KEYS = list(analyses())
KNOBS = [(key, field.name) for key, plugin in analyses().items() for field in plugin.fields()]
CHUNKED = [key for key, plugin in analyses().items() if plugin.over == "chunks"]


@pytest.fixture(autouse=True)
def umap(monkeypatch):
    """UMAP takes half a minute to import; the map only hands its vectors over and takes two numbers a row."""

    class UMAP:
        def __init__(self, n_neighbors, random_state):
            self.shift = random_state % 7

        def fit_transform(self, x):
            return np.tanh(x[:, :2] + self.shift)

    module = ModuleType("umap")
    module.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", module)


def measure(plugin, seed=3, **changes):
    return plugin.measure(benches.bench(plugin, **changes), seed=seed, progress=benches.quiet)


QUICK = {"inversion": {"steps": 4}}
"""Settings that spare a test what only takes time."""
WHERE_IT_MATTERS = {("inversion", "similarity"): {"attack": "inverter"}}
"""Settings without which a knob changes nothing, by right."""


def made(key, **values):
    return analyses()[key](**{**QUICK.get(key, {}), **values})


def same(one, other):
    return (
        one.facts == other.facts
        and one.arrays.keys() == other.arrays.keys()
        and all(np.array_equal(one.arrays[k], other.arrays[k], equal_nan=True) for k in one.arrays)
    )


def settings(key):
    """Return the analysis as it is by default, and with every other choice of a knob that has choices."""
    others = [{f.name: c} for f in analyses()[key].fields() for c in f.knob.choices if c != f.default]
    return [made(key, **values) for values in ({}, *others)]


@pytest.mark.parametrize("key", KEYS)
def test_it_reads_all_and_only_what_it_says(key, monkeypatch):
    """Catches a card that promises less or more than is looked at, so that pages and jobs prepare the wrong things."""
    words, roles = set(), set()
    declared = Bench._declared

    def noted(self, what, role=None):
        words.add(what)
        roles.update(() if role is None else (role,))
        declared(self, what, role)

    monkeypatch.setattr(Bench, "_declared", noted)
    promised = set()
    for plugin in settings(key):
        words.clear(), roles.clear()
        measure(plugin)
        assert words == set(plugin.needs()), plugin
        assert roles == (set(plugin.roles()) if words & {"weights", "margins"} else set()), plugin
        promised |= words
        for left_out in plugin.needs():
            with pytest.raises(NotDeclared, match=left_out):
                measure(plugin, reads=tuple(word for word in plugin.needs() if word != left_out))
        for left_out in plugin.roles():
            rest = tuple(role for role in plugin.roles() if role != left_out) or ("none",)
            with pytest.raises(NotDeclared, match=left_out):
                measure(plugin, roles=rest)
    assert promised == set(analyses()[key].card.reads)


@pytest.mark.parametrize("key", CHUNKED)
def test_a_network_alone_is_its_row_of_three(key):
    """Catches an analysis that says it can be cut and lets networks speak to one another."""
    plugin = made(key)
    whole, bench = measure(plugin), benches.bench(plugin)
    for m in range(3):
        alone = plugin.measure(bench.only(m), seed=3, progress=benches.quiet)
        for name, array in alone.arrays.items():
            assert array.shape[0] == 1
            assert np.allclose(array[0], whole.arrays[name][m], atol=1e-6, equal_nan=True), name
    parts = [plugin.measure(bench.only(m), seed=3, progress=benches.quiet) for m in range(3)]
    assert Measurement.join(parts).arrays.keys() == whole.arrays.keys()


@pytest.mark.parametrize("key", KEYS)
def test_stacked_equals_looped(key):
    for plugin in settings(key):
        stacked, looped = (measure(plugin, strategy=strategy) for strategy in ("stacked", "looped"))
        for name, array in stacked.arrays.items():
            assert np.allclose(array, looped.arrays[name], atol=1e-4, equal_nan=True), name


@pytest.mark.parametrize(("key", "knob"), KNOBS)
def test_every_knob_matters(key, knob):
    plugin = analyses()[key]
    field = next(field for field in plugin.fields() if field.name == knob)
    low, high = field.knob.low, field.knob.high
    others = [c for c in field.knob.choices if c != field.default] or [low, high]
    if field.kind == "str" and not field.knob.choices:
        others = ["59 58"]
    where = WHERE_IT_MATTERS.get((key, knob), {})
    usual = measure(made(key, **where))
    assert any(not same(usual, measure(made(key, **where, **{knob: other}))) for other in others)


@pytest.mark.parametrize("key", KEYS)
def test_the_same_seed_gives_the_same_and_nothing_else_moves(key):
    plugin = made(key)
    state, weights = torch.random.get_rng_state(), benches.ensemble("original").clone()
    first = measure(plugin)
    np.random.default_rng().random(3)
    torch.rand(3)
    torch.random.set_rng_state(state)
    assert same(first, measure(plugin))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is not its own"
    assert all(torch.equal(v, weights.tensors()[k]) for k, v in benches.ensemble("original").tensors().items())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("key", KEYS)
def test_its_view_draws_what_was_measured(key):
    """Catches an analysis without a view, an axis without a name, and rows that cannot be told apart."""
    for plugin in settings(key):
        measurement = measure(plugin)
        view = views()[key]
        table, draw = view.draw(measurement)
        assert list(view.columns) == list(table.columns)
        assert len(table) > 0
        for colours in (LIGHT, DARK):
            figure = draw(colours)
            assert len(figure.data) > 0
            axes = [*figure.select_xaxes(), *figure.select_yaxes()]
            assert sum(bool(axis.title.text) for axis in axes) >= 2
        if "role" in table and plugin.roles() == ROLES:
            assert "second oracle" in set(table["role"]), "the floor is always drawn"
        assert any(word in view.card.how.lower() for word in ("good", "better")), "says what good looks like"


@pytest.mark.parametrize("key", KEYS)
def test_arrays_and_facts_can_be_stored(key):
    measurement = measure(made(key))
    for name, array in measurement.arrays.items():
        assert isinstance(array, np.ndarray), name
        assert array.dtype.kind in "fiub", name
    assert json.loads(json.dumps(measurement.facts, allow_nan=False)) == measurement.facts


@pytest.mark.parametrize("key", KEYS)
def test_the_card_and_the_facts_are_complete(key):
    plugin = analyses()[key]
    assert plugin.about in get_args(About)
    assert plugin.over in get_args(Over)
    assert plugin.doing != "analysing", "say what a worker is doing"
    for name in ("name", "summary", "family", "cost", "reads"):
        assert getattr(plugin.card, name), name
    assert plugin.card.summary.endswith(".")
    assert set(plugin().roles()) <= set(ROLES)
    assert plugin().misfit(benches.SUBJECT) is None
    cost = plugin().planned_cost(benches.SUBJECT)
    assert cost > 0
    if plugin.over != "first chunk":
        more = dataclasses.replace(benches.SUBJECT, models=6)
        assert plugin().planned_cost(more) == pytest.approx(2 * cost), "twice the networks, twice the work"


def test_the_bench_hands_out_ordinary_networks_and_says_what_is_missing():
    plugin = analyses()["cka"]()
    bench = benches.bench(plugin)
    x = torch.randn(5, *benches.SUBJECT.net.shape)
    network = bench.network("oracle", 1)
    assert not network.training
    assert torch.allclose(network(x), benches.ensemble("oracle").logits_shared(x)[1], atol=1e-5)
    points = np.array([3, 50, 7])
    every = bench.layers("oracle", points)
    assert every["logits"].shape == (3, 3, 3)
    assert torch.equal(bench.logits("oracle", points), every["logits"])
    assert torch.equal(bench.features("oracle", None, points), every["hidden 2"]), "what the body ends in"
    assert torch.equal(bench.features("oracle", "hidden 1", points), every["hidden 1"])
    with pytest.raises(NotDeclared, match="margins"):
        bench.margins("oracle")
    with pytest.raises(NotDeclared, match="lesson"):
        bench.prerequisite("lesson")
    with pytest.raises(ValueError, match="lesson"):
        benches.bench(plugin, reads=("lesson",)).prerequisite("lesson")
    asked = benches.bench(plugin, reads=("lesson",), _prerequisite=str.upper)
    assert asked.prerequisite("lesson") == "LESSON"


def test_chunks_of_one_analysis_must_speak_of_the_same():
    part = Measurement({"a": np.zeros((2, 3))}, {"layers": ["x"]})
    assert Measurement.join([part, part]).arrays["a"].shape == (4, 3)
    with pytest.raises(ValueError, match="same facts"):
        Measurement.join([part, Measurement(part.arrays, {"layers": ["y"]})])
