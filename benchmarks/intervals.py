"""Do the intervals of KLOM hold what they promise, also where a forget set has one to five points?

    python benchmarks/intervals.py [--repeats 100] [--json]

Whole experiments are repeated: margins of N oracles and N unlearned networks at P points are drawn from Gaussians that
are some standard deviations apart, alike over points or not, and KLOM's statistics and their intervals are taken. What
an interval speaks of is where a repeat comes out on average; printed is the share of the intervals that hold that
average, at worst and on average over shifts, correlations, numbers of networks and statistics, and how wide they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import hardware  # noqa: E402 - beside this folder
from engine.metrics.klom import intervals, klom  # noqa: E402

STATISTICS = {"p95": 0.95, "mean": None, "median": 0.5}


def coverage(models: int, points: int, shift: float, alike: float, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, per statistic, the share of intervals that hold the average and their mean width: (3,) each."""
    rng = np.random.default_rng([models, points, round(10 * shift), round(10 * alike)])
    measured, low, high = (np.empty((repeats, len(STATISTICS))) for _ in range(3))

    def ensemble(mean: float) -> np.ndarray:
        shared, own = rng.normal(size=(models, 1)), rng.normal(size=(models, points))
        return (mean + np.sqrt(alike) * shared + np.sqrt(1 - alike) * own).astype(np.float32)  # (N, P)

    for repeat in range(repeats):
        oracle, unlearned = ensemble(0.0), ensemble(shift)
        values = klom(oracle=oracle, unlearned=unlearned)  # (P,)
        both = {"oracle": oracle, "unlearned": unlearned, "points": {"all": np.arange(points)}}
        ends = intervals(**both, summaries=STATISTICS, resamples=200, seed=repeat)["all"]
        for s, (name, quantile) in enumerate(STATISTICS.items()):
            measured[repeat, s] = values.mean() if quantile is None else np.quantile(values, quantile)
            low[repeat, s], high[repeat, s] = ends[name]
    average = measured.mean(axis=0)  # (3,)
    return ((low <= average) & (average <= high)).mean(axis=0), (high - low).mean(axis=0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for points in (1, 2, 5, 10, 20, 50):
        cases = [
            coverage(models, points, shift, alike, arguments.repeats)
            for models in (20, 50, 100)
            for shift in (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
            for alike in ((0.0, 0.6) if points > 1 else (0.0,))
        ]
        held, width = (np.array(part) for part in zip(*cases, strict=True))  # (cases, 3)
        rows.append({"points": points, "worst": held.min(), "mean": held.mean(), "width": width.mean()})
    if arguments.json:
        print(json.dumps({"hardware": hardware(), "repeats": arguments.repeats, "rows": rows}))
        return
    print(hardware())
    print("points  worst  mean  width (nats)")
    for row in rows:
        print(f"{row['points']:6d}  {row['worst']:5.2f}  {row['mean']:4.2f}  {row['width']:.2f}")


if __name__ == "__main__":
    main()
