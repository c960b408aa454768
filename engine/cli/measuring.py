"""KLOM between two files of margins, of this program or any other."""

from __future__ import annotations

import argparse
import json
import tokenize
import zipfile
from pathlib import Path

import numpy as np

from engine.knobs import BadSetting
from engine.records import SPLITS

_UNREADABLE = (OSError, ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError, RecursionError)
"""What numpy raises on files that are not, or not quite, arrays."""
WORST = 5
"""Points named in the text; ``--json`` holds all of them."""


def klom(arguments: argparse.Namespace) -> int:
    """Measure KLOM between two files of margins."""
    from engine.metrics.klom import MetricError
    from engine.metrics.klom import klom as measure

    margins = {name: _array(name, getattr(arguments, name), "margins") for name in ("oracle", "unlearned")}
    splits = _splits(arguments.unlearned, margins["unlearned"].shape[-1] if margins["unlearned"].ndim else 0)
    try:
        per_point = measure(**margins, convention=arguments.convention)
    except MetricError as error:
        raise BadSetting(str(error)) from error
    result = {
        "per_point": per_point.tolist(),
        "mean": float(per_point.mean()),
        "p95": float(np.quantile(per_point, 0.95)),
        "splits": {
            split: {"mean": float(per_point[points].mean()), "p95": float(np.quantile(per_point[points], 0.95))}
            for split, points in splits.items()
        },
    }
    if arguments.json:
        print(json.dumps(result))
        return 0
    models = " and ".join(f"{len(array):,} {name}" for name, array in margins.items())
    worst = np.argsort(-per_point, kind="stable")[:WORST]
    print(f"KLOM ({arguments.convention}) of {models} models at {len(per_point):,} points")
    print(f"mean {result['mean']:.4f}, 95th percentile {result['p95']:.4f}")
    for split, values in result["splits"].items():
        print(f"{split}: mean {values['mean']:.4f}, 95th percentile {values['p95']:.4f}")
    print("furthest: " + ", ".join(f"point {i} {per_point[i]:.4f}" for i in worst))
    return 0


def _array(name: str, path: str, array: str) -> np.ndarray:
    """Map an array (N, P) from an .npy file, or read one from an .npz; nothing is unpickled.

    A false header of an .npy takes no memory.

    Raises:
        BadSetting: no such file, or not a file of plain numbers.
    """
    try:
        if Path(path).suffix != ".npz":
            return np.lib.format.open_memmap(path, mode="r")
        with np.load(path, allow_pickle=False) as file:
            return file[array]
    except (*_UNREADABLE, KeyError, zipfile.BadZipFile, tokenize.TokenError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadSetting(f"--{name} {path} is not an .npy or .npz file of {array}: {why}") from error


def _splits(path: str, points: int) -> dict[str, np.ndarray]:
    """Return the points of each split that an exported .npz names, of the ``points`` there are; of an .npy none.

    Raises:
        BadSetting: numbers that are no points.
    """
    if Path(path).suffix != ".npz":
        return {}
    with np.load(path, allow_pickle=False) as file:
        named = [split for split in SPLITS if split in file.files]
    splits = {split: _array("unlearned", path, split) for split in named}
    for split, numbers in splits.items():
        plain = numbers.ndim == 1 and numbers.dtype.kind in "iu"
        if not plain or (numbers.size and not 0 <= numbers.min() <= numbers.max() < points):
            raise BadSetting(f"--unlearned {path}: its {split} split names points that are not there")
    return {split: numbers for split, numbers in splits.items() if numbers.size}
