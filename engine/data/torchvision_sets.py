"""The classic small data sets, fetched from their official places: MNIST, FashionMNIST, CIFAR-10, CIFAR-100, SVHN."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.cards import Card
from engine.data._downloaded import CifarRecords, Downloaded, IdxFiles, Parsed, Remote, torchvision_utils

CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
"""The classes of Fashion-MNIST, in the order of its labels."""
PACKAGED = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package has the files of Fashion-MNIST."""


@dataclass(frozen=True)
class Mnist(IdxFiles):
    """70,000 handwritten digits, 28x28 grey."""

    key = "mnist"
    order = 10
    source = "MNIST"
    classes = tuple("0123456789")
    card = Card(
        name="MNIST",
        summary="70,000 handwritten digits of 28x28 grey pixels; 12 MB to download.",
        family="download",
        paper="Gradient-based learning applied to document recognition",
        year=1998,
    )


@dataclass(frozen=True)
class FashionMnist(IdxFiles):
    """70,000 pieces of clothing, 28x28 grey."""

    key = "fashion_mnist"
    order = 11
    source = "FashionMNIST"
    classes = CLOTHES
    card = Card(
        name="FashionMNIST",
        summary="70,000 pieces of clothing of 28x28 grey pixels; 31 MB to download.",
        family="download",
        paper="Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
        year=2017,
        arxiv="1708.07747",
    )

    def installed(self) -> dict[str, Path]:
        """Return the files of Debian's package dataset-fashion-mnist, where it is installed."""
        names = [f"{split}-{what}-ubyte.gz" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
        files = {name: PACKAGED / name for name in names}
        return files if all(file.is_file() for file in files.values()) else {}


@dataclass(frozen=True)
class Cifar10(CifarRecords):
    """60,000 colour photographs of ten kinds of things, 32x32."""

    key = "cifar10"
    order = 12
    remote = Remote(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        (),
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
    )
    train = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
    test = "test_batch.bin"
    names = "batches.meta.txt"
    label_bytes = 1
    card = Card(
        name="CIFAR-10",
        summary="60,000 colour photographs of 32x32 pixels in ten classes; 162 MB to download.",
        family="download",
        paper="Learning Multiple Layers of Features from Tiny Images",
        year=2009,
    )


@dataclass(frozen=True)
class Cifar100(CifarRecords):
    """60,000 colour photographs of a hundred kinds of things, 32x32."""

    key = "cifar100"
    order = 13
    remote = Remote(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        (),
        "cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
    )
    train = ("train.bin",)
    test = "test.bin"
    names = "fine_label_names.txt"
    label_bytes = 2
    card = Card(
        name="CIFAR-100",
        summary="60,000 colour photographs of 32x32 pixels in a hundred classes; 162 MB to download.",
        family="download",
        paper="Learning Multiple Layers of Features from Tiny Images",
        year=2009,
    )


@dataclass(frozen=True)
class Svhn(Downloaded):
    """99,289 house-number digits from street photographs, 32x32 colour."""

    key = "svhn"
    order = 14
    card = Card(
        name="SVHN",
        summary="99,289 house-number digits of 32x32 colour pixels from street photographs; 246 MB to download.",
        family="download",
        paper="Reading Digits in Natural Images with Unsupervised Feature Learning",
        year=2011,
    )

    def remotes(self) -> tuple[Remote, ...]:
        """Take addresses and checksums from torchvision."""
        torchvision_utils(self.card.name)
        from torchvision import datasets

        theirs = [datasets.SVHN.split_list[split] for split in ("train", "test")]
        return tuple(Remote(url, (), name, md5) for url, name, md5 in theirs)

    def parse(self, files: dict[str, Path]) -> Parsed:
        """Read X (32, 32, 3, N) and y (N, 1) of each file; the files call the digit 0 class 10."""
        from scipy.io import loadmat  # comes with scikit-learn

        parts = []
        for name in ("train_32x32.mat", "test_32x32.mat"):
            table = loadmat(files[name], variable_names=["X", "y"])
            parts.append(np.ascontiguousarray(table["X"].transpose(3, 2, 0, 1)))  # (N, 3, 32, 32)
            parts.append(table["y"].ravel().astype(np.int64) % 10)  # (N,)
        return Parsed(tuple("0123456789"), *parts)
