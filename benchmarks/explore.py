"""How long the Forget set page's maps take: PCA, nearest neighbours and groups, UMAP. One process, one thread.

    python benchmarks/explore.py [--archive pictures.tar.xz] [--json]

Without an archive of class folders the digits are used (1,437 training pictures).
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - the project lies above this folder
from engine.analysis_jobs import answerable  # noqa: E402
from engine.data import make_dataset  # noqa: E402
from engine.plan import make_plan  # noqa: E402
from engine.store import Store  # noqa: E402
from engine.work import run_job  # noqa: E402


class Quiet:
    """Hooks that tell nobody."""

    def progress(self, share: float, message: str) -> None:
        """Take note of nothing."""

    def frame(self, frame: Mapping[str, Any]) -> None:
        """Take note of nothing."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    choice = {"key": "folder", "path": str(asked.archive.resolve())} if asked.archive else {"key": "digits"}
    found: dict[str, Any] = {"hardware": hardware(), "seconds": {}}
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store")
        start = time.perf_counter()
        data = make_dataset(choice).load(store.data_cache, Quiet().progress)
        found["pictures"] = list(data.x_train.shape)
        found["seconds"]["read"] = time.perf_counter() - start
        for name, analysis in (
            ("pca", {"key": "map", "layout": "pca"}),
            ("columns", {"key": "columns"}),
            ("umap", {"key": "map", "layout": "umap"}),
        ):
            question = {"analysis": analysis, "recipe": {"dataset": choice}}
            while isinstance(planned := answerable(question, store, lambda e: make_plan(e, store, "cpu")), tuple):
                for job in planned:  # the data set, which is noted once
                    run_job(store, job, Quiet(), torch.device("cpu"))
            start = time.perf_counter()
            for job in planned.jobs:
                run_job(store, job, Quiet(), torch.device("cpu"))
            found["seconds"][name] = time.perf_counter() - start
            found["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if asked.json:
        print(json.dumps(found, indent=1))
    else:
        print(found["hardware"])
        print(f"{found['pictures'][0]:,} training pictures {tuple(found['pictures'][1:])}")
        for name, seconds in found["seconds"].items():
            print(f"{name:8} {seconds:7.1f} s")
        print(f"peak memory {found['peak_megabytes']:.0f} MB")


if __name__ == "__main__":
    main()
