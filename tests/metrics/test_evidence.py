"""Evidence, the metrics that read it, and the row a run stores."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from measured import POINTS, evidence

from engine.metrics import headline, metrics
from engine.metrics.base import PARTS, WHOLE
from engine.metrics.evaluate import evaluate
from engine.metrics.klom import MetricError, floor, intervals, klom
from engine.metrics.scores import Scores
from engine.records import SPLITS

ROOT = Path(__file__).resolve().parents[2]


def test_registry_lists_the_metrics_in_order():
    assert list(metrics()) == [
        *(
            "klom_p95",
            "klom_mean",
            "klom_median",
            "klom_p85",
            "klom_p99",
            "klom_average",
            "accuracy",
            "accuracy_gap",
            "tow",
            "seconds",
            "compute",
        )
    ]


def test_listing_metrics_is_cheap():
    """Whoever lists metrics must not pay for torch or scipy."""
    code = "import sys; from engine.metrics import metrics; metrics(); print({'torch', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_klom_metrics_summarise_the_points_of_the_split():
    given = evidence()
    per_point = klom(oracle=given.oracle_margins, unlearned=given.unlearned_margins)
    read = {key: metrics()[key]().read(given)["forget"] for key in ("klom_p95", "klom_mean", "klom_median")}
    forget = per_point[[5, 2, 9]]
    assert read["klom_p95"].value == pytest.approx(np.quantile(forget, 0.95))
    assert read["klom_mean"].value == pytest.approx(forget.mean())
    assert read["klom_median"].value == pytest.approx(np.median(forget))


def test_klom_is_measured_once(monkeypatch):
    import engine.metrics.base as base

    calls = []
    monkeypatch.setattr(base, "klom", lambda **given: calls.append(1) or klom(**given))
    given = evidence()
    for key in ("klom_p95", "klom_mean", "klom_median"):
        metrics()[key]().read(given)
    assert calls == [1]


def test_accuracy_is_the_share_of_right_answers():
    correct = np.zeros((60, 30), bool)
    correct[:15, 5] = True
    reading = metrics()["accuracy"]().read(evidence(unlearned_correct=correct))
    assert reading["forget"].value == pytest.approx(15 / 180)
    assert reading["test"].value == 0


def test_compute_is_a_share_of_a_retrain_and_says_when_it_cannot_be():
    assert metrics()["compute"]().read(evidence())[WHOLE].value == 0.25
    unknown = evidence(retrain_cost=0.0)
    assert "cost of a retrain is unknown" in metrics()["compute"]().missing(unknown)
    assert evaluate(unknown).scores.value(metrics()["compute"], "forget") is None


def test_evaluation_holds_what_the_parts_say():
    given = evidence()
    found = evaluate(given)
    sides = {"oracle": given.oracle_margins, "unlearned": given.unlearned_margins}
    assert (found.klom == klom(**sides)).all()
    assert (found.klom_other == klom(**sides, convention="easydub")).all()
    base = floor(oracle=given.oracle_margins, second=given.floor_margins)
    assert (found.floor == base).all()
    scores = Scores.from_json(json.loads(json.dumps(found.scores.to_json(), allow_nan=False)))
    assert scores == found.scores
    assert (scores.splits, scores.models, scores.convention, scores.warnings) == (list(SPLITS), 60, "paper", ())
    chosen = POINTS["forget"]
    original = klom(oracle=given.oracle_margins, unlearned=given.original_margins)
    for key, of in (("klom_p95", lambda v: np.quantile(v, 0.95)), ("klom_mean", np.mean), ("klom_median", np.median)):
        value, low, high, oracle, floor_of, original_of = parts(scores, key, "forget")
        assert (value, floor_of) == (pytest.approx(of(found.klom[chosen])), pytest.approx(of(base[chosen])))
        assert (oracle, original_of) == (0.0, pytest.approx(of(original[chosen])))
        ranges = intervals(**sides, points=POINTS, summaries={"one": metrics()[key].quantile}, resamples=40, seed=0)
        assert (low, high) == ranges["forget"]["one"], "and not that of another statistic"
    correct = (given.unlearned_correct, given.oracle_correct, given.floor_correct, given.original_correct)
    value, low, high, *references = parts(scores, "accuracy", "forget")
    assert [value, *references] == pytest.approx([c[:, chosen].mean() for c in correct])
    assert (low, high) == (None, None)
    assert parts(scores, "seconds", "test") == [4.0, *[None] * 5], "of the whole method, whichever split is asked for"
    assert parts(scores, "compute", "forget") == [0.25, *[None] * 5]
    forget, test = (scores.wide()[i] for i in (0, 2))
    assert forget["klom_p95"] > 3 * forget["klom_p95_floor"]  # the forget set was not forgotten ...
    assert test["klom_p95"] < 2 * test["klom_p95_floor"]  # ... and the rest is as it should be


def parts(scores, key, split):
    return [scores.value(metrics()[key], split, part) for part in PARTS]


def test_the_convention_is_the_one_asked_for():
    paper, easydub = evaluate(evidence()), evaluate(evidence(convention="easydub"))
    assert (easydub.klom == paper.klom_other).all()
    assert (easydub.klom_other == paper.klom).all()
    assert (easydub.floor != paper.floor).any()
    assert (easydub.floor == paper.floor_other).all()
    assert (easydub.floor_other == paper.floor).all()
    assert easydub.scores.convention == "easydub"
    assert easydub.scores.value(headline(), "forget", "low") != paper.scores.value(headline(), "forget", "low")


@pytest.mark.parametrize("role", ["unlearned", "oracle", "floor"])
def test_diverged_models_are_left_out_and_named(role):
    given = evidence()
    clean = evaluate(given)
    margins = getattr(given, f"{role}_margins").copy()
    margins[[3, 8]] = [[np.nan], [90]]
    found = evaluate(dataclasses.replace(given, **{f"{role}_margins": margins}))
    kept = np.delete(margins, [3, 8], axis=0)
    sides = {"oracle": given.oracle_margins, "unlearned": given.unlearned_margins}
    if role != "floor":
        assert (found.klom == klom(**{**sides, role: kept})).all()
        assert found.scores.models == 58
    else:
        assert (found.floor == floor(oracle=given.oracle_margins, second=kept)).all()
        assert (found.klom == clean.klom).all()
    warning = found.scores.warnings[0]
    assert warning.startswith("2 ")
    assert "diverged and are left out of KLOM (numbers 3, 8)" in warning


def test_at_least_two_models_must_be_left():
    given = evidence(models=3)
    margins = given.oracle_margins.copy()
    margins[:2] = np.nan
    broken = dataclasses.replace(given, oracle_margins=margins)
    with pytest.raises(MetricError, match=r"at least 2 oracle models .* 1 of 3 are left"):
        evaluate(broken)
    assert "at least 2" in metrics()["klom_p95"]().missing(broken)
    assert metrics()["accuracy"]().missing(broken) is None


def test_small_ensembles_carry_a_warning():
    assert any("20 models" in said for said in evaluate(evidence(models=20)).scores.warnings)


def test_the_floor_without_second_oracles_comes_from_halves_and_says_so():
    given = evidence(floor_margins=None, floor_correct=None)
    found = evaluate(given)
    halves = floor(oracle=given.oracle_margins[:30], second=given.oracle_margins[30:])
    assert (found.floor == halves).all()
    assert "two halves of the oracles" in found.scores.warnings[-1]
    few = evaluate(evidence(models=3, floor_margins=None, floor_correct=None))
    assert np.isnan(few.floor).all()
    assert few.scores.value(headline(), "forget", "floor") is None
    assert "unknown" in few.scores.warnings[-1]


def test_an_ensemble_is_never_its_own_floor():
    given = evidence()
    with pytest.raises(MetricError, match="two independent ensembles"):
        evaluate(dataclasses.replace(given, floor_margins=given.oracle_margins))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"points": {**POINTS, "forget": np.arange(0)}}, "the forget split has no points"),
        ({"points": {"forget": POINTS["forget"]}}, "the retain split has no points"),
        ({"points": {**POINTS, "test": np.array([30])}}, "outside 0 to 29"),
        ({"unlearned_margins": np.zeros((60, 29))}, r"unlearned margins must be \(models, 30 points\)"),
        ({"oracle_correct": np.zeros((59, 30), bool)}, "oracle models have margins"),
        ({"convention": "both"}, "unknown KLOM convention"),
    ],
)
def test_evidence_that_does_not_fit_is_refused(change, said):
    with pytest.raises(MetricError, match=said):
        evidence(**change)
