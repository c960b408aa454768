"""Membership by threshold: can the forget set be told from the test set by a network's own margins?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.stats import rankdata

from engine.analyses.base import Analysis, Progress, Subject
from engine.analyses.bench import Bench
from engine.cards import Card
from engine.knobs import Knob
from engine.measurement import Measurement


@dataclass(frozen=True)
class Membership(Analysis):
    """The oldest attack: call a point a member where the network is sure of its label.

    Forgetting is good when the unlearned networks' numbers are those of the oracles, not when they are 0.5: networks
    that never saw the forget set may find it easier or harder than the test set. A network that knows more than an
    oracle remembers; one that knows less was damaged where it can be seen.
    """

    key = "membership"
    order = 20
    over = "chunks"
    doing = "attacking by a threshold"
    card = Card(
        name="Membership by threshold",
        summary="Tells forgotten points from test points by how sure each network is of their labels.",
        family="attack",
        formula="AUC = P(margin of a forgotten point > margin of a test point) + half of ties; TPR at a fixed FPR",
        reads=("margins",),
        cost="sorts stored margins; no network runs",
        paper="Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting",
        year=2018,
        arxiv="1709.01604",
        better="oracle",
        departs="One threshold on the margin for all points, without shadow models; the whole ROC curve instead of the "
        "mean training loss as the threshold, with the true positive rate where false alarms are rare.",
        fails="Weak: it finds what is remembered by all points together, not by a few of them.",
    )

    fpr: Annotated[
        float,
        Knob("false positive rate", "Share of test points that may be called members.", low=1e-4, high=0.5,
             scale="log"),
    ] = 0.01  # fmt: skip

    def planned_cost(self, subject: Subject) -> float:
        """Return next to nothing: a sort of numbers that are there."""
        return 1e-3 * subject.models * (subject.forget + subject.test)

    def measure(self, bench: Bench, *, seed: int, progress: Progress) -> Measurement:  # noqa: ARG002
        """Return ``auc`` and ``tpr``, float64 (M, R) for each of ``facts["roles"]``; NaN of a network that diverged."""
        members, others, roles = bench.splits["forget"], bench.splits["test"], self.roles()
        auc, tpr = np.empty((2, len(bench), len(roles)))  # (M, R) each
        for r, role in enumerate(roles):
            progress(r / len(roles), f"the {role} networks")
            margins = bench.margins(role)  # (M, P)
            auc[:, r], tpr[:, r] = threshold_attack(
                members=margins[:, members], others=margins[:, others], fpr=self.fpr
            )
        facts = {"roles": list(roles), "fpr": self.fpr, "members": len(members), "others": len(others)}
        return Measurement({"auc": auc, "tpr": tpr}, facts)


def threshold_attack(*, members: np.ndarray, others: np.ndarray, fpr: float) -> tuple[np.ndarray, np.ndarray]:
    """Return AUC and true positive rate (M,) of thresholds on margins, ``members`` (M, F) and ``others`` (M, T).

    The rate is the largest at which at most a share ``fpr`` of the others lies above the same threshold. A row that
    holds NaN gives NaN.
    """
    f, t = members.shape[1], others.shape[1]
    everything = np.concatenate([members, others], axis=1).astype(np.float64)  # (M, F + T)
    sound = ~np.isnan(everything).any(axis=1)  # (M,)
    ranks = rankdata(np.where(sound[:, None], everything, 0.0), axis=1)  # (M, F + T): ties share their mean rank
    auc = (ranks[:, :f].sum(axis=1) - f * (f + 1) / 2) / (f * t)
    alarms = int(fpr * t + 1e-9)  # others that may lie above
    threshold = np.partition(everything[:, f:], t - 1 - alarms, axis=1)[:, t - 1 - alarms]  # (M,)
    tpr = (members > threshold[:, None]).mean(axis=1)
    return np.where(sound, auc, np.nan), np.where(sound, tpr, np.nan)
