"""Evidence, the metrics that read it, and the row a run stores."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.metrics import metrics
from engine.metrics.base import Evidence
from engine.metrics.evaluate import evaluate
from engine.metrics.klom import MetricError, floor, klom
from engine.records import SPLITS

ROOT = Path(__file__).resolve().parents[2]
POINTS = {"forget": np.array([5, 2, 9]), "retain": np.r_[0, 1, 3, 4, 6, 7, 8], "test": np.arange(10, 30)}


def evidence(models: int = 60, **change) -> Evidence:
    rng = np.random.default_rng(0)
    arrays = {}
    for role in ("oracle", "floor", "original", "unlearned"):
        margins = rng.normal(2, 1, size=(models, 30)).astype(np.float32)
        if role == "original":
            margins[:, POINTS["forget"]] += 6
        if role == "unlearned":
            margins[:, POINTS["forget"]] += 3
        arrays |= {f"{role}_margins": margins, f"{role}_correct": margins > 0}
    costs = {"seconds": 4.0, "cost": 30.0, "retrain_cost": 120.0, "bootstrap": 40}
    return Evidence(**{**arrays, "points": POINTS, **costs, **change})


def test_registry_lists_the_metrics_in_order():
    assert list(metrics()) == ["klom_p95", "klom_mean", "klom_median", "accuracy", "seconds", "compute"]


def test_listing_metrics_is_cheap():
    """Whoever lists metrics must not pay for torch or scipy."""
    code = "import sys; from engine.metrics import metrics; metrics(); print({'torch', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("key", list(metrics()))
def test_every_metric_has_a_card_and_reads_every_split(key):
    metric, given = metrics()[key](), evidence()
    assert metric.card.name
    assert metric.card.summary.endswith(".")
    assert metric.card.better
    assert metric.missing(given) is None
    readings = metric.read(given)
    assert set(readings) == set(SPLITS)
    for split, reading in readings.items():
        assert np.isfinite(reading.value)
        assert (reading.low is None) == (reading.high is None)
        if reading.low is not None:
            assert reading.low <= reading.value <= reading.high
        if reading.per_point is not None:
            assert reading.per_point.shape == POINTS[split].shape


def test_klom_metrics_summarise_the_points_of_the_split_in_its_order():
    given = evidence()
    per_point = klom(oracle=given.oracle_margins, unlearned=given.unlearned_margins)
    read = {key: metrics()[key]().read(given)["forget"] for key in ("klom_p95", "klom_mean", "klom_median")}
    forget = per_point[[5, 2, 9]]
    assert (read["klom_p95"].per_point == forget).all()
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
    assert reading["forget"].per_point.tolist() == [0.25, 0, 0]
    assert reading["test"].value == 0


def test_compute_is_a_share_of_a_retrain_and_says_when_it_cannot_be():
    assert metrics()["compute"]().read(evidence())["test"].value == 0.25
    unknown = evidence(retrain_cost=0.0)
    assert "cost of a retrain is unknown" in metrics()["compute"]().missing(unknown)
    assert evaluate(unknown).rows[0]["compute"] is None


def test_evaluation_holds_what_the_parts_say():
    given = evidence()
    found = evaluate(given)
    sides = {"oracle": given.oracle_margins, "unlearned": given.unlearned_margins}
    assert (found.klom == klom(**sides)).all()
    assert (found.klom_other == klom(**sides, convention="easydub")).all()
    base = floor(oracle=given.oracle_margins, second=given.floor_margins)
    assert (found.floor == base).all()
    rows = {row["split"]: row for row in json.loads(json.dumps(found.rows, allow_nan=False))}
    assert list(rows) == list(SPLITS)
    row, chosen = rows["forget"], POINTS["forget"]
    assert row["models"] == 60
    assert row["convention"] == "paper"
    assert row["klom_p95"] == pytest.approx(np.quantile(found.klom[chosen], 0.95))
    assert row["klom_mean"] == pytest.approx(found.klom[chosen].mean())
    assert row["klom_median"] == pytest.approx(np.median(found.klom[chosen]))
    assert row["low"] < row["klom_p95"] <= row["high"]
    for name, of in (("mean", np.mean), ("median", np.median)):
        assert row[f"{name}_low"] < row[f"klom_{name}"] < row[f"{name}_high"]
        assert row[f"floor_{name}"] == pytest.approx(of(base[chosen]))
    assert (row["mean_low"], row["mean_high"]) == given.intervals["forget"]["mean"], "and not that of another summary"
    assert (row["median_low"], row["median_high"]) == given.intervals["forget"]["median"]
    assert row["floor_p95"] == pytest.approx(np.quantile(base[chosen], 0.95))
    assert row["floor_mean"] == pytest.approx(base[chosen].mean())
    assert row["accuracy"] == pytest.approx(given.unlearned_correct[:, chosen].mean())
    assert row["accuracy_original"] == pytest.approx(given.original_correct[:, chosen].mean())
    assert row["accuracy_oracle"] == pytest.approx(given.oracle_correct[:, chosen].mean())
    assert (row["seconds"], row["compute"], row["warnings"]) == (4.0, 0.25, [])
    assert row["klom_p95"] > 3 * row["floor_p95"]  # the forget set was not forgotten ...
    assert rows["test"]["klom_p95"] < 2 * rows["test"]["floor_p95"]  # ... and the rest is as it should be


def test_the_convention_is_the_one_asked_for():
    paper, easydub = evaluate(evidence()), evaluate(evidence(convention="easydub"))
    assert (easydub.klom == paper.klom_other).all()
    assert (easydub.klom_other == paper.klom).all()
    assert (easydub.floor != paper.floor).any()
    assert (easydub.floor == paper.floor_other).all()
    assert (easydub.floor_other == paper.floor).all()
    assert easydub.rows[0]["convention"] == "easydub"
    assert easydub.rows[0]["low"] != paper.rows[0]["low"]


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
        assert found.rows[0]["models"] == 58
    else:
        assert (found.floor == floor(oracle=given.oracle_margins, second=kept)).all()
        assert (found.klom == clean.klom).all()
    warning = found.rows[0]["warnings"][0]
    assert warning.startswith("2 ")
    assert "diverged and are left out of KLOM (numbers 3, 8)" in warning


def test_at_least_two_models_must_be_left():
    given = evidence(models=3)
    margins = given.unlearned_margins.copy()
    margins[:2] = np.nan
    broken = dataclasses.replace(given, unlearned_margins=margins)
    with pytest.raises(MetricError, match=r"at least 2 unlearned models .* 1 of 3 are left"):
        evaluate(broken)
    assert "at least 2" in metrics()["klom_p95"]().missing(broken)
    assert metrics()["accuracy"]().missing(broken) is None


def test_small_ensembles_carry_a_warning():
    assert any("20 models" in said for said in evaluate(evidence(models=20)).rows[0]["warnings"])


def test_the_floor_without_second_oracles_comes_from_halves_and_says_so():
    given = evidence(floor_margins=None, floor_correct=None)
    found = evaluate(given)
    halves = floor(oracle=given.oracle_margins[:30], second=given.oracle_margins[30:])
    assert (found.floor == halves).all()
    assert "two halves of the oracles" in found.rows[0]["warnings"][-1]
    few = evaluate(evidence(models=3, floor_margins=None, floor_correct=None))
    assert np.isnan(few.floor).all()
    assert few.rows[0]["floor_p95"] is None
    assert "unknown" in few.rows[0]["warnings"][-1]


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
