import dataclasses
import io
import json
import os
import shutil
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import classes, png, quiet, same, write_folder, write_tar, write_zip
from PIL import Image

from engine.data import decoded
from engine.data import folder as folder_module
from engine.data.archive import Limits
from engine.data.base import DataError
from engine.data.folder import Folder, common_size
from engine.data.pictures import BadPicture, Look, decode, look

SPLIT = {**classes(3, prefix="train/"), **classes(2, prefix="test/")}


def load(path, cache, progress=quiet):
    return Folder(path=str(path)).load(cache, progress)


def finished(cache):
    """Return the decoded copies in a cache, and fail if anything half-written lies beside them."""
    home = cache / "folder"
    if not home.exists():
        return []
    assert not [p for p in home.rglob("*") if ".part" in p.name]
    copies = [p for p in home.iterdir() if p.name != "seen"]
    assert all((p / "data.json").exists() for p in copies)
    return copies


def counting(monkeypatch):
    """Count pictures decoded from now on."""
    calls = []
    real = folder_module.decode
    monkeypatch.setattr(folder_module, "decode", lambda *a, **k: calls.append(1) or real(*a, **k))
    return calls


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.xz"])
def test_train_and_test_folders_become_the_splits(tmp_path, kind):
    path = tmp_path / f"pets.{kind}"
    if kind == "folder":
        path = write_folder(tmp_path / "pets", SPLIT)
    elif kind == "zip":
        write_zip(path, SPLIT)
    else:
        write_tar(path, SPLIT, {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[kind])
    data = load(path, tmp_path / "cache")
    assert (data.name, data.classes, data.top) == ("pets", ("cat", "dog"), 255)
    assert data.x_train.shape == (6, 3, 5, 6)  # (width, height) = (6, 5)
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.y_test.tolist() == [0, 0, 1, 1]
    assert data.x_train[:, 0, 0, 0].tolist() == [0, 10, 20, 100, 110, 120]
    assert data.x_train[:, 1, 0, 0].tolist() == [255, 245, 235, 155, 145, 135]
    assert data.x_test[:, 0, 0, 0].tolist() == [0, 10, 100, 110]
    assert dataclasses.replace(data).hash == data.hash  # the remembered hash is the one of these pixels
    assert len(finished(tmp_path / "cache")) == 1


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "TEST"])
def test_other_names_of_the_test_split(tmp_path, name):
    root = write_folder(tmp_path / "in", {**classes(3, prefix="train/"), **classes(2, prefix=f"{name}/")})
    assert load(root, tmp_path / "cache").y_test.tolist() == [0, 0, 1, 1]


def test_validation_is_left_out_beside_test(tmp_path):
    files = {**SPLIT, **classes(4, names=("cat", "unknown"), prefix="val/", size=(50, 50))}
    data = load(write_folder(tmp_path / "in", files), tmp_path / "cache")
    assert (len(data.x_train), len(data.x_test), data.shape) == (6, 4, (3, 5, 6))
    assert data.classes == ("cat", "dog")


@pytest.mark.parametrize("prefix", ["", "pets/", "train/", "pets/training/"])
def test_without_a_test_split_a_fixed_fifth_of_each_class_is_held_out(tmp_path, prefix):
    plain = load(write_folder(tmp_path / "plain", classes(10)), tmp_path / "cache")
    data = load(write_zip(tmp_path / "x.zip", classes(10, prefix=prefix)), tmp_path / "cache")
    assert np.bincount(data.y_test).tolist() == [2, 2]
    assert data.hash == plain.hash  # wrapping, packing and order make no difference
    assert same(data, plain)


