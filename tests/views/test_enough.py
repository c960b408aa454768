import math

import numpy as np
import pandas as pd
import pytest

from engine.metrics import statistics
from engine.metrics.klom import floor, klom
from engine.theme import LIGHT
from engine.views import enough

SPLITS = {"forget": np.arange(10), "retain": np.arange(10, 40), "test": np.arange(40, 60)}


def draw(models, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1, (models, 60)).astype(np.float32)


@pytest.fixture
def table():
    return enough.frame(oracle=draw(60), second=draw(60, seed=1), unlearned=draw(60, 3, seed=2), splits=SPLITS)


def row(table, models, split="forget"):
    return table[(table["models"] == models) & (table["split"] == split)].iloc[0]


def test_all_models_give_what_the_run_itself_measured(table):
    last = row(table, 60)
    values = klom(oracle=draw(60), unlearned=draw(60, 3, seed=2))[:10]
    noise = floor(oracle=draw(60), second=draw(60, seed=1))[:10]
    assert last["klom_p95"] == pytest.approx(np.quantile(values, 0.95))
    assert last["klom_mean"] == pytest.approx(values.mean())
    assert last["klom_p95_floor"] == pytest.approx(np.quantile(noise, 0.95))
    assert last["klom_mean_floor"] == pytest.approx(noise.mean())
    assert last["subsets"] == 1


def test_fewer_models_are_the_first_ones_and_the_next_ones_averaged(table):
    assert sorted(set(table["models"])) == [5, 7, 10, 15, 20, 30, 50, 60]
    halves = [klom(oracle=draw(60)[s], unlearned=draw(60, 3, seed=2)[s])[:10] for s in (slice(0, 30), slice(30, 60))]
    assert row(table, 30)["klom_mean"] == pytest.approx(np.mean([h.mean() for h in halves]))
    assert row(table, 30)["subsets"] == 2
    assert row(table, 10)["subsets"] == 4


def test_the_floor_falls_as_models_are_added(table):
    curve = table[table["split"] == "retain"].sort_values("models")["klom_mean_floor"].to_numpy()
    assert (np.diff(curve) < 0).all()


def test_diverged_models_are_left_out_of_every_size():
    broken = draw(60)
    broken[3] = np.nan
    found = enough.frame(oracle=broken, second=draw(60, seed=1), unlearned=draw(60, 3, seed=2), splits=SPLITS)
    assert found["models"].max() == 59
    assert np.isfinite(found["klom_p95_floor"]).all()


def test_too_few_models_make_no_curve_and_say_so():
    found = enough.frame(oracle=draw(3), second=draw(3, seed=1), unlearned=draw(3, seed=2), splits=SPLITS)
    assert found.empty
    assert "too few models" in enough.sentence(found, "SCRUB")


def test_the_points_looked_at_are_few_even_and_all_of_a_small_split():
    found = enough.sampled({"forget": np.arange(5), "retain": np.arange(5, 60_005), "test": np.arange(60_005, 60_100)})
    assert found["forget"].tolist() == [0, 1, 2, 3, 4]
    assert len(found["retain"]) == 2000
    assert (found["retain"][0], found["retain"][-1]) == (5, 60_004)


def curve(floor_of, klom_of, sizes=(5, 10, 20, 50, 100)):
    rows = [
        {
            "models": n,
            "split": "forget",
            "subsets": 1,
            **{f"{key}_floor": floor_of(n) for key in statistics()},
            **{key: klom_of(n) for key in statistics()},
        }
        for n in sizes
    ]
    return pd.DataFrame(rows)


def test_needed_reads_off_and_carries_a_power_law_on():
    table = curve(lambda n: 60 / n, lambda _n: 9)
    assert enough.needed(table, 3.0) == 20
    assert enough.needed(table, 2.0) == pytest.approx(30, abs=1)
    assert enough.needed(table, 0.3) == pytest.approx(200, abs=1)
    assert enough.needed(table, 0.001) is None, "nobody trains sixty thousand"
    assert enough.needed(curve(lambda _n: 1.0, lambda _n: 9), 0.5) is None, "a flat curve says nothing"


@pytest.mark.parametrize(
    ("floor_of", "klom_of", "said"),
    [
        (lambda n: 60 / n, lambda n: 9 + 1 / n, "Enough to tell SCRUB from a retrain, and more would hardly move it."),
        (lambda n: 60 / n, lambda n: 200 / n + 1, "though its value still falls"),
        (lambda n: 60 / n, lambda n: 60 / n + 0.25, "Not enough to be sure"),
        (lambda n: 60 / n, lambda n: 61 / n, "SCRUB cannot be told from a retrain with this many"),
    ],
)
def test_the_answer_is_in_words(floor_of, klom_of, said):
    table = curve(floor_of, klom_of)
    assert said in enough.sentence(table, "SCRUB")
    assert "With 100 models a side the floor of the forget set is 0.6" in enough.sentence(table, "SCRUB")


def test_how_many_would_settle_it_and_reach_published_floors_is_said_roughly():
    few = curve(lambda n: 60 / n, lambda n: 60 / n + 1.0, sizes=(5, 10, 20))
    said = enough.sentence(few, "SCRUB")
    assert "about 30 would settle it" in said
    assert "For a floor of 0.7, that of published tables, it takes about 90." in said


def test_the_figure_has_both_lines_in_every_panel_in_their_hues(table):
    drawn = enough.figure(table, LIGHT, name="a<b>")
    assert [t.line.color for t in drawn.data] == [LIGHT.unlearned, LIGHT.oracle] * 3
    assert "<" not in drawn.data[0].name
    assert math.isclose(drawn.data[1].y[-1], row(table, 60)["klom_p95_floor"])
    assert drawn.layout.xaxis.type == "log"
