"""Predictions: equal answers are no distance apart, and a class that takes too much is named."""

import benches
import numpy as np
import pytest
import torch

from engine.analyses import make_analysis
from engine.analyses.predictions import divergence
from engine.measurement import Measurement
from engine.views import departure, nearest, predictions
from engine.views._answers import Answers, apart, counted, interval
from engine.views._answers import divergence as of_shares


def measured(**changes):
    plugin = make_analysis({"key": "predictions"})
    return plugin.measure(benches.bench(plugin, **changes), seed=0, progress=benches.quiet)


def answered(called, *, sure=None):
    """Return a measurement of answers (roles, M, P) of two forgotten points of class 0 and four others."""
    called = np.asarray(called, np.int16).transpose(1, 0, 2)  # (M, roles, P)
    sure = np.full(called.shape, 0.5, np.float32) if sure is None else sure
    arrays = {"predicted": called, "sure": sure, "entropy": sure}
    arrays |= {
        "mean": np.full((len(called), 4, 3, 3), 1 / 3, np.float32),
        "zrf": np.ones((len(called), 4, 3), np.float32),
    }
    facts = {
        "roles": list(benches.ROLES),
        "classes": ["cat", "dog", "fox"],
        "splits": ["forget", "retain", "test"],
        "places": {"forget": [0, 1]},
        "train": 4,
        "labels": [0, 0, 1, 2, 1, 2],
    }
    return Measurement(arrays, facts)


def test_what_is_stored_is_what_the_networks_answer():
    measurement = measured()
    plugin = make_analysis({"key": "predictions"})
    bench = benches.bench(plugin)
    for r, role in enumerate(benches.ROLES):
        p = bench.logits(role, np.arange(60)).softmax(-1)
        assert np.array_equal(measurement.arrays["predicted"][:, r], p.argmax(-1).numpy())
        assert np.allclose(measurement.arrays["sure"][:, r], p.amax(-1).numpy(), atol=1e-6)
        assert np.allclose(measurement.arrays["mean"][:, r, 0], p[:, benches.FORGET].mean(1).numpy(), atol=1e-6)
    answers = Answers(measurement)
    for split, points in bench.splits.items():
        assert np.array_equal(answers.splits[split], points)


def test_networks_that_know_nothing_have_a_zrf_of_one_to_themselves():
    p = torch.rand(3, 5, 4).softmax(-1)
    assert divergence(p, p).abs().max() < 1e-6
    sure = torch.eye(4)[torch.tensor([0, 1])]
    assert divergence(sure, sure.flip(0)).tolist() == pytest.approx([1, 1]), "nothing in common is one bit"
    zrf = measured().arrays["zrf"]
    assert ((zrf > 0) & (zrf <= 1)).all()


def test_equal_samples_are_no_distance_apart():
    called = np.random.default_rng(0).integers(3, size=(20, 7))
    shares = counted(called, 3)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert apart(shares, shares) == 0
    assert of_shares(shares, shares) == 0
    low, high = interval(called, called, 3)
    assert low == 0 < high
    assert apart(counted(np.zeros((4, 2), int), 3), counted(np.ones((4, 2), int), 3)) == 1
    assert of_shares(counted(np.zeros((4, 2), int), 3), counted(np.ones((4, 2), int), 3)) == pytest.approx(1)


def test_the_floor_of_a_distance_covers_two_samples_of_one_kind():
    """The interval of doing nothing to nothing is about the floor, not about the bias of resampling."""
    rng = np.random.default_rng(1)
    one, two = (rng.integers(3, size=(60, 40)) for _ in range(2))
    low, high = interval(one, two, 3)
    assert low < apart(counted(one, 3), counted(two, 3)) < high


def test_one_sentence_says_before_now_and_never():
    ten = 10
    original, oracle = np.zeros((ten, 6)), np.tile([1, 1, 1, 2, 1, 2], (ten, 1))
    now = oracle.copy()
    now[:4, 0] = 2
    measurement = answered([original, now, oracle, oracle])
    assert predictions.sentence(measurement, np.array([0])) == (
        "Before: cat (10 of 10 networks). Now: dog (6 of 10 networks). "
        "Networks that never saw it: dog (10 of 10 networks)."
    )
    assert predictions.sentence(measurement, np.array([0, 1])).startswith("Before: cat (20 of 20 answers).")
    many = predictions.sentence(measurement, np.arange(6))
    assert many.startswith("Called by their own class: before 33.3% of the answers")


def test_a_class_that_swallows_the_forgotten_is_named():
    oracle = np.tile([1, 2, 1, 2, 1, 2], (20, 1))
    swallowed = oracle.copy()
    swallowed[:, :2] = 2
    original = np.zeros((20, 6))
    (warning,) = predictions.streisand(answered([original, swallowed, oracle, oracle]))
    assert warning.startswith("fox takes 100%")
    assert predictions.streisand(answered([original, oracle, oracle, oracle])) == []
    sure = np.full((20, 4, 6), 0.5, np.float32)
    sure[:, 1] = 0.9
    assert "surer" in predictions.streisand(answered([original, oracle, oracle, oracle], sure=sure))[0]


def test_the_oracle_has_no_distance_to_itself_and_the_floor_has():
    table = departure.frame(measured()).set_index(["role", "split"])
    assert np.isnan(table.loc[("oracle", "forget"), "distance"])
    assert table.loc[("second oracle", "forget"), "distance"] > 0


def test_the_most_frequent_answers_are_named_with_how_many_gave_them():
    called = np.array([2, 2, 0, 2, 1])
    assert predictions.most(called, ("cat", "dog", "owl")) == "owl (3 of 5), cat (1)"
    assert predictions.most(np.array([1, 1]), ("cat", "dog")) == "dog (2 of 2)"


def test_a_forgotten_class_s_neighbours_are_those_of_the_oracles_and_many_classes_have_none():
    measurement = measured()
    facts = measurement.facts
    forget = np.array(facts["places"]["forget"])
    labels = np.array(facts["labels"])
    labels[forget] = 1
    mean = np.zeros((3, 4, len(facts["splits"]), 3), np.float32)
    s = facts["splits"].index("forget")
    mean[:, 0, s], mean[:, 1, s], mean[:, 2, s], mean[:, 3, s] = (
        (0, 1, 0),
        (0.9, 0, 0.1),
        (0.25, 0, 0.75),
        (0.3, 0, 0.7),
    )
    one = Measurement({**measurement.arrays, "mean": mean}, {**facts, "labels": labels.tolist()})
    table = nearest.frame(one)
    assert table[table["role"] == "unlearned"][["class", "place"]].to_numpy().tolist() == [
        [facts["classes"][1], 0],
        [facts["classes"][2], 1],
        [facts["classes"][0], 2],
    ], "the nearest is the one that oracles name most, not the one that is named now"
    assert table[table["role"] == "unlearned"]["probability"].tolist() == pytest.approx([0, 0.1, 0.9])
    assert "have 100% of the probability now; 100% in networks that never saw it" in nearest.sentence(table)
    labels[forget[0]] = 2
    assert nearest.frame(Measurement(one.arrays, {**facts, "labels": labels.tolist()})).empty