def test_classes_are_sorted_and_numbers_by_value(tmp_path):
    data = load(write_folder(tmp_path / "in", classes(5, names=("10", "9", "zebra", "ant"))), tmp_path / "cache")
    assert data.classes == ("9", "10", "ant", "zebra")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no pictures in it"),
        ({"a.png": png(), **classes(2)}, "a.png is not in a class folder"),
        ({"train/a.png": png(), "test/b.png": png()}, "train/a.png is not in a class folder|test/b.png is not"),
        ({**classes(2, prefix="test/")}, "a test folder but no train folder"),
        ({**classes(2, prefix="train/"), **classes(2, names=("cat",))}, "cat lies beside train"),
        ({**classes(2, prefix="train/"), **classes(1, names=("owl",), prefix="test/")}, "class owl has test pictures"),
        (classes(5, names=("cat",)), "of one class, 'cat'; a classifier needs at least two"),
        (classes(1), "too few pictures"),
    ],
)
def test_layouts_that_make_no_data_set_are_explained(tmp_path, files, said):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=said):
        load(write_folder(tmp_path / "in", files), tmp_path / "cache")
    assert finished(tmp_path / "cache") == []


def test_a_name_twice_in_an_archive_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tmp_path / "x.zip"
        write_zip(path, classes(3))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("cat/1.png", png(9))
    with pytest.raises(DataError, match=r"cat/1\.png appears twice"):
        load(path, tmp_path / "cache")


@pytest.mark.parametrize("path", ["", "   ", "/no/such/place.zip", "bad\0name", "~no_such_user_here/x"])
def test_paths_that_lead_nowhere(tmp_path, path):
    with pytest.raises(DataError):
        load(path, tmp_path / "cache")


def test_bad_files_are_named_and_counted_and_nothing_is_kept(tmp_path):
    bad = {f"cat/note{i}.txt": b"hello" for i in range(6)} | {"dog/broken.png": png()[:30]}
    with pytest.raises(DataError, match="7 of 17 files") as error:
        load(write_folder(tmp_path / "in", classes(5) | bad), tmp_path / "cache")
    assert "cat/note0.txt (not a picture)" in str(error.value)
    assert "and 2 more" in str(error.value)
    assert finished(tmp_path / "cache") == []


def test_a_picture_damaged_behind_its_header_is_named(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    file = io.BytesIO()
    noise.save(file, "PNG")
    files = classes(5) | {"dog/half.png": file.getvalue()[:1500]}
    with pytest.raises(DataError, match=r"1 of 11 files cannot be used as pictures: dog/half\.png \(damaged\)"):
        load(write_zip(tmp_path / "x.zip", files), tmp_path / "cache")
    assert finished(tmp_path / "cache") == []


def test_pictures_over_the_pixel_bound_are_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(Folder, "limits", Limits(pixels=100))
    calls = counting(monkeypatch)
    with pytest.raises(DataError, match=r"dog/big\.png \(11x10 is too many pixels\)"):
        load(write_folder(tmp_path / "in", classes(5) | {"dog/big.png": png(size=(11, 10))}), tmp_path / "cache")
    assert calls == []


def test_pillow_bomb_warnings_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 25)
    with pytest.raises(DataError, match=r"10 of 10 files.*too many pixels"):
        load(write_folder(tmp_path / "in", classes(5)), tmp_path / "cache")


def test_decoded_size_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(Folder, "limits", Limits(decoded_bytes=899))
    with pytest.raises(DataError, match="GiB decoded"):
        load(write_folder(tmp_path / "in", classes(5)), tmp_path / "cache")
    monkeypatch.setattr(Folder, "limits", Limits(decoded_bytes=900))
    assert load(tmp_path / "in", tmp_path / "cache").points == 10


def test_the_most_common_size_wins_and_others_are_stretched(tmp_path):
    files = classes(5) | {"cat/tall.png": png(200, size=(3, 9)), "cat/wide.png": png(210, size=(30, 2))}
    data = load(write_folder(tmp_path / "in", {f"train/{k}": v for k, v in files.items()} | {"test/cat/1.png": png()}),
                tmp_path / "cache")  # fmt: skip
    assert data.shape == (3, 5, 6)
    assert data.x_train[5:7, 0].reshape(2, -1).tolist() == [[200] * 30, [210] * 30]


