"""Make assets/fashion.npz: the first 500 training and 100 test pictures of each class of Fashion-MNIST.

    python assets/make_fashion.py [FOLDER]

FOLDER holds the four published files (train-images-idx3-ubyte.gz and so on); by default where Debian's package
dataset-fashion-mnist puts them. Fashion-MNIST is Copyright 2017 Zalando SE, under the MIT licence
(assets/fashion-LICENSE.txt).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.data.idx import read_idx  # noqa: E402 - beside this folder
from engine.data.torchvision_sets import PACKAGED  # noqa: E402

EACH = {"train": 500, "t10k": 100}


def main() -> None:
    """Write the file, and say how large it is."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGED
    parts = {}
    for split, each in EACH.items():
        x = read_idx(folder / f"{split}-images-idx3-ubyte.gz")  # (N, 28, 28)
        y = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")  # (N,)
        first = np.sort(np.concatenate([np.flatnonzero(y == label)[:each] for label in range(10)]))
        parts |= {f"x_{split}": x[first], f"y_{split}": y[first]}
    out = ROOT / "assets" / "fashion.npz"
    np.savez_compressed(out, **parts)
    print(f"{out}: {out.stat().st_size:,} bytes, {', '.join(f'{k} {v.shape}' for k, v in parts.items())}")


if __name__ == "__main__":
    main()
