import numpy as np
import pytest

from engine.theme import DARK, LIGHT
from engine.views import datamap


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return datamap.frame(
        xy=rng.uniform(-1, 1, (6, 2)).astype(np.float32),
        labels=np.array([1, 0, 1, 2, 0, 1]),
        classes=("a", "b", "c"),
        chosen=np.array([2, 5]),
        columns={"margin": np.array([0.0, 1, 2, 3, 4, 100])},
    )


def test_the_table_has_a_row_for_each_picture(table):
    assert table.columns.tolist() == ["picture", "label", "x", "y", "chosen", "margin"]
    assert table["label"].tolist() == ["b", "a", "b", "c", "a", "b"]
    assert table[table["chosen"]]["picture"].tolist() == [2, 5]


def test_the_figure_has_a_trace_for_each_class_and_rings_what_is_chosen(table):
    figure = datamap.figure(table, LIGHT, by="label", layout="pca")
    traces = {trace.name: trace for trace in figure.data}
    assert set(traces) == {"a", "b", "c", "chosen"}
    assert traces["b"].customdata.tolist() == [0, 2, 5]
    np.testing.assert_array_equal(traces["chosen"].x, table["x"][[2, 5]])
    assert len({trace.marker.color for trace in figure.data}) == 4
    assert "component 1" in figure.layout.xaxis.title.text
    assert "UMAP 2" in datamap.figure(table, DARK, by="label", layout="umap").layout.yaxis.title.text


def test_a_number_colours_from_low_to_high_without_its_extremes(table):
    dots, _ = datamap.figure(table, LIGHT, by="margin", layout="pca").data
    assert dots.marker.color.tolist() == table["margin"].tolist()
    assert 0 <= dots.marker.cmin < dots.marker.cmax < 100


def test_a_constant_column_has_a_range_to_be_coloured_in():
    low, high = datamap.bounds(np.full(9, 3.0))
    assert low < 3 < high


def test_ten_kinds_stay_apart_and_each_theme_has_its_own():
    for look in (LIGHT, DARK):
        assert len(set(datamap.kinds(look))) == 10
        assert look.paper not in datamap.kinds(look)
    assert datamap.kinds(LIGHT) != datamap.kinds(DARK)
    assert datamap.ramp(LIGHT) != datamap.ramp(DARK)
