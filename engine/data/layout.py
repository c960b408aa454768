"""Reading classes and splits out of file names: train/cat/1.png, cat/1.png, pets/cat/1.png."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.base import DataError
from engine.data.split import held_out

_TRAIN = ("train", "training")
_TEST = ("test", "testing")
_VALID = ("val", "valid", "validation")
_SPLITS = _TRAIN + _TEST + _VALID


@dataclass(frozen=True)
class Layout:
    """Where every picture goes.

    ``classes`` are sorted, whole numbers by value; ``labels`` int64 (F,) is the class of file i; ``place`` int64 (F,)
    its row in the training array if ``test`` bool (F,) is false, else in the test array; rows of -1 are left out.
    ``groups`` name the folder within its class folder that file i is in, as "class/folder"; empty if it is in none.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    place: np.ndarray
    test: np.ndarray
    groups: tuple[str, ...] = ()

    def subsets(self) -> dict[str, np.ndarray]:
        """Return the training rows of each folder within a class folder, by its name: int64 (n,), sorted."""
        named: dict[str, list[int]] = {}
        for group, row, test in zip(self.groups, self.place, self.test, strict=True):
            if group and row >= 0 and not test:
                named.setdefault(group, []).append(int(row))
        return {group: np.array(sorted(rows), np.int64) for group, rows in sorted(named.items())}


def arrange(files: Sequence[tuple[str, ...]], source: str) -> Layout:
    """Give each file (its name in parts) a class, a split and a row; rows are ordered by class, then by name.

    One folder around everything is ignored. The first folder, after ``train`` or ``test`` if there are such, names the
    class. Without a test split (``test``, else ``val`` or ``valid``) a fixed stratified fifth is held out. Beside
    ``test``, a validation split is left out: it is neither trained nor tested on.

    Raises:
        DataError: pictures outside class folders, mixed layouts, a test class that is never trained; in words.
    """
    if not files:
        raise DataError(f"{source}: there are no pictures in it; it needs one folder of pictures per class")
    double, times = Counter(files).most_common(1)[0]
    if times > 1:
        raise DataError(f"{source}: {'/'.join(double)} appears twice; keep one of them")
    files = _unwrapped(files)
    heads = {name[0].lower() for name in files}
    named = {head for head in heads if head in _SPLITS}
    if named and not heads <= set(_SPLITS):
        other = sorted(heads - named)[0]
        raise DataError(f"{source}: {other} lies beside {sorted(named)[0]}; use train and test folders alone, or none")
    depth = 2 if named else 1
    stray = next((name for name in files if len(name) <= depth), None)
    if stray is not None:
        raise DataError(
            f"{source}: {'/'.join(stray)} is not in a class folder; put it in CLASS/, or in train/CLASS/ or test/CLASS/"
        )
    splits = np.array([_split(name[0].lower()) if named else "train" for name in files])
    if not (splits == "train").any():
        raise DataError(f"{source}: there is a {sorted(named)[0]} folder but no train folder")
    held = "test" if (splits == "test").any() else "valid"
    names = [name[depth - 1] for name in files]
    classes = tuple(sorted({n for n, s in zip(names, splits, strict=True) if s == "train"}, key=_order))
    number = {name: i for i, name in enumerate(classes)}
    for file, name, split in zip(files, names, splits, strict=True):
        if split == held and name not in number:
            raise DataError(f"{source}: class {name} has test pictures ({'/'.join(file)}) but no training pictures")
    labels = np.array([number.get(name, -1) for name in names], np.int64)  # (F,)
    keys = ["/".join(file[depth - 1 :]) for file in files]
    test = splits == held
    if not test.any():
        test = held_out(labels, keys)
    place = np.full(len(files), -1, np.int64)  # (F,)
    for rows in (np.flatnonzero((splits == "train") & ~test), np.flatnonzero(test)):
        ordered = sorted(rows, key=lambda i: (labels[i], keys[i], files[i]))
        place[ordered] = np.arange(len(ordered))
    groups = tuple("/".join(file[depth - 1 : -1]) if len(file) > depth + 1 else "" for file in files)
    return Layout(classes, labels, place, test, groups)


def _unwrapped(files: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Drop the one folder around everything, if there is one and it is not a split or the only class."""
    top = files[0][0]
    if top.lower() in _SPLITS or any(name[0] != top or len(name) < 3 for name in files):
        return files
    return [name[1:] for name in files]


def _split(head: str) -> str:
    return "train" if head in _TRAIN else "test" if head in _TEST else "valid"


def _order(name: str) -> tuple[int, int, str]:
    """Order by value when a name is a number, so that class 10 follows class 9."""
    return (0, int(name), name) if name.isascii() and name.isdigit() and len(name) < 19 else (1, 0, name)
