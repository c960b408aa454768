"""KLOM between two files of margins, of this program or any other."""

from __future__ import annotations

import argparse
import json
import tokenize

import numpy as np

from engine.knobs import BadSetting

_UNREADABLE = (OSError, ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError, RecursionError)
"""What numpy raises on files that are not, or not quite, arrays."""
WORST = 5
"""Points named in the text; ``--json`` holds all of them."""


def klom(arguments: argparse.Namespace) -> int:
    """Measure KLOM between two files of margins."""
    from engine.metrics.klom import MetricError
    from engine.metrics.klom import klom as measure

    margins = {name: _margins(name, getattr(arguments, name)) for name in ("oracle", "unlearned")}
    try:
        per_point = measure(**margins, convention=arguments.convention)
    except MetricError as error:
        raise BadSetting(str(error)) from error
    result = {
        "per_point": per_point.tolist(),
        "mean": float(per_point.mean()),
        "p95": float(np.quantile(per_point, 0.95)),
    }
    if arguments.json:
        print(json.dumps(result))
        return 0
    models = " and ".join(f"{len(array):,} {name}" for name, array in margins.items())
    worst = np.argsort(-per_point, kind="stable")[:WORST]
    print(f"KLOM ({arguments.convention}) of {models} models at {len(per_point):,} points")
    print(f"mean {result['mean']:.4f}, 95th percentile {result['p95']:.4f}")
    print("furthest: " + ", ".join(f"point {i} {per_point[i]:.4f}" for i in worst))
    return 0


def _margins(name: str, path: str) -> np.ndarray:
    """Map an array (N, P) from an .npy file; nothing is unpickled, and a false header takes no memory.

    Raises:
        BadSetting: no such file, or not an .npy file of plain numbers.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (*_UNREADABLE, tokenize.TokenError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadSetting(f"--{name} {path} is not an .npy file of numbers: {why}") from error
