"""Membership by threshold against scikit-learn's AUC and a slow count of every threshold."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engine.analyses.membership import threshold_attack


def drawn(shift, ties, seed):
    rng = np.random.default_rng(seed)
    members, others = rng.normal(shift, 1, (4, 30)), rng.normal(0, 1, (4, 47))
    return (members.round(0), others.round(0)) if ties else (members, others)


def by_every_threshold(members, others, fpr):
    """The largest share of members above a threshold that at most a share ``fpr`` of the others is above."""
    best = 0.0
    for threshold in [-np.inf, *members, *others]:
        if (others > threshold).mean() <= fpr:
            best = max(best, (members > threshold).mean())
    return best


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.5])
def test_auc_is_scikit_learns(shift, ties):
    members, others = drawn(shift, ties, 0)
    auc, _ = threshold_attack(members=members, others=others, fpr=0.01)
    truth = np.r_[np.ones(30), np.zeros(47)]
    assert auc == pytest.approx([roc_auc_score(truth, np.r_[m, o]) for m, o in zip(members, others, strict=True)])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("fpr", [0.001, 0.01, 1 / 47, 0.1, 0.3, 0.5])
def test_the_rate_is_that_of_the_best_allowed_threshold(fpr, ties):
    for seed in range(5):
        members, others = drawn(0.8, ties, seed)
        _, tpr = threshold_attack(members=members, others=others, fpr=fpr)
        wanted = [by_every_threshold(m, o, fpr) for m, o in zip(members, others, strict=True)]
        assert tpr == pytest.approx(wanted)


def test_equal_margins_tell_nothing_and_apart_ones_everything():
    same = np.zeros((1, 10))
    auc, tpr = threshold_attack(members=same, others=same, fpr=0.2)
    assert (auc[0], tpr[0]) == (0.5, 0.0)
    auc, tpr = threshold_attack(members=same + 1, others=same, fpr=0.01)
    assert (auc[0], tpr[0]) == (1.0, 1.0)


def test_a_network_that_diverged_has_no_number_and_spoils_no_other():
    members, others = drawn(1.0, False, 3)
    whole = threshold_attack(members=members, others=others, fpr=0.1)
    members[1, 4] = np.nan
    auc, tpr = threshold_attack(members=members, others=others, fpr=0.1)
    assert np.isnan([auc[1], tpr[1]]).all()
    for seen, before in zip((auc, tpr), whole, strict=True):
        assert np.array_equal(np.delete(seen, 1), np.delete(before, 1))
