"""KLOM: how differently unlearned and retrained models answer, point by point; its noise floor and its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from engine.metrics._bins import (
    CLIP,
    CONVENTIONS,
    EPS,
    Convention,
    MetricError,
    compared_edges,
    counts_at_least,
    divergence,
    histogram,
    joint_edges,
    spans,
    summands,
)
from engine.metrics.health import diverged, small_n_warning

__all__ = [
    "CONVENTIONS",
    "Convention",
    "MetricError",
    "diverged",
    "floor",
    "intervals",
    "klom",
    "refuse_shared",
    "small_n_warning",
    "terms",
]

LEVEL = 0.95
"""Share of the bootstrap distribution an interval holds."""
SHARE = 0.75
"""Share of the models in a resample. Half gave too narrow intervals, nine tenths too wide ones (see :func:`intervals`).
"""

_BLOCK = 1 << 17
"""Margins held at once by :func:`klom`: a block and its comparisons stay in a core's cache."""
_REPLICATES = 1 << 19
"""Bin counts held at once by :func:`intervals`."""


def klom(
    *,
    oracle: np.ndarray,
    unlearned: np.ndarray,
    convention: Convention = "paper",
    bins: int = 20,
    without_oracle: Sequence[int] = (),
    without_unlearned: Sequence[int] = (),
) -> np.ndarray:
    """Say for every point how far the unlearned models' answers are from those of models that never saw the data.

    Per point: clip both samples of margins to [-100, 100], cut their joint range in ``bins`` equal bins, and take the
    KL divergence of the two histograms, KL(p || q) = sum_b p_b ln(p_b / q_b). Two conventions exist:

    - ``paper``: KL(oracle || unlearned); the last bin is closed on the right; a bin that is empty in one histogram
      and not in the other gets 1e-5 there, whichever of the two it is.
    - ``easydub``, the authors' released code to the digit: KL(unlearned || oracle); bins are half-open, so samples
      equal to the joint maximum are dropped before normalising; only the oracle's empty bins get 1e-5. Where *every*
      unlearned sample lies on the joint maximum nothing is left and the result is 0, as in that code.

    The ceiling, for disjoint samples, is about ln 1e5 = 11.51. Two ensembles of one distribution do not score 0 (100
    models each: 0.34 on average, see :func:`floor`); fewer models score higher, so compare at equal numbers only.
    A single far outlier stretches the bins and hides a shift: see :func:`diverged`.

    Args:
        oracle: margins of the retrained models, logits, float (N, P).
        unlearned: margins of the unlearned models, logits, float (N', P); N' may differ from N.
        convention: which definition; see above.
        bins: number of bins, at least 1.
        without_oracle: numbers (rows) of oracles to leave out.
        without_unlearned: numbers (rows) of unlearned models to leave out.

    Returns:
        float64 (P,), nats, from 0 (indistinguishable) to about 11.5. Two float32 arrays are binned in float32, as the
        released code and NumPy do; anything else in float64.

    Raises:
        MetricError: shapes that do not fit, fewer than one model, or margins that are not finite numbers.

    Cost: (N + N') P bins comparisons, about 5 ns per margin at 20 bins; a few megabytes of memory whatever P.

    Source: "Unlearning via Simulated Oracle Matching", Definition 3 and Appendix F.1.
    """
    oracle, unlearned = _pair(oracle, unlearned, convention, bins)
    rows = (_rows(oracle, without_oracle, "oracle"), _rows(unlearned, without_unlearned, "unlearned"))
    return _per_point(oracle, unlearned, rows, np.arange(oracle.shape[1]), convention, bins)