def test_common_size_is_capped_and_breaks_ties_by_area():
    assert common_size([Look(448, 100, True)] * 2 + [Look(5, 5, True)]) == (224, 50)
    assert common_size([Look(5, 5, True), Look(8, 4, True)]) == (8, 4)
    assert common_size([Look(10_000, 1, True)]) == (224, 1)


def test_grey_stays_one_channel_only_when_all_are_grey(tmp_path):
    grey = classes(5, mode="L")
    assert load(write_folder(tmp_path / "a", grey), tmp_path / "cache").shape == (1, 5, 6)
    mixed = load(write_folder(tmp_path / "b", grey | {"cat/colour.png": png(5)}), tmp_path / "cache")
    assert mixed.shape == (3, 5, 6)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


RED = Image.new("RGB", (4, 4), (255, 0, 0))
UNUSUAL = {
    "palette": (encoded(RED.quantize(4), "PNG"), (255, 0, 0)),
    "gif": (encoded(RED, "GIF"), (255, 0, 0)),
    "animated": (encoded(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")]), (255, 0, 0)),
    "cmyk": (encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "JPEG"), (255, 255, 255)),
    "transparent": (encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"), (255, 255, 255)),
    "half": (encoded(Image.new("LA", (4, 4), (0, 128)), "PNG"), (127, 127, 127)),
    "bmp": (encoded(RED, "BMP"), (255, 0, 0)),
    "tiff": (encoded(RED, "TIFF"), (255, 0, 0)),
    "webp": (encoded(RED, "WEBP", lossless=True), (255, 0, 0)),
    "ppm": (encoded(RED, "PPM"), (255, 0, 0)),
    "one bit": (encoded(Image.new("1", (4, 4), 1), "PNG"), (255, 255, 255)),
    "16 bit png": (encoded(Image.fromarray(np.full((4, 4), 0x8012, np.uint16)), "PNG"), (128, 128, 128)),
    "16 bit tiff": (encoded(Image.fromarray(np.full((4, 4), 0x8012, np.uint16)), "TIFF"), (128, 128, 128)),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_pictures_become_plain_rgb(kind):
    data, colour = UNUSUAL[kind]
    pixels = decode(data, width=4, height=4, grey=False, max_pixels=100)
    assert pixels.shape == (3, 4, 4)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - np.array(colour)[:, None, None]).max() <= 1
    seen = look(data, 100)
    assert (seen.width, seen.height) == (4, 4)
    assert seen.grey == (kind in ("half", "one bit", "16 bit png", "16 bit tiff"))


def test_pixels_keep_their_place_and_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 3), dtype=np.uint8)  # (H, W, C)
    got = decode(encoded(Image.fromarray(pixels), "PNG"), width=3, height=5, grey=False, max_pixels=100)
    assert got.tolist() == pixels.transpose(2, 0, 1).tolist()
    grey = decode(encoded(Image.fromarray(pixels[:, :, 0]), "PNG"), width=3, height=5, grey=True, max_pixels=100)
    assert grey.tolist() == [pixels[:, :, 0].tolist()]


def test_formats_off_the_list_and_floats_are_refused():
    with pytest.raises(BadPicture, match="not a picture"):
        look(encoded(RED, "ICO", sizes=[(4, 4)]), 100)
    with pytest.raises(BadPicture, match="floating"):
        decode(encoded(Image.new("F", (4, 4)), "TIFF"), width=4, height=4, grey=True, max_pixels=100)


