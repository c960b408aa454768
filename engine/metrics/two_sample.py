"""Two classical tests for one point: could the unlearned and the oracle margins come from one distribution?

They complement KLOM in the inspector of a single point; p-values of many points at once need a correction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.metrics._bins import MetricError


@dataclass(frozen=True)
class TwoSample:
    """A test's statistic and its p-value: how often chance alone gives a statistic at least this far out."""

    statistic: float
    p: float


def kolmogorov_smirnov(*, oracle: np.ndarray, unlearned: np.ndarray) -> TwoSample:
    """Compare two samples by the largest gap between their distribution functions, from 0 (same) to 1 (disjoint).

    Sees any difference of shape; needs no bins and assumes no distribution.

    Args:
        oracle: margins of the oracles at one point, float (N,), logits.
        unlearned: margins of the unlearned models at that point, float (N',), logits.

    Returns:
        The two-sided statistic and p-value; exact for small samples.

    Raises:
        MetricError: a sample with fewer than two values, of another shape, or not finite.
    """
    oracle, unlearned = _samples(oracle, unlearned)
    # scipy.stats takes a second to import, and listing the metrics imports this module.
    from scipy import stats

    test = stats.ks_2samp(unlearned, oracle)
    return TwoSample(float(test.statistic), float(test.pvalue))


def welch(*, oracle: np.ndarray, unlearned: np.ndarray) -> TwoSample:
    """Compare the means of two samples, in standard errors: t > 0 where the unlearned models are surer than oracles.

    Welch's form, which does not assume equal spreads. Sees nothing but a shift of the mean. Where neither sample
    varies at all there is no scale: equal means give t = 0, p = 1, different ones an infinite t and p = 0.

    Args:
        oracle: margins of the oracles at one point, float (N,), logits.
        unlearned: margins of the unlearned models at that point, float (N',), logits.

    Returns:
        The statistic and its two-sided p-value.

    Raises:
        MetricError: a sample with fewer than two values, of another shape, or not finite.
    """
    oracle, unlearned = _samples(oracle, unlearned)
    if np.ptp(oracle) == 0 and np.ptp(unlearned) == 0:
        gap = float(unlearned[0] - oracle[0])
        return TwoSample(0.0, 1.0) if gap == 0 else TwoSample(math.copysign(math.inf, gap), 0.0)
    from scipy import stats

    test = stats.ttest_ind(unlearned, oracle, equal_var=False)
    return TwoSample(float(test.statistic), float(test.pvalue))


def _samples(oracle: np.ndarray, unlearned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    for name, sample in (("oracle", oracle), ("unlearned", unlearned)):
        if np.ndim(sample) != 1 or len(sample) < 2:
            raise MetricError(f"the {name} sample must be at least 2 margins at one point, not {np.shape(sample)}")
        if not np.isfinite(sample).all():
            raise MetricError(f"the {name} sample holds margins that are not finite numbers; leave those models out")
    return np.asarray(oracle, np.float64), np.asarray(unlearned, np.float64)
