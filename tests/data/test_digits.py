import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from engine.data import datasets
from engine.data.base import DataError, image_data
from engine.data.digits import Digits
from engine.data.split import held_out


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits().load(tmp_path_factory.mktemp("cache"), lambda share, what: None)


def test_digits_are_all_1797_points_split_1437_360(digits):
    assert digits.points == 1797
    assert digits.x_train.shape == (1437, 1, 8, 8)
    assert digits.x_test.shape == (360, 1, 8, 8)
    assert digits.classes == tuple("0123456789")
    assert (digits.top, int(digits.x_train.max())) == (16, 16)
    theirs = sorted(picture.astype(np.uint8).tobytes() for picture in load_digits().images)
    assert sorted(p.tobytes() for p in np.concatenate([digits.x_train, digits.x_test])) == theirs


def test_digits_hash_is_the_same_on_every_machine(digits):
    assert digits.hash == "9819e96f5a2bad5e14c5143acc50524b"


def test_digits_split_is_stratified(digits):
    train, test = np.bincount(digits.y_train), np.bincount(digits.y_test)
    assert np.abs(test - 0.2 * (train + test)).max() < 1


def test_mean_and_deviation_are_of_the_scaled_training_pictures(digits):
    x = digits.x_train / 16
    assert digits.mean == pytest.approx((x.mean(),))
    assert digits.std == pytest.approx((x.std(),))


def test_registry_holds_every_data_set_in_order():
    assert list(datasets())[:7] == ["digits", "fashion", "glyphs", "folder", "breast_cancer", "wine", "iris"]
    needs = {key: kind.needs for key, kind in datasets().items()}
    assert [key for key, need in needs.items() if need == ""] == [
        "digits",
        "fashion",
        "glyphs",
        "breast_cancer",
        "wine",
        "iris",
    ]
    assert [key for key, need in needs.items() if need == "network"][:5] == [
        *("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"),
    ]
    assert all(kind.card.summary and kind().key == key for key, kind in datasets().items())


def test_hash_covers_pixels_labels_classes_and_scale(digits):
    other = digits.x_test.copy()
    other[-1, 0, 0, 0] ^= 1
    changed = [
        dataclasses.replace(digits, x_test=other),
        dataclasses.replace(digits, y_train=(digits.y_train + 1) % 10),
        dataclasses.replace(digits, classes=tuple("012345678x")),
        dataclasses.replace(digits, top=17),
    ]
    assert len({digits.hash, *(data.hash for data in changed)}) == 5
    assert dataclasses.replace(digits, name="other").hash == digits.hash


def test_colour_statistics_are_per_channel_and_cross_blocks(monkeypatch):
    monkeypatch.setattr("engine.data.base._BLOCK", 64)
    x = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    x[:, 2] = 9
    y = np.arange(50) % 2
    data = image_data(name="x", classes=("a", "b"), x_train=x, y_train=y, x_test=x, y_test=y)
    assert data.mean == pytest.approx((x / 255).mean(axis=(0, 2, 3)))
    assert data.std == pytest.approx((*(x / 255).std(axis=(0, 2, 3))[:2], 1.0))  # a constant channel divides by one


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_train": np.zeros((4, 1, 2, 2), np.float32)}, "uint8"),
        ({"x_test": np.zeros((0, 1, 2, 2), np.uint8), "y_test": np.zeros(0, int)}, "no test pictures"),
        ({"y_train": np.zeros(3, int)}, "4 training pictures but 3 labels"),
        ({"y_test": np.array([0, 1, 2, 0])}, "outside the 2 classes"),
        ({"classes": ("a",), "y_train": np.zeros(4, int), "y_test": np.zeros(4, int)}, "at least two classes"),
        ({"x_test": np.zeros((4, 1, 3, 2), np.uint8)}, "test pictures"),
    ],
)
def test_unusable_arrays_are_refused_in_words(change, said):
    x, y = np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 1, 0, 1])
    whole = {"name": "x", "classes": ("a", "b"), "x_train": x, "y_train": y, "x_test": x, "y_test": y}
    with pytest.raises(DataError, match=said):
        image_data(**{**whole, **change})


def test_held_out_keeps_one_of_each_class_and_depends_on_keys_not_on_order():
    labels = np.array([0] * 10 + [1] + [2] * 7)
    keys = [f"k{i}" for i in range(18)]
    test = held_out(labels, keys)
    assert test.sum() == 4
    assert [int(test[labels == c].sum()) for c in range(3)] == [2, 0, 2]
    order = np.random.default_rng(0).permutation(18)
    again = held_out(labels[order], [keys[i] for i in order])
    assert {keys[i] for i in np.flatnonzero(test)} == {keys[order[i]] for i in np.flatnonzero(again)}
    assert not held_out(np.arange(4), list("abcd")).any()
