"""Where one point's KLOM comes from: what the bins add sums to the number itself."""

import numpy as np
import pytest

from engine.metrics.klom import CONVENTIONS, MetricError, klom, terms


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("shift", [0.0, 1.0, 30.0, 200.0])
def test_what_the_bins_add_sums_to_the_number(convention, shift):
    rng = np.random.default_rng(5)
    oracle, unlearned = rng.normal(0, 1, 60), rng.normal(shift, 1.5, 50)
    edges, p, q, added = terms(oracle=oracle, unlearned=unlearned, convention=convention)
    whole = klom(oracle=oracle[:, None], unlearned=unlearned[:, None], convention=convention)
    assert added.sum() == pytest.approx(whole[0], abs=1e-12)
    assert (len(edges), len(p), len(q), len(added)) == (21, 20, 20, 20)
    assert p.sum() == pytest.approx(1)
    if convention == "paper":
        assert p == pytest.approx(np.histogram(np.clip(oracle, -100, 100), edges)[0] / 60)


@pytest.mark.parametrize("bad", [np.empty(0), np.array([np.nan, 1.0])])
def test_what_klom_refuses_is_refused(bad):
    with pytest.raises(MetricError):
        terms(oracle=bad, unlearned=np.array([0.0, 1.0]))
