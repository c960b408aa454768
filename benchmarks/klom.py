"""How fast is KLOM? 100 oracles x 100 unlearned models x 10,000 points, against loops over the points in plain NumPy.

    python benchmarks/klom.py [--json] [--points 10000] [--repeats 7]

The loops are measured on 1,000 of the points and scaled; the two take turns with the fast one in one run:

- ``histogram``: ``np.histogram(sample, bins=20, range=...)`` twice per point, the straightforward way. The aim, at
  least 50 times faster, is about this one.
- ``edges``: the same with the edges given, the quickest such loop we know (``engine.metrics._reference``).
- ``counting``: one ``np.digitize`` and 20 counts per sample, as the released benchmark code does it.

Aims: under 1 s, at least 50 times the straightforward loop, memory bounded. The interval (200 resamples, 1,797 points)
is timed beside it; its aim is 2 s. One thread each: nothing here uses more, and BLAS is told so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy is imported, which reads them once
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from engine.metrics._reference import reference_klom  # noqa: E402
from engine.metrics.klom import CONVENTIONS, intervals, klom  # noqa: E402

MODELS = 100
LOOPED = 1_000
"""Points the loops are measured on."""


def histogram_loop(oracle: np.ndarray, unlearned: np.ndarray) -> np.ndarray:
    """KLOM in the paper's convention as one would write it down: (N, P) margins to (P,)."""
    values = []
    for j in range(oracle.shape[1]):
        one, other = np.clip(oracle[:, j], -100, 100), np.clip(unlearned[:, j], -100, 100)
        joint = (min(one.min(), other.min()), max(one.max(), other.max()))
        p = np.histogram(one, bins=20, range=joint)[0] / len(one)  # (20,)
        q = np.histogram(other, bins=20, range=joint)[0] / len(other)  # (20,)
        p, q = np.where((p == 0) & (q > 0), 1e-5, p), np.where((q == 0) & (p > 0), 1e-5, q)
        used = p > 0
        values.append(np.sum(p[used] * np.log(p[used] / q[used])))
    return np.array(values)


def counting_loop(oracle: np.ndarray, unlearned: np.ndarray) -> np.ndarray:
    """KLOM in the released code's convention, counting bin by bin: (N, P) margins to (P,)."""
    values = []
    for j in range(oracle.shape[1]):
        one, other = np.clip(unlearned[:, j], -100, 100), np.clip(oracle[:, j], -100, 100)
        edges = np.linspace(min(one.min(), other.min()), max(one.max(), other.max()), 21)
        shares = []
        for sample in (one, other):
            bins = np.digitize(sample, edges)
            counts = np.array([np.sum(bins == i) for i in range(1, 21)])
            shares.append(counts / counts.sum())
        p, q = shares
        used = p > 0
        values.append(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-5))))
    return np.array(values)


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mb(work: Callable[[], object]) -> float:
    """Return how much more memory a call held at its peak than before it, in MB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def hardware() -> str:
    """Return what this ran on, in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    software = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{model or platform.machine()}, {os.cpu_count()} cores, {software}"


def measure(points: int, repeats: int) -> dict[str, Any]:
    """Time everything in turns, check that fast and slow agree, and return medians with the spread."""
    rng = np.random.default_rng(0)
    oracle = rng.normal(size=(MODELS, points)).astype(np.float32)  # (M, P)
    unlearned = (rng.normal(size=(MODELS, points)) + rng.uniform(0, 3, points)).astype(np.float32)  # (M, P)
    both = {"oracle": oracle, "unlearned": unlearned}
    few = {name: np.ascontiguousarray(side[:, :LOOPED]) for name, side in both.items()}
    looped = few["oracle"].shape[1]
    digits = {name: np.ascontiguousarray(side[:, :1797]) for name, side in both.items()}
    splits = {"all": np.arange(digits["oracle"].shape[1])}

    if not np.allclose(klom(**few), histogram_loop(**few), atol=1e-9):
        raise SystemExit("the fast KLOM and the histogram loop disagree: nothing to time")
    if not np.allclose(klom(**few, convention="easydub"), counting_loop(**few), atol=1e-9):
        raise SystemExit("the fast KLOM and the counting loop disagree: nothing to time")

    jobs: dict[str, Callable[[], object]] = {
        **{f"klom_{c}": lambda c=c: klom(**both, convention=c) for c in CONVENTIONS},
        "loop_histogram": lambda: histogram_loop(**few),
        "loop_edges": lambda: reference_klom(**few),
        "loop_counting": lambda: counting_loop(**few),
        "interval": lambda: intervals(**digits, points=splits, summaries={"p95": 0.95, "mean": None}),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            times[name].append(seconds(job) * (points / looped if name.startswith("loop") else 1))
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "models": [MODELS, MODELS],
        "points": points,
        "loops_measured_on": looped,
        "repeats": repeats,
        "seconds": {name: round(value, 4) for name, value in median.items()},
        "range": {name: [round(min(values), 4), round(max(values), 4)] for name, values in times.items()},
        "ratio": {
            name.removeprefix("loop_"): round(median[name] / median["klom_paper"], 1)
            for name in median
            if name.startswith("loop")
        },
        "peak_mb": {"klom": round(peak_mb(jobs["klom_paper"]), 1), "interval": round(peak_mb(jobs["interval"]), 1)},
        "margins_mb": round((oracle.nbytes + unlearned.nbytes) / 1e6, 1),
        "hardware": hardware(),
    }


def main() -> None:
    """Measure and print, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    if chosen.points < 1 or chosen.repeats < 1:
        parser.error("--points and --repeats must be at least 1")
    found = measure(chosen.points, chosen.repeats)
    if chosen.json:
        print(json.dumps(found))
        return
    print(f"KLOM, {MODELS} x {MODELS} models, {found['points']} points, median of {found['repeats']}")
    print(f"on {found['hardware']}; loops measured on {found['loops_measured_on']} points and scaled")
    for name, value in found["seconds"].items():
        low, high = found["range"][name]
        ratio = found["ratio"].get(name.removeprefix("loop_"))
        print(
            f"  {name:16} {value:8.4f} s  ({low:.4f} to {high:.4f})" + (f"  {ratio:6.1f} x klom_paper" if ratio else "")
        )
    peak = found["peak_mb"]
    print(
        f"  peak memory beyond {found['margins_mb']} MB of margins: {peak['klom']} MB, interval {peak['interval']} MB"
    )


if __name__ == "__main__":
    main()