def terms(
    *, oracle: np.ndarray, unlearned: np.ndarray, convention: Convention = "paper", bins: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Say bin by bin where the KLOM of one point comes from.

    ``oracle`` (N,) and ``unlearned`` (N',) are its margins. Returns the bins' edges (bins + 1,), the share of oracles
    and of unlearned models in each (bins,), and what each adds (bins,); what they add sums to :func:`klom`.

    Raises:
        MetricError: as :func:`klom`.
    """
    oracle, unlearned = _pair(oracle[:, None], unlearned[:, None], convention, bins)
    for margins, name in ((oracle, "oracle"), (unlearned, "unlearned")):
        _rows(margins, (), name)  # refuses what is no number
    first, second = (np.clip(margins, -CLIP, CLIP) for margins in (oracle, unlearned))
    edges = joint_edges(oracle=first, unlearned=second, bins=bins)  # (bins + 1, 1)
    compared = compared_edges(edges, convention)
    p, q = (histogram(counts_at_least(side, compared), len(side), convention) for side in (first, second))  # (bins, 1)
    added = summands(oracle=p, unlearned=q, convention=convention)
    return edges[:, 0], p[:, 0], q[:, 0], added[:, 0]


def floor(*, oracle: np.ndarray, second: np.ndarray, convention: Convention = "paper", bins: int = 20) -> np.ndarray:
    """Say what KLOM a perfect method would score: that of a second, independent ensemble of oracles.

    The value falls with the number of models (one Gaussian, mean / 95th percentile over points: 3.0 / 5.0 for 20
    models a side, 0.87 / 1.71 for 50, 0.34 / 0.67 for 100, 0.145 / 0.28 for 200), so measure it at the number used.

    Args:
        oracle: margins of the oracles KLOM is measured against, float (N, P).
        second: margins of oracles trained independently of them, float (N', P); they take the unlearned models' place.
        convention: as for :func:`klom`.
        bins: as for :func:`klom`.

    Returns:
        float64 (P,), nats.

    Raises:
        MetricError: a model is in both ensembles bit for bit, so that the floor would come out too low; or what
            :func:`klom` refuses.
    """
    _pair(oracle, second, convention, bins)
    refuse_shared(oracle=oracle, second=second)
    return klom(oracle=oracle, unlearned=second, convention=convention, bins=bins)


def refuse_shared(*, oracle: np.ndarray, second: np.ndarray) -> None:
    """Refuse a second ensemble of oracles, margins (N', P), that is not independent of the first, (N, P).

    Raises:
        MetricError: a model is in both bit for bit.
    """
    first = {row.tobytes(): i for i, row in enumerate(oracle)}
    shared = [(first[row.tobytes()], j) for j, row in enumerate(second) if row.tobytes() in first]
    if shared:
        i, j = shared[0]
        raise MetricError(
            f"the noise floor needs two independent ensembles, but {len(shared)} of {len(second)} models are in both "
            f"(oracle {i} is model {j} of the second); train the second ensemble with other seeds"
        )


def intervals(
    *,
    oracle: np.ndarray,
    unlearned: np.ndarray,
    points: Mapping[str, np.ndarray],
    summaries: Mapping[str, float | None],
    resamples: int = 200,
    seed: int = 0,
    convention: Convention = "paper",
    bins: int = 20,
) -> dict[str, dict[str, tuple[float, float]]]:
    """Bootstrap over models: 95% intervals of summaries of KLOM over the points of each split.

    Each resample draws three quarters of the oracles and of the unlearned models, without replacement (a model brings
    all its points). Only the spread of the resampled values is used: KLOM grows as models get fewer, so they sit well
    above the measured value, and a plain percentile interval would miss the truth. The spread around their median is
    widened by sqrt(drawn / left out), which turns the spread of subsamples into that of fresh ensembles of the full
    size, laid around the measured value, and cut at 0 and at the ceiling. So the interval always contains the measured
    value, and speaks about ensembles of *this* size: where a repeat of the whole experiment would come out on average.

    Where few points are summarised, or the value nears the ceiling, resamples of one experiment agree although
    experiments do not: KLOM is then mostly the share of oracles in bins that no unlearned model reaches, and a share
    that was seen to be 1 has no spread. So the interval is never narrower than Wilson's of that share, the value over
    the ceiling, in N sqrt(points) trials: N for one point, more for several, fewer than all because points move
    together.

    Measured by ``benchmarks/intervals.py``, as the share of repeated experiments whose interval held the average of
    them all (Gaussian margins, 20, 50 and 100 models, shifts from 0 to 5 standard deviations, points independent or
    with correlation 0.6, percentile, mean and median): with one point 0.87 to 1.00, on average 0.97 (without the last
    rule 0.69, 0.87); with two to five 0.87 and 0.98 (0.68, 0.91); with ten and twenty 0.86 and 0.99 (0.60, 0.94); with
    fifty 0.80 and 0.98 (0.62, 0.94). At the noise floor intervals are about twice too wide. Drawing all models with
    replacement, the textbook way, gave intervals of the mean up to four times too wide, and its plain percentile
    interval held the average in 0.00 to 0.66.

    The bins are those of the full sample; a resample that lacks the extremes would have had slightly narrower ones.
    Thus a resample's histogram is a sum of comparisons made once, and one matrix product serves all resamples.

    Args:
        oracle: margins of the oracles, float (N, P).
        unlearned: margins of the unlearned models, float (N', P).
        points: for each split the numbers of its points, at least one.
        summaries: for each name a quantile over points (0 to 1), or None for the mean.
        resamples: number of resamples, at least 2.
        seed: draws the resamples; the same seed gives the same interval.
        convention: as for :func:`klom`.
        bins: as for :func:`klom`.

    Returns:
        ``{split: {summary: (low, high)}}``, nats.

    Raises:
        MetricError: an empty split, fewer than two models on a side, or what :func:`klom` refuses.

    Cost: resamples x points x bins x (N + N') multiplications; 200 resamples of 100 x 100 models at 1,797 points take
    under a second on one core. Memory is bounded by doing a few points and resamples at a time.
    """
    oracle, unlearned = _pair(oracle, unlearned, convention, bins)
    rows = (_rows(oracle, (), "oracle"), _rows(unlearned, (), "unlearned"))
    for split, chosen in points.items():
        if len(chosen) == 0:
            raise MetricError(f"the split {split} has no points, so there is nothing to summarise")
    if min(map(len, rows)) < 2:
        raise MetricError("an interval over models needs at least 2 oracles and 2 unlearned models")
    if resamples < 2:
        raise MetricError(f"an interval needs at least 2 resamples, not {resamples}")
    columns = np.unique(np.concatenate([np.asarray(chosen, np.int64) for chosen in points.values()]))  # (n,)
    places = {split: np.searchsorted(columns, chosen) for split, chosen in points.items()}
    measured = _per_point(oracle, unlearned, rows, columns, convention, bins)  # (n,)
    # One stream per side, so that doing resamples a few at a time does not change what is drawn.
    draws = [np.random.default_rng([seed, side]) for side in (0, 1)]
    seen: dict[str, dict[str, list[np.ndarray]]] = {split: {name: [] for name in summaries} for split in points}
    for group in spans(resamples, int(np.clip((1 << 23) // len(columns), 1, 256))):
        count = group.stop - group.start
        weights = [_drawn(rng, len(side), count) for rng, side in zip(draws, rows, strict=True)]  # (R, N)
        values = _resampled(oracle, unlearned, rows, columns, weights, convention, bins)  # (R, n)
        for split, place in places.items():
            for name, quantile in summaries.items():
                seen[split][name].append(_summary(values[:, place], quantile))  # (R,)
    drawn = [(_resample_size(len(side)), len(side)) for side in rows]
    widen = float(np.mean([np.sqrt(size / (models - size)) for size, models in drawn]))
    return {
        split: {
            name: _centred(
                np.concatenate(seen[split][name]),
                float(_summary(measured[place], quantile)),
                widen,
                min(map(len, rows)) * math.sqrt(len(place)),
            )
            for name, quantile in summaries.items()
        }
        for split, place in places.items()
    }


def _resample_size(models: int) -> int:
    """Return how many of ``models`` a resample draws: about :data:`SHARE`, at least one, and never all."""
    return min(max(1, round(SHARE * models)), models - 1)


def _drawn(rng: np.random.Generator, models: int, count: int) -> np.ndarray:
    """Draw ``count`` subsamples: float32 (R, N), 1 where a model is drawn and 0 where it is left out."""
    chosen = rng.random((count, models)).argsort(axis=1)[:, : _resample_size(models)]  # (R, drawn)
    weights = np.zeros((count, models), np.float32)  # (R, N)
    np.put_along_axis(weights, chosen, 1.0, axis=1)
    return weights


def _summary(values: np.ndarray, quantile: float | None) -> np.ndarray:
    return values.mean(axis=-1) if quantile is None else np.quantile(values, quantile, axis=-1)


def _centred(resampled: np.ndarray, measured: float, widen: float, trials: float) -> tuple[float, float]:
    """Lay the spread of the middle :data:`LEVEL` of the resampled values, widened, around the measured value.

    It reaches at least as far as Wilson's interval of a share of ``trials``, the value being that share of the ceiling.
    """
    tail, ceiling = (1 - LEVEL) / 2, float(-np.log(EPS))
    low, middle, high = np.quantile(resampled, [tail, 0.5, 1 - tail])
    lowest, highest = measured + widen * (low - middle), measured + widen * (high - middle)
    least, most = _wilson(measured / ceiling, trials)
    lowest, highest = min(lowest, ceiling * least, measured), max(highest, ceiling * most, measured)
    return max(0.0, float(lowest)), min(float(highest), max(measured, ceiling))


def _wilson(share: float, trials: float) -> tuple[float, float]:
    """Return Wilson's interval of a share that was seen in so many trials, at :data:`LEVEL`."""
    share, z = min(max(share, 0.0), 1.0), 1.959964
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return middle - half, middle + half


def _per_point(
    oracle: np.ndarray,
    unlearned: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    columns: np.ndarray,
    convention: Convention,
    bins: int,
) -> np.ndarray:
    """KLOM of the chosen models (rows) at the chosen points (columns), a block of points at a time."""
    result = np.empty(len(columns))  # (n,)
    for span in spans(len(columns), max(1, _BLOCK // max(map(len, rows)))):
        block = _block(oracle, unlearned, rows, columns[span])
        edges = compared_edges(joint_edges(oracle=block[0], unlearned=block[1], bins=bins), convention)  # (K, W)
        p, q = (histogram(counts_at_least(side, edges), len(side), convention) for side in block)  # (bins, W)
        result[span] = divergence(oracle=p, unlearned=q, convention=convention)  # (W,)
    return result


def _resampled(
    oracle: np.ndarray,
    unlearned: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    columns: np.ndarray,
    weights: list[np.ndarray],
    convention: Convention,
    bins: int,
) -> np.ndarray:
    """KLOM of R resamples, 0 and 1 in (R, N) and (R, N') float32 weights, at n points: (R, n)."""
    count = len(weights[0])
    result = np.empty((count, len(columns)))  # (R, n)
    for span in spans(len(columns), max(1, _REPLICATES // (bins * max(count, *map(len, rows))))):
        block = _block(oracle, unlearned, rows, columns[span])
        edges = compared_edges(joint_edges(oracle=block[0], unlearned=block[1], bins=bins), convention)  # (K, W)
        shares = []
        for side, weight in zip(block, weights, strict=True):
            reaches = (side[:, None, :] >= edges).astype(np.float32)  # (N, K, W)
            # Whole numbers below 2^24 are exact in float32, so the sum does not depend on its order.
            at_least = weight @ reaches.reshape(len(side), -1)  # (R, K * W)
            shares.append(
                histogram(at_least.reshape(count, *edges.shape), _resample_size(len(side)), convention)
            )  # (R, bins, W)
        result[:, span] = divergence(oracle=shares[0], unlearned=shares[1], convention=convention)  # (R, W)
    return result


def _block(
    oracle: np.ndarray, unlearned: np.ndarray, rows: tuple[np.ndarray, np.ndarray], columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Copy a few points (ascending) of the chosen models, clipped and of one float type: (N, W), (N', W)."""
    kind = np.float32 if oracle.dtype == unlearned.dtype == np.float32 else np.float64
    first, last = int(columns[0]), int(columns[-1])
    # A run of neighbours is cut out as a slice, which copies several times faster than picking them one by one.
    picked = slice(first, last + 1) if last - first + 1 == len(columns) else columns  # columns ascend
    one, other = (
        np.ascontiguousarray(np.clip(block if len(ids) == len(side) else block[ids], -CLIP, CLIP, dtype=kind))
        for side, ids in zip((oracle, unlearned), rows, strict=True)
        for block in (side[:, picked],)
    )
    return one, other


def _pair(
    oracle: np.ndarray, unlearned: np.ndarray, convention: Convention, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Refuse what is not two arrays of margins over the same points."""
    if convention not in CONVENTIONS:
        raise MetricError(f"unknown KLOM convention {convention!r} (known: {', '.join(CONVENTIONS)})")
    if bins < 1:
        raise MetricError(f"KLOM needs at least 1 bin, not {bins}")
    for name, side in (("oracle", oracle), ("unlearned", unlearned)):
        if not isinstance(side, np.ndarray) or side.ndim != 2:
            shape = getattr(side, "shape", type(side).__name__)
            raise MetricError(f"the {name} margins must be an array (models, points), not {shape}")
        if side.dtype.kind not in "fiu":
            raise MetricError(f"the {name} margins must be numbers, not {side.dtype}")
    if oracle.shape[1] != unlearned.shape[1]:
        raise MetricError(
            f"the oracles were measured at {oracle.shape[1]} points and the unlearned models at "
            f"{unlearned.shape[1]}; both need the same points in the same order"
        )
    if oracle.shape[1] == 0:
        raise MetricError("there are no points to measure KLOM at")
    return oracle, unlearned


def _rows(margins: np.ndarray, without: Sequence[int], name: str) -> np.ndarray:
    """Return the numbers of the models that stay, and refuse those whose margins are not finite."""
    unknown = [i for i in without if not 0 <= i < len(margins)]
    if unknown:
        raise MetricError(f"cannot leave out {name} model {unknown[0]}: models are numbered 0 to {len(margins) - 1}")
    ids = np.setdiff1d(np.arange(len(margins)), np.asarray(without, np.int64))  # (n,)
    if len(ids) == 0:
        raise MetricError(f"no {name} models are left to measure KLOM with")
    broken = [int(i) for i in ids if not np.isfinite(margins[i]).all()]
    if broken:
        some = ", ".join(map(str, broken[:5])) + (" ..." if len(broken) > 5 else "")
        raise MetricError(
            f"{len(broken)} of {len(margins)} {name} models have margins that are not finite numbers ({some}); "
            f"leave them out with without_{name}"
        )
    return ids
