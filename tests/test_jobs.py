"""What jobs leave for curves: which points are followed, and their summary."""

import numpy as np
import pytest

from engine.jobs import CURVE_POINTS, followed, summary


def test_curves_follow_the_same_points_for_everybody():
    ids = followed(forget=np.array([5, 2]), train=3000, points=3010)
    assert ids["forget"].tolist() == [2, 5]
    assert len(ids["retain"]) == CURVE_POINTS
    assert not {2, 5} & set(ids["retain"].tolist())
    assert ids["test"].tolist() == list(range(3000, 3010))
    again = followed(forget=np.array([2, 5]), train=3000, points=3010)
    assert all(np.array_equal(ids[k], again[k]) for k in ids)


def test_a_summary_spreads_over_models_and_not_over_points():
    margins = np.array([[0.0, 10.0], [2.0, 12.0]])  # (M, n)
    said = summary(margins=margins, correct=np.array([[True, True], [True, False]]))
    loss = np.log1p(np.exp(-margins)).mean(axis=1)  # (M,)
    assert said == pytest.approx(
        {
            "accuracy": 0.75,
            "accuracy_sd": 0.25,
            "margin": 6.0,
            "margin_sd": 1.0,
            "loss": loss.mean(),
            "loss_sd": loss.std(),
        }
    )