@settings(deadline=None, max_examples=150)
@given(
    start=st.sampled_from([b"", *(data for data, _ in UNUSUAL.values())]),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    tail=st.binary(max_size=40),
)
def test_random_bytes_are_a_picture_or_a_bad_picture(start, flips, tail):
    raw = bytearray(start + tail)
    for place, value in flips:
        if raw:
            raw[place % len(raw)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            seen = look(bytes(raw), 10_000)
            assert decode(bytes(raw), width=4, height=4, grey=seen.grey, max_pixels=10_000).shape[1:] == (4, 4)
        except BadPicture:
            pass


def test_the_second_load_decodes_nothing_and_is_the_same(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "x.tar", SPLIT)
    first = load(path, tmp_path / "cache")
    calls = counting(monkeypatch)
    second = load(path, tmp_path / "cache")
    assert calls == []
    assert same(first, second)
    assert (first.hash, first.mean, first.std) == (second.hash, second.mean, second.std)
    shutil.copy(path, tmp_path / "copy.tar")
    assert load(tmp_path / "copy.tar", tmp_path / "cache").name == "copy"
    assert calls == []  # the content is the key, not the name


def test_an_old_archive_is_not_hashed_again_and_a_changed_one_is(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "x.tar", SPLIT)
    real_time = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_time() + 10**11)  # as if it had lain there for a while
    load(path, tmp_path / "cache")
    hashed = []
    real = folder_module.hashlib.sha256
    monkeypatch.setattr(folder_module.hashlib, "sha256", lambda *a: hashed.append(len(a)) or real(*a))
    load(path, tmp_path / "cache")
    assert 0 not in hashed  # sha256() without content is how hashing a file starts
    write_tar(path, {**SPLIT, "train/cat/0.png": png(99)})
    assert load(path, tmp_path / "cache").x_train[0, 0, 0, 0] == 99
    assert 0 in hashed


def test_a_file_written_just_now_is_not_remembered_by_its_time(tmp_path):
    load(write_tar(tmp_path / "x.tar", SPLIT), tmp_path / "cache")
    assert not (tmp_path / "cache" / "folder" / "seen").exists()


def test_a_changed_folder_is_decoded_again(tmp_path):
    root = write_folder(tmp_path / "in", SPLIT)
    old = load(root, tmp_path / "cache")
    (root / "train/cat/0.png").write_bytes(png(77))
    os.utime(root / "train/cat/0.png", ns=(1, 1))
    new = load(root, tmp_path / "cache")
    assert new.x_train[0, 0, 0, 0] == 77
    assert new.hash != old.hash


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    "phase", ["looking at the files", "looking at the pictures", "decoding the pictures", "measuring the pictures"]
)
def test_cancelling_in_any_phase_keeps_nothing_and_can_be_repeated(tmp_path, phase):
    path = write_tar(tmp_path / "x.tar", SPLIT)

    def stop(share, what):
        if what == phase:
            raise Stopped

    with pytest.raises(Stopped):
        load(path, tmp_path / "cache", stop)
    assert finished(tmp_path / "cache") == []
    assert load(path, tmp_path / "cache").points == 10


def test_progress_rises_from_zero_to_one(tmp_path):
    said = []
    load(write_tar(tmp_path / "x.tar", SPLIT), tmp_path / "cache", lambda share, what: said.append(share))
    assert said[0] == 0
    assert said[-1] == 1
    assert said == sorted(said)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, row, pixels):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded.Rows, "put", full)
    with pytest.raises(DataError, match="No space left on device"):
        load(write_tar(tmp_path / "x.tar", SPLIT), tmp_path / "cache")
    assert finished(tmp_path / "cache") == []


def test_a_failure_while_publishing_leaves_nothing(tmp_path, monkeypatch):
    def fail(folder, data):
        raise RuntimeError("injected")

    monkeypatch.setattr(folder_module, "keep", fail)
    with pytest.raises(RuntimeError, match="injected"):
        load(write_tar(tmp_path / "x.tar", SPLIT), tmp_path / "cache")
    assert finished(tmp_path / "cache") == []


