"""Is an ensemble fit to be measured? Models that diverged or broke, and ensembles too small for a low noise floor."""

from __future__ import annotations

import numpy as np

ENOUGH = 50
"""Models per ensemble below which the noise floor of KLOM (mean 0.87 at 50, 3.0 at 20) drowns most differences."""
FAR = 10.0
"""How many times farther than the other models a diverged one lies from the middle of the ensemble."""
ERRATIC = 10.0
"""How much larger that factor gets where the median over points rests on few of them: FAR * (1 + ERRATIC / P)."""
MOST_LEFT_OUT = 0.05
"""Share of the unlearned models that are left out of KLOM at the most; a method that breaks more is measured with them.
"""
TYPICAL_LEAST = 0.01
"""Logits; models that agree this well are not told apart, however small the rest of the ensemble's spread is."""


def diverged(margins: np.ndarray) -> np.ndarray:
    """Return the numbers of the models that left the rest of the ensemble behind.

    KLOM bins the joint range of all models, so a single model whose margins exploded stretches the bins and hides a
    real shift of the others (a shift of two standard deviations among 100 models falls from about 3.6 to 1.3).

    A model has diverged when a margin of it is not a finite number, or when its distance from the ensemble, the median
    over points of ``|margin - median of all models at that point|``, is more than ``10 (1 + 10 / P)`` times the median
    of the other models' distances. Medians over points and models make the rule blind to single odd points and to
    heavy tails, which are what KLOM should see; the term in P makes up for a median over few points being erratic.
    When half of the models diverge, that *is* the ensemble, and none is named. With fewer than four models the
    distances say nothing, so only non-finite margins count.

    Args:
        margins: float (M, P), logits.

    Returns:
        int64, ascending, the rows to leave out; usually empty.

    Cost: two medians over M x P numbers.
    """
    finite = np.isfinite(margins).all(axis=1)  # (M,)
    sound = np.flatnonzero(finite)  # (m,)
    broken = np.flatnonzero(~finite)  # (M - m,)
    if len(sound) < 4 or margins.shape[1] == 0:
        return broken
    deviations = margins[sound].astype(np.float64)  # (m, P)
    deviations -= np.median(deviations, axis=0)
    distance = np.median(np.abs(deviations, out=deviations), axis=1)  # (m,)
    typical = max(float(np.median(distance)), TYPICAL_LEAST)
    far = sound[distance > FAR * (1 + ERRATIC / margins.shape[1]) * typical]
    return np.union1d(broken, far)


def broken(*, unlearned: np.ndarray, oracle: np.ndarray) -> np.ndarray:
    """Return the numbers of the unlearned models that lost what they should keep.

    A model is broken when a margin of it is not finite, or when its distance from the middle of the oracles, the median
    over points of ``|margin - median of the oracles at that point|``, is more than ``10 (1 + 10 / P)`` times the median
    of the oracles' own distances. The yardstick are the oracles and not the other unlearned models: a method that
    destroys most of its networks would else pass for sound, and its sound ones for diverged.

    Args:
        unlearned: margins of the unlearned models at points that are not forgotten, float (N', P), logits.
        oracle: margins of the oracles at the same points, all finite, float (N, P).

    Returns:
        int64, ascending.

    Cost: two medians over (N + N') x P numbers.
    """
    finite = np.isfinite(unlearned).all(axis=1)  # (N',)
    if unlearned.shape[1] == 0:
        return np.flatnonzero(~finite)
    middle = np.median(oracle, axis=0)  # (P,)
    typical = max(float(np.median(np.median(np.abs(oracle - middle), axis=1))), TYPICAL_LEAST)
    distance = np.median(np.abs(np.where(finite[:, None], unlearned, np.inf) - middle), axis=1)  # (N',)
    return np.flatnonzero(distance > FAR * (1 + ERRATIC / unlearned.shape[1]) * typical)


def fit(*, unlearned: np.ndarray, oracle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which unlearned models to leave out of KLOM, and which broke although they are measured, as numbers.

    Models that diverged from the others or are :func:`broken` are left out while they are at most
    :data:`MOST_LEFT_OUT` of all. More are the method's own doing: none is left out then, and those that are broken are
    counted. Arguments as for :func:`broken`.
    """
    lost = broken(unlearned=unlearned, oracle=oracle)
    stray = np.union1d(lost, diverged(unlearned))
    if len(stray) <= MOST_LEFT_OUT * len(unlearned):
        return stray, lost[:0]
    # Where half and more of the ensemble is lost, its own middle names the sound ones: only the oracles can say.
    return (lost, lost[:0]) if len(lost) <= MOST_LEFT_OUT * len(unlearned) else (lost[:0], lost)


def small_n_warning(n: int) -> str | None:
    """Return a sentence for an ensemble of ``n`` models that is too small for a low noise floor, or None."""
    if n >= ENOUGH:
        return None
    models = "1 model" if n == 1 else f"{n} models"
    return (
        f"KLOM rests on {models} per ensemble; below {ENOUGH} its noise floor is high, "
        "so compare with the floor and not with published values"
    )
