"""The format of MNIST and its successors: gzipped IDX files of unsigned bytes."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np

_MOST = 1 << 28
"""Bytes of one file: four times the largest that is published."""


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes into a uint8 array of its own shape.

    Raises:
        ValueError: another element type, or more or fewer bytes than its header says.
    """
    with gzip.open(path) as file:
        head = file.read(4)
        if len(head) < 4 or head[:3] != b"\x00\x00\x08":
            raise ValueError(f"{path.name} is not an IDX file of bytes")
        shape = [int.from_bytes(file.read(4), "big") for _ in range(head[3])]
        count = math.prod(shape)
        if count > _MOST:
            raise ValueError(f"{path.name} says that it holds {count:,} bytes")
        data = file.read(count + 1)
    if len(data) != count:
        raise ValueError(f"{path.name} should hold {count:,} bytes of data")
    return np.frombuffer(data, np.uint8).reshape(shape)
