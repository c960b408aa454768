"""The published data sets on tiny made-up files with a false downloader; no test here touches a network."""

import gzip
import hashlib
import socket
import urllib.error
import urllib.request

import numpy as np
import pytest
from picture_files import quiet, write_tar
from scipy.io import savemat

from engine.data import datasets
from engine.data._downloaded import torchvision_utils
from engine.data.base import DataError
from engine.data.idx import read_idx
from engine.data.torchvision_sets import Cifar10, Cifar100, FashionMnist, Mnist, Svhn

RNG = np.random.default_rng(0)


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.tobytes())


def mnist_files(root):
    arrays = {
        "train-images-idx3-ubyte.gz": RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte.gz": np.arange(12, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte.gz": RNG.integers(0, 256, (4, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte.gz": np.arange(4, dtype=np.uint8),
    }
    for name, array in arrays.items():
        (root / name).write_bytes(idx(array))
    return [a[:, None] if a.ndim == 3 else a for a in arrays.values()]


def records(n, label_bytes, classes):
    labels = (np.arange(n) % classes).astype(np.uint8)
    pixels = RNG.integers(0, 256, (n, 3072), dtype=np.uint8)
    first = [np.full((n, 1), 255, np.uint8)] * (label_bytes - 1)  # the coarse label of CIFAR-100, not used
    return np.concatenate([*first, labels[:, None], pixels], axis=1).tobytes(), pixels.reshape(n, 3, 32, 32), labels


def cifar_files(root, kind):
    if kind is Cifar10:
        parts = [records(3, 1, 10) for _ in range(6)]
        names = [f"cifar-10-batches-bin/{n}.bin" for n in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")]
        classes = "\n".join(f"kind{i}" for i in range(10)) + "\n\n"
        extra = {"cifar-10-batches-bin/batches.meta.txt": classes.encode(), "cifar-10-batches-bin/readme.html": b"x"}
    else:
        parts = [records(120, 2, 100), records(4, 2, 100)]
        names = ["cifar-100-binary/train.bin", "cifar-100-binary/test.bin"]
        classes = "\n".join(f"kind{i}" for i in range(100)) + "\n"
        extra = {"cifar-100-binary/fine_label_names.txt": classes.encode()}
    # the archive lists the batches backwards: their order must come from their names
    files = dict(reversed([(n, p[0]) for n, p in zip(names, parts, strict=True)])) | extra
    write_tar(root / kind.remote.name, files, "w:gz")
    return [
        np.concatenate([p[1] for p in parts[:-1]]),
        np.concatenate([p[2] for p in parts[:-1]]),
        parts[-1][1],
        parts[-1][2],
    ]


def svhn_files(root):
    out = []
    for name, n in (("train_32x32.mat", 12), ("test_32x32.mat", 5)):
        x = RNG.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
        y = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]  # 1..10, 10 is the digit 0
        savemat(root / name, {"X": x, "y": y})
        out += [np.stack([x[:, :, :, i].transpose(2, 0, 1) for i in range(n)]), y.ravel() % 10]
    return out


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that plays the network: the false downloader copies from it and checks the MD5 of the file it has."""
    root = tmp_path / "server"
    root.mkdir()
    utils = torchvision_utils("the test")
    fetched = []

    def download_url(url, folder, filename=None, md5=None):
        fetched.append(url)
        (type(root)(folder) / filename).write_bytes((root / filename).read_bytes())
        if not utils.check_integrity(f"{folder}/{filename}", md5):
            raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(utils, "download_url", download_url)
    return root, fetched


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def use_made_up_checksums(monkeypatch, kind, root):
    remotes = tuple(r._replace(md5=md5(root / r.name)) for r in kind().remotes())
    monkeypatch.setattr(kind, "remotes", lambda self: remotes)


@pytest.mark.parametrize("kind", [Mnist, FashionMnist, Cifar10, Cifar100, Svhn])
def test_files_are_fetched_checked_parsed_and_cached(tmp_path, monkeypatch, server, kind):
    root, fetched = server
    made = {Mnist: mnist_files, FashionMnist: mnist_files, Svhn: svhn_files}.get(kind, lambda r: cifar_files(r, kind))
    expected = made(root)
    use_made_up_checksums(monkeypatch, kind, root)
    data = kind().load(tmp_path / "cache", quiet)
    for part, array in zip(("x_train", "y_train", "x_test", "y_test"), expected, strict=True):
        assert np.array_equal(getattr(data, part), array), part
    assert (data.name, data.top) == (kind.key, 255)
    assert len(data.classes) == (100 if kind is Cifar100 else 10)
    assert len(fetched) == len(kind().remotes())
    monkeypatch.setattr(kind, "remotes", lambda self: pytest.fail("the network was asked again"))
    again = kind().load(tmp_path / "cache", quiet)
    assert again.hash == data.hash
    assert not list((tmp_path / "cache").rglob(".part*"))


def test_checksums_are_torchvisions_and_the_binary_cifars():
    assert Mnist().remotes()[0].md5 == "f68b3c2dcbeaaa9fbdd348bbdeb94873"
    assert FashionMnist().remotes()[0].md5 != Mnist().remotes()[0].md5
    assert len(Mnist().remotes()[0].mirrors) >= 1
    assert Cifar10.remote.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert Cifar100.remote.md5 == "03b5dce01913d631647c71ecec9e9cb8"
    assert [r.name for r in Svhn().remotes()] == ["train_32x32.mat", "test_32x32.mat"]


@pytest.mark.parametrize("key", ["mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"])
def test_without_network_the_message_says_what_to_do(tmp_path, monkeypatch, key):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    with pytest.raises(DataError, match="could not be downloaded") as error:
        datasets()[key]().load(tmp_path, quiet)
    assert "Name or service not known" in str(error.value)
    assert "--dataset PATH" in str(error.value)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_file_with_the_wrong_checksum_is_not_kept_and_mirrors_are_tried(tmp_path, server):
    root, fetched = server
    mnist_files(root)
    with pytest.raises(DataError, match="corrupted"):
        Mnist().load(tmp_path / "cache", quiet)
    first = Mnist().remotes()[0]
    assert fetched == [first.url, *first.mirrors]
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_files_put_there_by_hand_are_used(tmp_path, monkeypatch, server):
    _, fetched = server
    by_hand = tmp_path / "cache" / "svhn" / "downloads"
    by_hand.mkdir(parents=True)
    svhn_files(by_hand)
    use_made_up_checksums(monkeypatch, Svhn, by_hand)
    assert len(Svhn().load(tmp_path / "cache", quiet).y_train) == 12
    assert fetched == []


def test_files_of_the_wrong_content_are_told_and_nothing_is_kept(tmp_path, monkeypatch, server):
    root, _ = server
    write_tar(root / Cifar10.remote.name, {"x/data_batch_1.bin": b"short"}, "w:gz")
    use_made_up_checksums(monkeypatch, Cifar10, root)
    with pytest.raises(DataError, match="not what was expected"):
        Cifar10().load(tmp_path / "cache", quiet)
    assert sorted(p.name for p in (tmp_path / "cache" / "cifar10").iterdir()) == ["downloads"]


def test_cancelling_a_download_keeps_nothing_half_written(tmp_path, monkeypatch, server):
    root, _ = server
    mnist_files(root)
    use_made_up_checksums(monkeypatch, Mnist, root)

    def stop(share, what):
        if "t10k-images" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Mnist().load(tmp_path / "cache", stop)
    kept = [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert sorted(kept) == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]  # both whole and checked


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00\x00\x09\x01\x00\x00\x00\x01x", b"\x00\x00\x08\x01\x00\x00\x00\x02x",
     b"\x00\x00\x08\x01\x00\x00\x00\x01xy", b"\x00\x00\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff"],
)  # fmt: skip
def test_idx_files_that_lie_are_refused(tmp_path, raw):
    (tmp_path / "x.gz").write_bytes(gzip.compress(raw))
    with pytest.raises(ValueError, match=r"x\.gz"):
        read_idx(tmp_path / "x.gz")


def test_a_torchvision_that_does_not_import_is_explained(tmp_path, monkeypatch):
    def absent(name):
        return None

    from engine.data import _torchvision_shim

    _torchvision_shim.prepare_torchvision.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", absent)
    with pytest.raises(DataError, match="torchvision"):
        Mnist().load(tmp_path, quiet)
    monkeypatch.undo()
    _torchvision_shim.prepare_torchvision.cache_clear()
