import base64
import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import engine.data
from engine.data import make_dataset
from engine.data.base import image_data
from engine.data.decoded import keep, whole
from engine.data.digits import Digits
from engine.demo import demo_recipe
from engine.experiment import resolve
from engine.pictures import Pictures, find
from engine.plan import data_job
from engine.records import Choice
from engine.registry import discover
from engine.store import Store


def colour_data():
    rng = np.random.default_rng(0)
    return image_data(
        name="toy",
        classes=("a", "b"),
        x_train=rng.integers(0, 256, (6, 3, 5, 4), dtype=np.uint8),
        y_train=np.array([0, 1, 0, 1, 0, 1]),
        x_test=rng.integers(0, 256, (2, 3, 5, 4), dtype=np.uint8),
        y_test=np.array([1, 0]),
    )


def opened(url):
    assert url.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))))


def test_a_colour_picture_comes_back_pixel_for_pixel():
    data = colour_data()
    np.testing.assert_array_equal(opened(Pictures(data).url(6)), data.x_test[0].transpose(1, 2, 0))


def test_sixteen_grey_levels_reach_full_brightness():
    data = Digits().load(Path(), lambda *_: None)
    point = int(np.argmax(data.x_train.max(axis=(1, 2, 3)) == 16))
    seen = opened(Pictures(data).url(point))
    np.testing.assert_array_equal(seen, data.x_train[point, 0].astype(int) * 255 // 16)
    assert seen.max() == 255


def test_points_run_through_training_then_test_and_end_there():
    data = colour_data()
    pictures = Pictures(data)
    assert len(pictures) == 8
    assert [pictures.class_name(p) for p in (0, 1, 6, 7)] == ["a", "b", "b", "a"]
    assert pictures.labels.tolist() == [0, 1, 0, 1, 0, 1, 1, 0]
    for outside in (-1, 8):
        with pytest.raises(IndexError, match="there is no point"):
            pictures.pixels(outside)


def test_pictures_are_found_by_hash_among_decoded_copies_and_embedded_sets(tmp_path):
    store, data = Store.open(tmp_path / "store"), colour_data()
    with whole(store.data_cache / "folder", "somekey") as folder:
        keep(folder, data)
    np.testing.assert_array_equal(find(store, data.hash).pixels(2), data.x_train[2])
    digits = Digits().load(store.data_cache, lambda *_: None)
    assert find(store, digits.hash).data.hash == digits.hash
    assert find(store, "0" * 32) is None


TOY = """
from dataclasses import dataclass

import numpy as np

from engine.data.base import Dataset, image_data
from engine.cards import Card


@dataclass(frozen=True)
class Toy(Dataset):
    key = "toy"
    card = Card(name="Toy", summary="Two shades of grey.", family="embedded")

    def read(self, cache, progress):
        x = np.repeat(np.array([10, 200], np.uint8), 4).reshape(8, 1, 1, 1)
        y = np.repeat([0, 1], 4)
        return image_data(name="toy", classes=("dark", "light"), x_train=x, y_train=y, x_test=x[2:6], y_test=y[2:6])
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A data set that comes with the program, in a file of its own and with no other file changed."""
    (tmp_path / "toy_grey.py").write_text(TOY)
    monkeypatch.setattr(engine.data, "__path__", [*engine.data.__path__, str(tmp_path)])
    discover.cache_clear()
    yield make_dataset({"key": "toy"})
    sys.modules.pop("engine.data.toy_grey")
    discover.cache_clear()


def test_a_new_embedded_data_set_has_its_pictures(tmp_path, toy):
    """Catches a list of the data sets that come with the program."""
    store = Store.open(tmp_path / "store")
    pictures = find(store, toy.load(store.data_cache, lambda *_: None).hash)
    assert pictures.pixels(7).item() == 200
    assert pictures.class_name(8) == "dark"


def test_a_damaged_note_is_passed_over(tmp_path):
    store = Store.open(tmp_path / "store")
    (store.data_cache / "folder" / "bad").mkdir(parents=True)
    (store.data_cache / "folder" / "bad" / "data.json").write_text("{")
    assert find(store, "0" * 32) is None


def test_no_torch_is_needed():
    code = (
        "import sys, engine.pictures, engine.views.headline, engine.theme; engine.pictures.datasets(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def cells(sheet, n):
    """Cut a sheet into its first ``n`` squares, (n, cell, cell) or (n, cell, cell, C)."""
    seen = np.asarray(Image.open(io.BytesIO(sheet.file)))
    side = sheet.cell
    assert seen.shape[:2] == (sheet.rows * side, sheet.columns * side)
    return [
        seen[side * (i // sheet.columns) :, side * (i % sheet.columns) :][:side, :side] for i in range(n)
    ]  # top left corner, then the square


def test_a_sheet_holds_pictures_in_the_order_asked_for_pixel_for_pixel():
    data = colour_data()  # 5 high, 4 wide
    sheet = Pictures(data).sheet([7, 0, 3, 0, 6], side=64, columns=2)
    assert (sheet.mime, sheet.cell, sheet.columns, sheet.rows) == ("image/png", 5, 2, 3)
    for point, seen in zip((7, 0, 3, 0, 6), cells(sheet, 5), strict=True):
        wanted = np.concatenate([data.x_train, data.x_test])[point].transpose(1, 2, 0)
        np.testing.assert_array_equal(seen[:, :4], wanted)
        assert not seen[:, 4:].any(), "what is left of the square is black"


def test_a_sheet_of_grey_levels_reaches_full_brightness():
    data = Digits().load(Path(), lambda *_: None)
    sheet = Pictures(data).sheet(np.arange(40), side=64)
    for point, seen in enumerate(cells(sheet, 40)):
        np.testing.assert_array_equal(seen, data.x_train[point, 0].astype(int) * 255 // 16)


def test_larger_pictures_become_means_of_blocks():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 3, 10, 12), dtype=np.uint8)
    data = image_data(name="t", classes=("a", "b"), x_train=x[:2], y_train=np.array([0, 1]), x_test=x[2:],
                      y_test=np.array([0]))  # fmt: skip
    sheet = Pictures(data).sheet([1], side=6)
    (seen,) = cells(sheet, 1)
    assert sheet.cell == 6
    means = x[1].reshape(3, 5, 2, 6, 2).mean(axis=(2, 4)).round().transpose(1, 2, 0)
    np.testing.assert_array_equal(seen[:5], means)
    odd = Pictures(data).sheet([1], side=5)  # blocks of 3: the last column and row are filled up with the edge's pixels
    padded = np.pad(x[1], ((0, 0), (0, 2), (0, 0)), mode="edge").reshape(3, 4, 3, 4, 3)
    np.testing.assert_array_equal(cells(odd, 1)[0], padded.mean(axis=(2, 4)).round().transpose(1, 2, 0))


def test_many_pictures_become_a_jpeg_close_to_them():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:28, 0:28]
    train = np.stack([(127 + 120 * np.sin(x / 9 + p) * np.cos(y / 9)) for p in rng.uniform(0, 6, 500)])
    data = image_data(name="t", classes=("a", "b"), x_train=train[:, None].astype(np.uint8), y_train=np.arange(500) % 2,
                      x_test=train[:1, None].astype(np.uint8), y_test=np.array([0]))  # fmt: skip
    sheet = Pictures(data).sheet(np.arange(500), side=32)
    assert (sheet.mime, sheet.cell) == ("image/jpeg", 32)
    assert sheet.url().startswith("data:image/jpeg;base64,")
    for point in (0, 31, 32, 499):
        seen = cells(sheet, 500)[point].astype(int)
        assert np.abs(seen[2:30, 2:30] - data.x_train[point, 0]).mean() < 6, "the right picture in the right place"


def test_a_sheet_of_nothing_or_of_no_such_point_is_refused():
    pictures = Pictures(colour_data())
    with pytest.raises(IndexError, match="there is no point 8"):
        pictures.sheet([0, 8], side=8)
    with pytest.raises(ValueError, match="at least one picture"):
        pictures.sheet([], side=8)


def test_a_part_of_a_data_set_has_its_own_pictures(tmp_path):
    """Catches pages without pictures for runs on `digits:per_class=20`, or with wrong labels."""
    store = Store.open(tmp_path / "store")
    recipe = dataclasses.replace(demo_recipe(), dataset=Choice("digits", {"per_class": 20, "flipped": 5.0}))
    job = data_job(resolve(recipe))
    part = Digits(per_class=20, flipped=5.0).load(store.data_cache, lambda *_: None)
    assert find(store, part.hash) is None, "no run has read it"
    with job.spec.artefact(store).write(job.part) as out:
        out.json("info", {"hash": part.hash})
    pictures = find(store, part.hash)
    assert len(pictures) == part.points
    assert [pictures.class_name(i) for i in range(200)] == [part.classes[y] for y in part.y_train]
