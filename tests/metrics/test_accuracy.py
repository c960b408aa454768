"""What is made of accuracies: the gap to the oracles and ToW, against numbers worked out by hand."""

import numpy as np
import pytest
from measured import POINTS, evidence

from engine.metrics.base import WHOLE
from engine.metrics.gap import AccuracyGap
from engine.metrics.tow import TugOfWar


def right(**shares):
    """Return hits (M, P) of which a share of each split is right, the same models at every point."""
    correct = np.zeros((60, 30), bool)
    for split, share in shares.items():
        correct[: round(60 * share), POINTS[split]] = True
    return correct


def given(unlearned, oracle):
    return evidence(unlearned_correct=right(**unlearned), oracle_correct=right(**oracle))


def test_the_gap_is_in_points_and_has_a_sign():
    found = AccuracyGap().read(
        given({"forget": 1.0, "retain": 0.5, "test": 0.9}, {"forget": 0.75, "retain": 0.8, "test": 0.9})
    )
    assert [found[s].value for s in POINTS] == pytest.approx([25.0, -30.0, 0.0])


def test_tow_is_the_product_over_forget_retain_and_test():
    oracle = {"forget": 0.75, "retain": 1.0, "test": 0.9}
    found = TugOfWar().read(given({"forget": 0.25, "retain": 0.8, "test": 1.0}, oracle))
    assert list(found) == [WHOLE]
    assert found[WHOLE].value == pytest.approx((1 - 0.5) * (1 - 0.2) * (1 - 0.1))
    assert TugOfWar().read(given(oracle, oracle))[WHOLE].value == 1.0


def test_tow_is_zero_where_one_split_is_as_wrong_as_can_be():
    found = TugOfWar().read(
        given({"forget": 1.0, "retain": 1.0, "test": 1.0}, {"forget": 0.0, "retain": 1.0, "test": 1.0})
    )
    assert found[WHOLE].value == 0.0


def test_tow_leaves_out_what_earlier_requests_removed():
    """Catches a product over all splits at hand: the paper's has three."""
    three = given({"forget": 0.5, "retain": 1, "test": 1}, {"forget": 0.75, "retain": 1, "test": 1})
    points = {**POINTS, "retain": POINTS["retain"][1:], "earlier": POINTS["retain"][:1]}
    correct = three.unlearned_correct.copy()
    correct[:, POINTS["retain"][0]] = False
    with_earlier = evidence(points=points, unlearned_correct=correct, oracle_correct=three.oracle_correct)
    assert TugOfWar().read(with_earlier)[WHOLE].value == pytest.approx(TugOfWar().read(three)[WHOLE].value)
