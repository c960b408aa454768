"""Forget sets by share, drawn classes, clusters of a size, named parts of the data, and a benchmark's own lists."""

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from engine.data.base import image_data
from engine.data.digits import Digits
from engine.data.folder import Folder
from engine.data.layout import arrange
from engine.forget import parse
from engine.forget.base import ForgetError, Scene, forget_set
from engine.forget.published import sets

RNG = np.random.default_rng(0)


def made(labels, classes=4):
    labels = np.asarray(labels)
    x = RNG.integers(0, 256, (len(labels), 1, 4, 4), dtype=np.uint8)
    names = tuple("abcdefghij"[:classes])
    return image_data(name="made", classes=names, x_train=x, y_train=labels, x_test=x[:4], y_test=labels[:4])


DATA = made(np.arange(200) % 4)


def chosen(form, data=DATA, seed=0, **scene):
    return forget_set(parse(form), Scene(data, **scene), seed=seed)


def test_a_share_is_that_many_of_the_training_pictures():
    assert len(chosen("random:5%")) == 10
    assert len(chosen("random:0.1%")) == 1, "never nothing"
    assert chosen("random:5%").name == "random 5 %"
    assert np.array_equal(chosen("random:5%").indices, chosen("random:10").indices), "the same draw as the number"
    for form in ("random:0%", "random:%", "random:x%", "random:100%", "random:-1%"):
        with pytest.raises(ForgetError):
            chosen(form)


def test_drawn_classes_are_whole_and_differ_with_the_seed():
    one = chosen("classes:2")
    labels = np.unique(DATA.y_train[one.indices])
    assert len(labels) == 2
    assert np.array_equal(one.indices, np.flatnonzero(np.isin(DATA.y_train, labels)))
    assert len({chosen("classes:2", seed=seed).hash for seed in range(8)}) > 2
    with pytest.raises(ForgetError, match="at most 3"):
        chosen("classes:4")


def test_a_cluster_of_a_size_is_its_most_central_part():
    group = RNG.permutation(np.repeat([0, 1], [140, 60]))
    features = (np.eye(2)[group] * 50 + RNG.normal(0, 1, (200, 2))).astype(np.float32)
    scene = {"features": features}
    every = chosen("cluster:0,2,features", **scene).indices
    some = chosen("cluster:0,2,features,20", **scene).indices
    assert np.array_equal(every, np.flatnonzero(group == 0))
    assert len(some) == 20
    assert set(some) <= set(every)
    away = np.linalg.norm(features[every] - features[every].mean(axis=0), axis=1)
    assert set(some) == set(every[np.argsort(away)[:20]])
    with pytest.raises(ForgetError, match="has 140 pictures"):
        chosen("cluster:0,2,features,141", **scene)


def test_wrong_labels_are_listed_and_nothing_else_changes(tmp_path):
    clean, dirty = Digits().load(tmp_path, lambda *_: None), Digits(flipped=3).load(tmp_path, lambda *_: None)
    wrong = np.flatnonzero(clean.y_train != dirty.y_train)
    assert len(wrong) == round(0.03 * 1437)
    assert np.array_equal(chosen("listed:mislabelled", dirty).indices, wrong)
    assert np.array_equal(clean.x_train, dirty.x_train)
    assert np.array_equal(clean.y_test, dirty.y_test)
    assert clean.hash != dirty.hash
    with pytest.raises(ForgetError, match="it has none"):
        chosen("listed:mislabelled", clean)


def test_a_folder_within_a_class_is_a_part_with_a_name():
    names = [("cat", "small", f"{i}.png") for i in range(10)] + [("cat", f"{i}.png") for i in range(10)]
    names += [("dog", "old", "big", f"{i}.png") for i in range(10)]
    layout = arrange(names, "pets")
    parts = layout.subsets()
    assert list(parts) == ["cat/small", "dog/old/big"]
    for group, rows in parts.items():
        files = [i for i, name in enumerate(names) if "/".join(name[:-1]) == group and not layout.test[i]]
        assert rows.tolist() == sorted(layout.place[files].tolist())


def test_parts_survive_the_cache_of_an_archive(tmp_path):
    from PIL import Image

    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name in [f"{kind}/{i}.png" for kind in ("cat/small", "cat", "dog") for i in range(6)]:
            picture = io.BytesIO()
            Image.fromarray(RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(picture, "png")
            archive.writestr(name, picture.getvalue())
    first, again = (Folder(path=str(tmp_path / "pets.zip")).load(tmp_path / "cache", lambda *_: None) for _ in range(2))
    assert list(first.subsets) == list(again.subsets) == ["cat/small"]
    assert np.array_equal(first.subsets["cat/small"], again.subsets["cat/small"])
    assert len(chosen("listed:cat/small", again)) >= 1
    with pytest.raises(ForgetError, match="cat/small"):
        chosen("listed:cat/large", again)


def test_published_sets_are_those_of_the_benchmark_and_of_its_order_alone():
    official = [*sets()["first labels"], *(np.arange(49_990) % 10)]
    data = made(official, classes=10)
    sizes = [len(chosen(f"published:{number}", data)) for number in range(1, 11)]
    assert sizes == [10, 100, 1000, 10, 100, 500, 10, 100, 500, 100]
    assert chosen("published:1", data).indices[[0, -1]].tolist() == [11841, 45519]
    for other in (DATA, dataclasses.replace(data, y_train=np.sort(data.y_train))):
        with pytest.raises(ForgetError, match="official order"):
            chosen("published:3", other)