@pytest.mark.parametrize("harm", ["cut", "note", "missing", "shape", "format", "object", "header"])
def test_a_damaged_copy_is_replaced(tmp_path, harm):
    path = write_tar(tmp_path / "x.tar", SPLIT)
    good = load(path, tmp_path / "cache")
    good = dataclasses.replace(good, x_train=good.x_train.copy(), x_test=good.x_test.copy())
    (copy,) = finished(tmp_path / "cache")
    array, note = copy / "x_train.npy", copy / "data.json"
    if harm == "cut":
        array.write_bytes(array.read_bytes()[:200])
    elif harm == "note":
        note.write_text("{")
    elif harm == "header":
        array.write_bytes(array.read_bytes().replace(b"'descr'", b"((descr'"))
    elif harm == "missing":
        array.unlink()
    elif harm == "shape":
        np.save(array, np.zeros((6, 3, 6, 5), np.uint8))
    elif harm == "format":
        note.write_text(json.dumps({**json.loads(note.read_text()), "format": 99}))
    else:
        np.save(array, np.array([print], dtype=object), allow_pickle=True)
    assert same(load(path, tmp_path / "cache"), good)
    assert len(finished(tmp_path / "cache")) == 1
    assert json.loads(note.read_text())["format"] == decoded.FORMAT
    assert np.load(array).shape == (6, 3, 5, 6)


def test_two_at_once_both_get_the_data_and_one_copy_stays(tmp_path):
    path = write_tar(tmp_path / "x.tar", SPLIT)
    with ThreadPoolExecutor(4) as pool:
        loads = list(pool.map(lambda _: load(path, tmp_path / "cache"), range(4)))
    assert all(same(loads[0], other) for other in loads)
    assert len(finished(tmp_path / "cache")) == 1


def test_abandoned_temporary_folders_are_swept_but_fresh_ones_are_not(tmp_path):
    home = tmp_path / "cache" / "folder"
    for name in (".part-old-x", ".part-stale", ".part-fresh"):
        (home / name).mkdir(parents=True)
    os.utime(home / ".part-stale", (1, 1))
    load(write_tar(tmp_path / "x.tar", SPLIT), tmp_path / "cache")
    assert sorted(p.name for p in home.glob(".part*")) == [".part-fresh"]


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, change):
    root = write_folder(tmp_path / "in", SPLIT)
    real = folder_module.arrange

    def arrange(files, source):
        if change != "removed":
            (root / "train/cat/new.png").write_bytes(png())
        if change != "added":
            (root / "train/cat/0.png").unlink()
        return real(files, source)

    monkeypatch.setattr(folder_module, "arrange", arrange)
    with pytest.raises(DataError, match="changed while it was read"):
        load(root, tmp_path / "cache")
    assert finished(tmp_path / "cache") == []


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.lists(st.sampled_from(["train", "test", "val", "a", "b", "c.png", "1", "__MACOSX", ".x"]), min_size=1,
                 max_size=4).map("/".join),
        st.sampled_from([png(), png(3, mode="L"), png(size=(2, 2)), b"text", b""]),
        max_size=12,
    )
)  # fmt: skip
def test_random_layouts_load_or_raise_a_data_error(tmp_path, files):
    path = write_zip(tmp_path / "x.zip", files)
    try:
        data = load(path, tmp_path / "cache")
    except DataError:
        pass
    else:
        assert len(data.classes) >= 2
        assert set(data.y_train) == set(range(len(data.classes)))
        assert 0 < len(data.y_test) < data.points
    finished(tmp_path / "cache")


CIFAR = Path(os.environ.get("FORGETSCOPE_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10.tar.xz")


@pytest.mark.slow
@pytest.mark.skipif(
    not CIFAR.exists(), reason="no CIFAR-10 archive of class folders; name one in the variable FORGETSCOPE_CIFAR10"
)
def test_cifar10_archive(tmp_path, monkeypatch):
    data = load(CIFAR, tmp_path)
    assert data.x_train.shape == (50_000, 3, 32, 32)
    assert data.x_test.shape == (10_000, 3, 32, 32)
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(data.y_train).tolist() == [5000] * 10
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=2e-3)
    assert data.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=4e-3)
    calls = counting(monkeypatch)
    assert load(CIFAR, tmp_path).hash == data.hash
    assert calls == []
