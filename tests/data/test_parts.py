"""A part of a data set: the same examples each time, smaller within larger, and everything known goes along."""

import numpy as np
import pytest

from engine.data import datasets, make_dataset
from engine.data.digits import Digits
from engine.data.fashion import Fashion
from engine.data.glyphs import Glyphs
from engine.data.torchvision_sets import CLOTHES, FashionMnist


def load(dataset, tmp_path):
    return dataset.load(tmp_path, lambda *_: None)


def test_so_many_of_each_class_and_test_pictures_in_proportion(tmp_path):
    whole, some = load(Fashion(), tmp_path), load(Fashion(per_class=50), tmp_path)
    assert np.bincount(some.y_train).tolist() == [50] * 10
    assert np.bincount(some.y_test).tolist() == [10] * 10
    assert some.hash != whole.hash
    assert some.name == "fashion, 50 of each class"
    x = some.x_train / 255
    assert some.mean == pytest.approx([x.mean()])
    assert some.std == pytest.approx([x.std()])
    assert load(Fashion(per_class=500), tmp_path).hash == whole.hash, "all of them in their order are the data itself"
    assert load(Fashion(per_class=50), tmp_path).hash == some.hash


def test_a_smaller_part_lies_within_a_larger_one(tmp_path):
    small, large = (load(Digits(per_class=n), tmp_path) for n in (20, 60))
    rows = {picture.tobytes() for picture in large.x_train}
    assert all(picture.tobytes() in rows for picture in small.x_train)


def test_what_is_known_follows_its_pictures(tmp_path):
    whole, some = load(Glyphs(each=40), tmp_path), load(Glyphs(each=40, per_class=10), tmp_path)
    place = {picture.tobytes(): i for i, picture in enumerate(whole.x_train)}
    at = np.array([place[picture.tobytes()] for picture in some.x_train])
    assert np.array_equal(np.sort(at), at)
    assert np.array_equal(some.masks[: len(at)], whole.masks[at])
    for name, ids in some.subsets.items():
        assert set(at[ids]) == set(whole.subsets[name]) & set(at)


def test_a_table_in_part_is_standardised_by_itself(tmp_path):
    some = load(datasets()["wine"](per_class=20), tmp_path)
    assert len(some.y_train) <= 60
    assert some.vectors().mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert some.columns == load(datasets()["wine"](), tmp_path).columns


def test_every_data_set_can_be_taken_in_part():
    for key in datasets():
        assert "per_class" in {field.name for field in datasets()[key].fields()}
    assert make_dataset({"key": "cifar10", "per_class": 500}).per_class == 500


def test_the_clothes_are_those_of_the_package_s_first_pictures(tmp_path):
    data = load(Fashion(), tmp_path)
    assert data.classes == CLOTHES == FashionMnist.classes
    assert (data.x_train.shape, data.x_test.shape) == ((5000, 1, 28, 28), (1000, 1, 28, 28))
    assert np.bincount(data.y_train).tolist() == [500] * 10
    assert data.hash == "c8ac373cfa0dbb480c5acecadfd8690b"
