"""A method that destroys its networks scores far from the floor and is never called best."""

import numpy as np
import pytest
from measured import scores

from engine.metrics import headline, statistics
from engine.metrics.base import Evidence
from engine.metrics.evaluate import evaluate
from engine.metrics.health import broken, fit
from engine.views import best
from engine.views import headline as view
from engine.views.tradeoff import frame as tradeoff_frame

POINTS = {"forget": np.arange(20), "retain": np.arange(20, 200), "test": np.arange(200, 300)}


def ensembles(destroyed, models=100, seed=0):
    """Oracles and unlearned networks of one distribution, of which the last so many answer at random and far off."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(6, 3, 300)
    make = {role: rng.normal(mean, 1, (models, 300)) for role in ("oracle", "floor", "original", "unlearned")}
    if destroyed:
        make["unlearned"][-destroyed:] = rng.normal(0, 40, (destroyed, 300))
    return {role: values.astype(np.float32) for role, values in make.items()}


def evidence(destroyed, models=100, **change):
    arrays = ensembles(destroyed, models)
    both = {
        f"{role}_{what}": v if what == "margins" else v > 0
        for role, v in arrays.items()
        for what in ("margins", "correct")
    }
    about = {"points": POINTS, "seconds": 1.0, "cost": 1.0, "retrain_cost": 10.0, "bootstrap": 0}
    return Evidence(**{**both, **about, **change})


def test_the_value_rises_with_the_networks_destroyed_and_the_row_says_how_many():
    values, counts = {}, {}
    for destroyed in (0, 5, 10, 30, 45, 49, 60, 100):
        given = evidence(destroyed)
        values[destroyed] = headline().of(given.klom[POINTS["retain"]])
        counts[destroyed] = evaluate(given).scores.broken
    floor = headline().of(evidence(0).floor[POINTS["retain"]])
    assert counts == {0: 0, 5: 0, 10: 10, 30: 30, 45: 45, 49: 49, 60: 60, 100: 100}
    assert values[0] < 1.3 * floor
    assert values[5] < 1.3 * floor, "one in twenty is left out, and said"
    rising = [values[destroyed] for destroyed in (0, 10, 30, 45, 60, 100)]
    assert rising == sorted(rising), "more destroyed, farther off"
    # KL(oracles || q) of q with a share s of answers that no oracle gives is ln(1 / (1 - s)) above the rest's, no more:
    # that is why the value alone does not condemn such a method, and the row must say it.
    assert values[45] > values[0] + 0.7 * np.log(1 / 0.55)


def test_what_is_left_out_is_named_and_the_floor_is_that_of_as_many():
    given = evidence(5)
    assert given.left_out("unlearned").tolist() == [95, 96, 97, 98, 99]
    assert len(given.instead["floor"].unlearned_margins) == given.models == 95
    assert "5 unlearned models diverged" in given.warnings[0]
    whole = evidence(10)
    assert whole.left_out("unlearned").size == 0
    assert len(whole.instead["floor"].unlearned_margins) == whole.models == 100
    assert whole.warnings[0].startswith("10 of 100 networks broke")


def test_sound_networks_among_a_majority_of_destroyed_ones_are_not_called_broken():
    arrays = ensembles(60)
    others = np.arange(20, 300)
    found = broken(unlearned=arrays["unlearned"][:, others], oracle=arrays["oracle"][:, others])
    assert found.tolist() == list(range(40, 100))


@pytest.mark.parametrize("role", ["original", "floor", "oracle"])
def test_sound_ensembles_lose_nothing(role):
    arrays = ensembles(0)
    assert [len(part) for part in fit(unlearned=arrays[role], oracle=arrays["oracle"])] == [0, 0]


def test_answers_that_are_no_numbers_are_as_far_off_as_can_be():
    arrays = ensembles(10)
    arrays["unlearned"][-10:] = np.nan
    given = evidence(10, unlearned_margins=arrays["unlearned"], unlearned_correct=arrays["unlearned"] > 0)
    assert evaluate(given).scores.broken == 10
    assert np.isfinite(given.klom).all()
    assert headline().of(given.klom[POINTS["forget"]]) > headline().of(evidence(0).klom[POINTS["forget"]])


def test_it_is_never_ranked():
    good = scores(*({"split": s, "klom_p95": 3.0, "klom_p95_floor": 1.0} for s in POINTS))
    near = evaluate(evidence(10)).scores
    table = view.frame([("near", "Near", near), ("good", "Good", good)])
    assert view.closest(table) == "good"
    assert "10 networks broke" in table.loc[table["method"] == "near", "name"].iloc[0]
    assert view.closest(view.frame([("near", "Near", near)])) == ""
    assert not tradeoff_frame(table).set_index("method").loc["near", "front"]
    assert best.frame([("x", table, {})], {})["method"].tolist() == ["good"]
    assert set(statistics()) >= {"klom_p85", "klom_p99"}
