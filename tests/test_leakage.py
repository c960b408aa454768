"""How often one picture is in the lessons of a learned unlearner: a binomial tail, and said in words."""

import pytest
from scipy.stats import binom

from engine.leakage import drawn_at_least, warning


@pytest.mark.parametrize(("times", "lessons", "share"), [(1, 1, 0.3), (2, 10, 0.2), (3, 1000, 0.001), (2, 1000, 1.0)])
def test_it_is_the_binomial_tail(times, lessons, share):
    assert drawn_at_least(times, lessons=lessons, share=share) == pytest.approx(
        float(binom.sf(times - 1, lessons, share)), abs=1e-12
    )


def test_the_paper_s_own_number():
    """HIGGS: 1,000 subsets of 1,000 of 11 million points; the paper says below 0.004."""
    assert 0.0035 < drawn_at_least(2, lessons=1000, share=1000 / 11_000_000) < 0.004


def test_never_is_certain_and_more_than_all_is_impossible():
    assert drawn_at_least(0, lessons=5, share=0.1) == 1
    assert drawn_at_least(6, lessons=5, share=1.0) == 0


def test_the_words_say_how_likely():
    assert "over 99.9 %" in warning({"lessons": 1000, "subset": 1.0})
    higgs = warning({"lessons": 1000, "subset": 1000 / 11_000_000})
    assert "at least one of its lessons with a probability of 8.7 %" in higgs
    assert "with 0.39 %" in higgs
    assert "has never seen a forgotten picture" in warning({"lessons": 1000, "subset": 1.0, "fresh": True})


@pytest.mark.parametrize(
    ("size", "subset", "once", "twice"),
    [
        (11_000_000, 1000, 0.087, 0.0039),
        (11_000_000, 3000, 0.24, 0.031),
        (5_000_000, 1000, 0.18, 0.018),
        (581_012, 1000, 0.82, 0.51),
        (19_020, 1000, 1.0, 1.0),
    ],
)
def test_once_and_twice_over_the_papers_tables(size, subset, once, twice):
    """The paper's sentence, that one barely needs to learn again, holds for one of its cases: once is seen enough."""
    for times, expected in ((1, once), (2, twice)):
        assert drawn_at_least(times, lessons=1000, share=subset / size) == pytest.approx(expected, rel=0.1)
