"""The course of a retrain: KLOM after each epoch, whose end is the floor."""

import numpy as np
import pytest

from engine.metrics.klom import floor, klom
from engine.views import course

RNG = np.random.default_rng(3)
ORACLE = RNG.normal(5, 1, (40, 9)).astype(np.float32)
WAY = np.stack([RNG.normal(mean, 1, (40, 9)) for mean in (-4, 3, 5)], axis=1).astype(np.float32)  # (M, E, n)
SHARE = np.array([0.25, 0.5, 1.0])
SPLITS = {"forget": np.arange(3), "retain": np.arange(3, 6), "test": np.arange(6, 9)}


def table(**changes):
    return course.frame(**{"oracle": ORACLE, "course": WAY, "share": SHARE, "splits": SPLITS, **changes})


def test_each_moment_is_klom_of_the_networks_as_they_were_and_the_last_is_the_floor():
    measured = table()
    for moment, done in enumerate(SHARE):
        values = klom(oracle=ORACLE, unlearned=WAY[:, moment])
        for split, chosen in SPLITS.items():
            row = measured[(measured["share"] == done) & (measured["split"] == split)].iloc[0]
            assert row["klom_p95"] == pytest.approx(np.quantile(values[chosen], 0.95))
            assert (row["points"], row["models"]) == (3, 40)
    last = measured[(measured["share"] == 1) & (measured["split"] == "test")].iloc[0]
    assert last["klom_p95"] == pytest.approx(np.quantile(floor(oracle=ORACLE, second=WAY[:, -1])[6:], 0.95))


def test_models_that_diverged_by_the_end_are_left_out_of_all_moments():
    broken = WAY.copy()
    broken[7, -1] = 1e6
    assert set(table(course=broken)["models"]) == {39}


def test_how_much_of_a_retrain_is_as_near_and_stays():
    measured = table()
    first, middle, last = (measured[measured["split"] == "forget"]["klom_p95"]).tolist()
    assert first > middle > last
    assert course.matching(measured, first) == 0.25
    assert course.matching(measured, middle + 0.01) == 0.5
    assert course.matching(measured, last - 0.01) is None
    assert "within the noise" in course.sentence(measured, last - 0.01)
    assert "stopped after 50%" in course.sentence(measured, middle + 0.01)
    assert course.sentence(course.empty(), 1.0) == ""


def test_coming_near_once_is_not_enough():
    there_and_back = WAY[:, [2, 0, 1]]
    measured = table(course=there_and_back)
    assert course.matching(measured, 2.0) != 0.25
