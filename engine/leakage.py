"""How much of the training data a learned unlearner has seen itself. Torch-free: shown before a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def drawn_at_least(times: int, *, lessons: int, share: float) -> float:
    """Return the probability that one example is drawn at least ``times`` times in ``lessons`` subsets.

    P(k >= times) = sum over i >= times of C(m, i) p^i (1 - p)^(m - i), with p = ``share``, the size of a subset over
    that of the data. Source: Learning to Unlearn, Theorem 6.1.
    """
    fewer = (math.comb(lessons, i) * share**i * (1 - share) ** (lessons - i) for i in range(min(times, lessons + 1)))
    return min(1.0, max(0.0, 1.0 - math.fsum(fewer)))


def warning(settings: Mapping[str, Any]) -> str:
    """Return a sentence on what a learned unlearner has seen of a forgotten picture; ``settings`` are the method's.

    A picture in one lesson has been seen. The paper counts from two on (Theorem 6.1), which is said beside it.
    """
    if settings.get("fresh"):
        return (
            "The unlearner is learned from what is left, so it has never seen a forgotten picture; it is learned again "
            "for each request, which costs more than training the networks again."
        )
    once, twice = (_percent(drawn_at_least(k, lessons=settings["lessons"], share=settings["subset"])) for k in (1, 2))
    return (
        f"The unlearner itself is learned from the training data: a picture is in at least one of its lessons with a "
        f"probability of {once}, in two or more, as the paper counts, with {twice} (Theorem 6.1). To forget it there "
        "too, learn the unlearner again without it."
    )


def _percent(chance: float) -> str:
    return "over 99.9 %" if chance > 0.999 else f"{100 * chance:.2g} %"
