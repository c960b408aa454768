"""How long does a real archive of 60,000 colour pictures take to load, the first time and after?

    python benchmarks/cifar10.py --archive cifar10.tar.xz [--json]

The archive holds class folders, train/CLASS/*.jpg and test/CLASS/*.jpg. Every measurement runs in a fresh process, so
that peak memory belongs to it alone. Aims: first load under 90 s, later ones under 3 s, under 2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def measure_load(archive: Path, cache: Path) -> dict[str, Any]:
    """Load the archive in this process; return seconds, peak memory in MB, picture counts, size and hash."""
    sys.path.insert(0, str(ROOT))
    start = time.perf_counter()
    from engine.data.folder import Folder

    data = Folder(path=str(archive)).load(cache, lambda share, what: None)  # noqa: ARG005
    named = data.hash
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return {
        "seconds": round(seconds, 3),
        "peak_mb": round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1),
        "train": len(data.y_train),
        "test": len(data.y_test),
        "classes": len(data.classes),
        "shape": list(data.shape),
        "hash": named,
    }


def in_fresh_process(*arguments: str) -> dict[str, Any]:
    """Run this file with ``arguments`` in a new interpreter and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def benchmark_data(archive: Path) -> dict[str, Any]:
    """Measure a first load into an empty cache and a second one from it."""
    with tempfile.TemporaryDirectory() as cache:
        loads = {
            name: in_fresh_process("--archive", str(archive), "--measure-load", cache) for name in ("first", "second")
        }
    if loads["first"]["hash"] != loads["second"]["hash"]:
        raise RuntimeError("the second load gave other pictures than the first")
    return loads


def print_data(loads: dict[str, Any]) -> None:
    """Print the table of :func:`benchmark_data`."""
    print(f"{'load':<8}{'seconds':>9}{'peak MB':>9}{'train':>8}{'test':>8}  shape")
    for name, row in loads.items():
        print(
            f"{name:<8}{row['seconds']:>9.2f}{row['peak_mb']:>9.0f}{row['train']:>8,}{row['test']:>8,}  {row['shape']}"
        )


# Training on the archive's pictures, on a GPU, is a second question: its benchmark and its table go below this line as
# ``benchmark_training`` and ``print_training`` and are called from ``main`` behind the data half.


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--archive", type=Path, default=os.environ.get("FORGETSCOPE_CIFAR10"), metavar="PATH")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--measure-load", type=Path, metavar="CACHE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.archive is None or not given.archive.exists():
        parser.error("give the archive with --archive PATH or in the variable FORGETSCOPE_CIFAR10")
    if given.measure_load is not None:
        print(json.dumps(measure_load(given.archive, given.measure_load)))
        return
    result = {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "load": benchmark_data(given.archive),
    }
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        print_data(result["load"])


if __name__ == "__main__":
    main()
