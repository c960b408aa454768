"""What the tests of data sets share: small picture folders and archives, and a comparison of loaded data."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def png(value=0, size=(6, 5), mode="RGB", form="PNG"):
    """Return the bytes of a picture of one colour; ``size`` is (width, height)."""
    colour = (value, 255 - value, 7) if mode == "RGB" else value
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form)
    return file.getvalue()


def classes(per_class=5, names=("cat", "dog"), prefix="", **kind):
    """Return {relative name: bytes} with ``per_class`` different pictures in each class."""
    return {
        f"{prefix}{name}/{i}.png": png(10 * i + 100 * c, **kind)
        for c, name in enumerate(names)
        for i in range(per_class)
    }


def write_folder(root: Path, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_tar(path: Path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def quiet(share, what):
    """A progress callback that does nothing."""


def same(a, b):
    """Tell whether two loaded data sets hold the same pictures, labels and classes."""
    return a.classes == b.classes and all(
        np.array_equal(getattr(a, part), getattr(b, part)) for part in ("x_train", "y_train", "x_test", "y_test")
    )
