"""Is one method nearer to the oracles than another? The paired difference of their KLOM, with an interval."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.metrics.klom import LEVEL, SHARE, Convention, klom


class Difference(NamedTuple):
    """KLOM of the first less that of the second, in nats: measured, and the ends of its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def nearer(self) -> bool | None:
        """Whether the first is nearer to the oracles; None where the interval holds 0 and nothing can be claimed."""
        if self.low <= 0 <= self.high:
            return None
        return self.value < 0


def difference(
    *,
    oracle: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    quantile: float | None = 0.95,
    resamples: int = 200,
    seed: int = 0,
    convention: Convention = "paper",
) -> Difference:
    """Return a statistic of KLOM over points of ``first`` (M, P) less that of ``second`` (M, P), and its interval.

    Network i of both began as the same original, so a resample draws the same networks of both, and the same oracles,
    ``oracle`` (N, P), for both: what the two share cancels out. Three quarters are drawn without replacement, and the
    spread is widened by sqrt(drawn / left out), as for the intervals of one method. A claim that the one is nearer than
    the other needs an interval without 0, on networks that were not used to choose either.

    Raises:
        ValueError: the two have not as many networks.

    Cost: 2 x resamples times that of KLOM with three quarters of the networks.
    """
    if first.shape != second.shape:
        raise ValueError("a paired difference needs as many networks of one method as of the other, at the same points")
    rng = np.random.default_rng(seed)

    def value(oracles: np.ndarray, networks: np.ndarray) -> float:
        one, other = (
            klom(oracle=oracle[oracles], unlearned=side[networks], convention=convention) for side in (first, second)
        )
        if quantile is None:
            return float(one.mean() - other.mean())
        return float(np.quantile(one, quantile) - np.quantile(other, quantile))

    sizes = [(len(side), max(1, min(round(SHARE * len(side)), len(side) - 1))) for side in (oracle, first)]
    drawn = [
        value(*(np.sort(rng.choice(models, count, replace=False)) for models, count in sizes)) for _ in range(resamples)
    ]
    widen = float(np.mean([math.sqrt(count / (models - count)) for models, count in sizes]))
    low, middle, high = np.quantile(drawn, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    measured = value(*(np.arange(models) for models, _ in sizes))
    return Difference(measured, measured + widen * float(low - middle), measured + widen * float(high - middle))
