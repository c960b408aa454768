import base64
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.base import image_data
from engine.data.decoded import keep, whole
from engine.data.digits import Digits
from engine.pictures import Pictures, find
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


def test_a_damaged_note_is_passed_over(tmp_path):
    store = Store.open(tmp_path / "store")
    (store.data_cache / "folder" / "bad").mkdir(parents=True)
    (store.data_cache / "folder" / "bad" / "data.json").write_text("{")
    assert find(store, "0" * 32) is None


def test_no_torch_is_needed():
    code = "import sys, engine.pictures, engine.views.headline, engine.theme; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
