"""Unlearning as a promise: how far from indistinguishable, in epsilon, do answers to each point prove the networks?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.stats import beta

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement
from engine.seeds import derive

ROLES = ("original", "unlearned", "second oracle")
"""Whose answers are held against the oracles'; the second oracles are the floor."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Epsilon(Analysis):
    """A lower bound of epsilon at a chosen delta, point by point, that holds with 95 % confidence.

    Networks are (epsilon, delta)-indistinguishable from retrained ones when every event has P[unlearned] <= e^epsilon
    P[oracle] + delta, and the other way round. One event that breaks this proves an epsilon. Events here are margins
    above or below a threshold. It is chosen on half of the networks, so that its probabilities on the other half are
    counts of independent trials, bounded by Clopper and Pearson's intervals.
    """

    key = "epsilon"
    order = 22
    over = "all"
    doing = "bounding epsilon"
    card = Card(
        name="Epsilon per point",
        summary="Proves, with 95 % confidence, how far from indistinguishable the answers to each point are.",
        family="attack",
        formula="epsilon >= ln((P[unlearned in S] - delta) / P[oracle in S]) or the two swapped, S a threshold on the "
        "margin",
        reads=("margins",),
        cost="none beyond the stored margins",
        paper="Unlearning via Simulated Oracle Matching",
        year=2024,
        better="oracle",
        departs="The paper defines the promise and measures KLOM; the bound from threshold events is that of audits of "
        "differential privacy.",
        fails="A lower bound: 0 proves nothing, and 100 networks cannot prove an epsilon above about 2.8.",
    )

    delta: Annotated[float, Knob("delta", "Probability that the promise may fail.", low=0, high=0.5)] = 0.0

    def roles(self) -> tuple[str, ...]:
        """Return all ensembles: each is held against the oracles."""
        return ("original", "unlearned", "oracle", "second oracle")

    def misfit(self, subject: Subject) -> str | None:
        """Refuse a single network, which leaves none to count."""
        if subject.models < 2:
            return "a bound needs networks to choose the event on and others to count it on, and there is only one"
        return None

    def planned_cost(self, subject: Subject) -> float:
        """Return a pass for each network: stored margins are read, and nothing is computed by a network."""
        return 1.0 * subject.models

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:
        """Return ``epsilon`` float32 (roles, points), below 0 where none is proved, and where each split ends."""
        rng = np.random.default_rng(derive(seed, "epsilon"))
        points = np.concatenate(list(bench.splits.values()))  # (P,)
        oracle = bench.margins("oracle")[:, points]  # (N, P)
        rows = []
        for number, role in enumerate(ROLES):
            progress(number / len(ROLES), role)
            other = bench.margins(role)[:, points]  # (N', P)
            rows.append(lower_bound(oracle, other, delta=self.delta, rng=rng))
        ends = np.cumsum([len(ids) for ids in bench.splits.values()])
        facts = {"roles": list(ROLES), "splits": list(bench.splits), "ends": [int(end) for end in ends]}
        return Measurement({"epsilon": np.stack(rows).astype(np.float32)}, facts)


def lower_bound(
    oracle: np.ndarray, unlearned: np.ndarray, *, delta: float, rng: np.random.Generator, thresholds: int = 19
) -> np.ndarray:
    """Return a 95 % lower bound of epsilon at every point (P,), from margins (N, P) and (N', P); below 0: none.

    Half of the networks of each side choose, for every point, the threshold, its side and which of the two ensembles is
    the more likely; the other half counts. Both tails share the confidence.
    """
    sides = []
    for margins in (oracle, unlearned):
        order = rng.permutation(len(margins))
        sides.append((margins[order[: len(order) // 2]], margins[order[len(order) // 2 :]]))
    (choose_o, count_o), (choose_u, count_u) = sides
    pooled = np.concatenate([choose_o, choose_u])  # (n, P)
    cuts = np.quantile(pooled, np.arange(1, thresholds + 1) / (thresholds + 1), axis=0)  # (T, P)
    above_o, above_u = (_share(side, cuts) for side in (choose_o, choose_u))  # (T, P), smoothed
    # Events: above or below the cut; and which ensemble must be the likelier of the two.
    ratios = np.stack(
        [above_u / above_o, above_o / above_u, (1 - above_u) / (1 - above_o), (1 - above_o) / (1 - above_u)]
    )
    best = ratios.reshape(4 * thresholds, -1).argmax(axis=0)  # (P,)
    kind, cut = best // thresholds, np.take_along_axis(cuts, (best % thresholds)[None], axis=0)[0]  # (P,), (P,)
    hits = []
    for side in (count_u, count_o):
        above = (side >= cut).sum(axis=0)  # (P,)
        hits.append((np.where(kind < 2, above, len(side) - above), len(side)))
    swap = kind % 2 == 1  # the oracle is the likelier one
    likely = np.where(swap, hits[1][0], hits[0][0]), np.where(swap, hits[1][1], hits[0][1])
    rare = np.where(swap, hits[0][0], hits[1][0]), np.where(swap, hits[0][1], hits[1][1])
    tail = (1 - CONFIDENCE) / 2
    low = np.where(likely[0] > 0, beta.ppf(tail, likely[0], likely[1] - likely[0] + 1), 0.0)  # (P,)
    high = np.where(rare[0] < rare[1], beta.ppf(1 - tail, rare[0] + 1, rare[1] - rare[0]), 1.0)  # (P,)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.maximum(low - delta, 1e-12) / high)


def _share(margins: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the share of networks at or above each cut (T, P), with one more hit and one more miss than there were."""
    above = np.stack([(margins >= cut).sum(axis=0) for cut in cuts])  # (T, P)
    return (above + 1) / (len(margins) + 2)
