"""A row in words: as it was written, and how unusual each of its cells is."""

import numpy as np
import pytest

from engine import rows
from engine.data.table import Raw, table_data


@pytest.fixture
def data():
    """Ten training rows and two for testing; nine of the ten live in Bern."""
    values = np.array([*range(10), 100.0, 4.25])
    town = np.array([0.0] * 9 + [1, 0, 2])
    return table_data(
        name="people",
        columns=[Raw("age", values), Raw("town", town, ("Bern", "Genf", "Zug"))],
        labels=np.arange(12) % 2,
        classes=("no", "yes"),
        test=np.arange(12) > 9,
    )


def test_cells_are_as_they_were_written(data):
    assert [(c.name, c.value) for c in rows.cells(data, 9)] == [("age", "9"), ("town", "Genf")]
    assert [c.value for c in rows.cells(data, 11)] == ["4.25", "Zug"], "test rows follow the training rows"
    assert rows.frame(data, [0, 10]).to_dict("index") == {
        0: {"age": "0", "town": "Bern"},
        10: {"age": "100", "town": "Bern"},
    }
    assert rows.shapes(data) == ["number", "category of 3"]


def test_a_numbers_distance_is_in_deviations_of_the_training_rows(data):
    age, _ = rows.cells(data, 10)
    assert age.apart == pytest.approx((100 - 4.5) / np.arange(10).std())
    assert rows.cells(data, 0)[0].apart == pytest.approx(-4.5 / np.arange(10).std())
    assert age.usual == "mean 4.5"


def test_the_most_unusual_cell_comes_first_whether_number_or_category(data):
    assert [c.text for c in rows.unusual(data, 9)] == ["town: Genf", "age 9"], "one in ten, against 1.6 deviations"
    assert [c.text for c in rows.unusual(data, 0, most=1)] == ["age 0"]
    town = rows.cells(data, 9)[1]
    assert town.rank == pytest.approx(1.6449, abs=1e-3), "a normal variable is as far out one time in ten"
    assert (town.usual, town.apart) == ("in 10% of rows", None)
    never = rows.cells(data, 11)[1]
    assert never.usual == "in 0% of rows"
    assert town.rank < never.rank < 10


@pytest.mark.parametrize("point", [-1, 12])
def test_a_point_that_is_none_is_refused(data, point):
    with pytest.raises(IndexError, match="people has 12"):
        rows.cells(data, point)
