"""Tables: the same record as pictures, one channel per feature; what is filled, spread out and standardised."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from engine.data import datasets
from engine.data.base import Column, DataError
from engine.data.decoded import fetch, keep, whole
from engine.data.sklearn_tables import BreastCancer, Iris, Wine
from engine.data.table import FEATURES, Raw, table_data
from engine.forget.base import Scene
from engine.images import Images
from engine.models import architectures

NAN = float("nan")


def quiet(share, said):
    pass


def load(kind, tmp_path):
    return kind().load(tmp_path, quiet)


@pytest.mark.parametrize(
    ("kind", "source", "train", "test", "features", "name"),
    [
        (BreastCancer, load_breast_cancer, 455, 114, 30, "18bc0131278c2bb5be7b9e9a924a3de4"),
        (Wine, load_wine, 142, 36, 13, "37d69a84a2030bdf0a1206c2d729961e"),
        (Iris, load_iris, 120, 30, 4, "776545d86db13cae5d0156ba68bced3e"),
    ],
)
def test_embedded_tables_are_whole_stratified_and_named_the_same_everywhere(
    tmp_path, kind, source, train, test, features, name
):
    data, theirs = load(kind, tmp_path), source()
    assert (data.x_train.shape, data.x_test.shape) == ((train, features, 1, 1), (test, features, 1, 1))
    assert data.x_train.dtype == np.float32
    assert (data.tabular, data.noun, data.top, data.notes) == (True, "row", 1, ())
    assert [c.name for c in data.columns] == [str(n) for n in theirs.feature_names]
    both = np.concatenate([data.x_train, data.x_test]).reshape(-1, features)
    order = np.lexsort(both.T)
    wanted = theirs.data.astype(np.float32)
    assert np.array_equal(both[order], wanted[np.lexsort(wanted.T)]), "every row, as it was written"
    share = np.bincount(data.y_test) / np.bincount(theirs.target)
    assert np.abs(share - 0.2).max() < 0.02
    assert data.hash == name


def test_a_network_sees_standardised_features_and_the_rows_stay_as_they_are(tmp_path):
    data = load(BreastCancer, tmp_path)
    images = Images.of(data, "train", torch.device("cpu"))
    before = images.x.clone()
    for part in (slice(0, 455), torch.arange(455)):
        seen = images.pictures(part).flatten(1)  # (N, D)
        assert torch.allclose(seen.mean(dim=0), torch.zeros(30), atol=1e-5)
        assert torch.allclose(seen.std(dim=0, unbiased=False), torch.ones(30), atol=1e-5)
    assert torch.equal(images.x, before), "a slice is a view: scaling it in place would scale the data set"
    assert np.allclose(Scene(data).vectors("pixels"), seen.numpy(), atol=1e-4)


def test_convolutions_refuse_a_table_and_the_others_take_it(tmp_path):
    shape = load(BreastCancer, tmp_path).shape
    takes = {key for key, kind in architectures().items() if kind().misfit(shape) is None}
    assert {"logistic", "mlp"} <= takes
    for key, kind in architectures().items():
        if kind.last_convolution:
            assert "needs pictures, and this data set is a table with 30 values a row" in kind().misfit(shape), key
        else:
            assert kind().build(shape, 2)(torch.zeros(3, *shape)).shape == (3, 2)


def people(**changes):
    """Eight rows: age (one missing), job (two missing), a column with nothing in it; rows 6 and 7 are for testing."""
    whole = {
        "name": "people",
        "columns": [
            Raw("age", np.array([20.0, 30, NAN, 50, 60, 40, 999, 998])),
            Raw("job", np.array([0.0, 1, NAN, 1, 0, 1, 0, NAN]), ("baker", "smith")),
            Raw("nothing", np.full(8, NAN)),
        ],
        "labels": np.array([0, 1, 0, 1, 0, 1, 0, 1]),
        "classes": ("no", "yes"),
        "test": np.arange(8) > 5,
    }
    return table_data(**{**whole, **changes})


def test_missing_values_are_filled_and_said():
    data = people()
    assert data.columns == (Column("age"), Column("job", ("baker", "smith", "missing")))
    assert [f for c in data.columns for f in c.features] == ["age", "job=baker", "job=smith", "job=missing"]
    x = data.x_train[:, :, 0, 0]  # (N, D)
    assert x[2].tolist() == [40, 0, 0, 1], "the median of the training rows, whatever stands in the test rows"
    assert data.x_test[:, :, 0, 0].tolist() == [[999, 1, 0, 0], [998, 0, 0, 1]]
    assert data.notes == (
        "1 row had no age: filled with 40, the median of the training rows.",
        "2 rows had no job: they are a category of their own, “missing”.",
        "nothing is empty in every row and was left out.",
    )


def test_numbers_are_standardised_by_the_training_rows_and_categories_only_centred():
    data = people()
    x = data.x_train[:, :, 0, 0].astype(float)
    assert data.mean == pytest.approx(tuple(x.mean(axis=0)))
    assert data.std == pytest.approx((x[:, 0].std(), 1, 1, 1))
    constant = people(columns=[Raw("same", np.full(8, 7.0)), Raw("age", np.arange(8.0))])
    assert constant.std[0] == 1


def test_the_hash_covers_values_labels_names_and_categories():
    data = people()
    x = data.x_test.copy()
    x[0, 0] += 1
    others = [
        dataclasses.replace(data, x_test=x),
        dataclasses.replace(data, y_train=1 - data.y_train),
        dataclasses.replace(data, classes=("no", "maybe")),
        dataclasses.replace(data, columns=(Column("years"), data.columns[1])),
        dataclasses.replace(data, columns=(data.columns[0], Column("job", ("baker", "smith", "none")))),
    ]
    assert len({data.hash, *(other.hash for other in others)}) == 6
    assert dataclasses.replace(data, notes=()).hash == data.hash


def test_a_table_comes_back_from_disk_as_it_was(tmp_path):
    data = people()
    with whole(tmp_path, "key") as folder:
        keep(folder, data)
    again = fetch(tmp_path, "key", "people")
    for field in dataclasses.fields(data):
        assert np.array_equal(getattr(again, field.name), getattr(data, field.name)), field.name
    assert again.hash == data.hash
    assert dataclasses.replace(again).hash == data.hash, "measured anew"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": [Raw("nothing", np.full(8, NAN))]}, "no column with values"),
        ({"columns": [Raw("late", np.where(np.arange(8) > 5, 1.0, NAN))]}, "late has values in test rows only"),
        ({"columns": [Raw("far", np.full(8, 1e38))]}, "far holds a number of size 1e\\+38"),
        ({"columns": [Raw("id", np.arange(8.0), tuple(map(str, range(FEATURES + 1))))]}, "more than 2,000"),
        ({"test": np.zeros(8, bool)}, "no test rows"),
        ({"classes": ("yes",)}, "at least two classes"),
    ],
)
def test_unusable_tables_are_refused_in_words(change, said):
    with pytest.raises(DataError, match=said):
        people(**change)


def test_the_catalogue_says_which_data_sets_are_tables():
    assert {key for key, kind in datasets().items() if kind.tabular} >= {"breast_cancer", "wine", "iris"}
    assert not datasets()["digits"].tabular
