"""Missing targets: quality 1 on target, and what becomes of each picture is called by its name."""

import numpy as np
import pytest

from engine.views import missing, passing, stopping


def way(margins, target=0.0, spread=1.0):
    margins = np.array(margins, float)
    frames, n = margins.shape
    return missing.Way(
        "m",
        "M",
        margins=margins,
        seen=np.arange(frames) * 10,
        points=np.arange(n) + 5,
        target=np.full(n, target),
        spread=np.full(n, spread),
    )


def test_quality_is_one_on_target_and_falls_as_a_bell():
    table = missing.frame([way([[6.0], [4.0], [2.0]], target=2.0, spread=2.0)])
    assert table["z"].tolist() == [2.0, 1.0, 0.0]
    assert table["quality"].tolist() == pytest.approx([np.exp(-2), np.exp(-0.5), 1.0])
    assert table["share"].tolist() == [0, 0.5, 1]


def test_each_end_has_its_name_whichever_side_it_began_on():
    above = missing.frame([way([[3.0, 3.0, 3.0], [0.5, 2.0, -2.0]])])
    below = missing.frame([way([[-3.0, -3.0, -3.0], [-0.5, -2.0, 2.0]])])
    for table in (above, below):
        assert missing.ends(table)["state"].tolist() == ["reached", "undershot", "overshot"]


def test_a_picture_that_was_closer_before_is_hurt_by_longer_training():
    table = missing.frame([way([[3.0, 3.0, 3.0], [0.0, 0.0, 2.0], [0.4, 1.0, 1.0]])])
    last = missing.ends(table)
    assert last["hurt"].tolist() == [False, True, False], "quality .92 of 1 stays, .61 does not"
    assert last["best"].tolist() == [0.5, 0.5, 1.0]
    assert missing.sentence(table) == (
        "3 of 3 pictures were right at some step, 3 are right at the end: 0 stop before their target, 0 are pushed "
        "past it. 1 were closer before."
    )


def test_shares_before_within_and_past_are_all_there_is():
    table = passing.frame(missing.frame([way([[3.0, -3.0], [0.5, -0.5], [-2.0, 2.0]])]))
    wide = table.pivot_table(index="share", columns="place", values="pictures")
    assert wide.loc[0.0].to_dict() == {"before": 1, "within": 0, "past": 0}
    assert wide.loc[0.5].to_dict() == {"before": 0, "within": 1, "past": 0}
    assert wide.loc[1.0].to_dict() == {"before": 0, "within": 0, "past": 1}
    assert (wide.sum(axis=1) == 1).all()


def test_every_picture_has_one_best_moment():
    counts = stopping.frame(missing.frame([way([[3.0, 0.0], [0.0, 3.0], [1.0, 3.0]])]))
    assert (
        counts.set_index("share")["pictures"].to_dict() | {0.0: 1, 0.5: 1}
        == counts.set_index("share")["pictures"].to_dict()
    )
    assert counts["pictures"].sum() == 2


def test_only_the_points_that_are_asked_about():
    assert way([[1.0, 2.0, 3.0]]).at(np.array([6, 7, 99])).points.tolist() == [6, 7]
    assert missing.frame([way([[1.0, 2.0]]).at(np.array([99]))]).empty
