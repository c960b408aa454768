import numpy as np
import pytest

from engine.theme import LIGHT
from engine.views import trajectory
from engine.views.trajectory import Track


def part(values, points, models=20):
    values = np.asarray(values, np.float32)
    return {
        "trajectory": values,
        "trajectory_points": np.asarray(points),
        "trajectory_seen": np.arange(len(values)) * 100,
        "models": models,
    }


def test_chunks_are_averaged_by_their_models():
    parts = [part([[8, 1], [4, 1]], [7, 9], models=20), part([[2, 1], [1, 1]], [7, 9], models=10)]
    margin, seen = trajectory.averaged(parts, 7)
    np.testing.assert_allclose(margin, [6, 3])
    assert seen.tolist() == [0, 100]


def test_a_point_nobody_followed_has_no_way():
    assert trajectory.averaged([part([[8], [4]], [7])], 8) is None
    assert trajectory.averaged([], 8) is None


def test_a_chunk_with_other_frames_is_left_out():
    margin, _ = trajectory.averaged([part([[8], [4]], [7]), part([[0], [0], [0]], [7])], 7)
    np.testing.assert_allclose(margin, [8, 4])


def table(*margins, oracle=(2.0, 4.0), original=(10.0, 12.0)):
    track = Track("scrub", "SCRUB", np.array(margins, float), np.arange(len(margins)) * 50)
    return trajectory.frame([track], oracle=np.array(oracle), original=np.array(original))


def test_frame_holds_the_way_and_the_bands():
    found = table(11, 7, 3)
    assert found["share"].tolist() == [0, 0.5, 1]
    assert found["seen"].tolist() == [0, 50, 100]
    assert found["margin"].tolist() == [11, 7, 3]
    assert set(found["oracle"]) == {3.0}
    assert set(found["oracle_sd"]) == {1.0}
    assert set(found["original"]) == {11.0}


@pytest.mark.parametrize(
    ("margins", "said"),
    [
        ((11, 7, 3.5), "Ends among the oracles."),
        ((11, 9, 8), "Never reaches the oracles."),
        ((11, 3, -2), "Passes the oracles and ends 5.0 of their standard deviations beyond."),
        ((11, -1, -2), "Passes the oracles and ends 5.0 of their standard deviations beyond."),
        ((11, 3, 8), "Came to the oracles and left again."),
        ((11,), ""),
    ],
)
def test_how_a_way_ends_is_said(margins, said):
    assert trajectory.sentence(table(*margins), "scrub") == said


def test_the_chosen_way_is_on_top_in_its_hue_and_the_oracles_have_their_band():
    tracks = [Track(m, m.upper(), np.array([9.0, 4.0]), np.array([0, 10])) for m in ("scrub", "descent", "ascent")]
    found = trajectory.frame(tracks, oracle=np.array([2.0, 4.0]), original=np.array([9.0, 9.0]))
    drawn = trajectory.figure(found, LIGHT, chosen="scrub")
    assert [t.name for t in drawn.data] == ["DESCENT", "ASCENT", "SCRUB"]
    assert drawn.data[-1].line.color == LIGHT.unlearned
    assert drawn.data[0].line.color != LIGHT.unlearned
    (band,) = [s for s in drawn.layout.shapes if s.type == "rect"]
    assert (band.y0, band.y1) == (2, 4)
    lines = {s.y0: s.line.color for s in drawn.layout.shapes if s.type == "line"}
    assert lines == {3.0: LIGHT.oracle, 9.0: LIGHT.original}
