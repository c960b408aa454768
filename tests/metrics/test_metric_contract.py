"""What every metric must do, and that every one is seen wherever results are."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from measured import POINTS, evidence, scores

from engine.cli import tables
from engine.demo import demo_recipe
from engine.metrics import headline, metrics, statistics
from engine.metrics.base import PARTS, REFERENCES, WHOLE, Evidence, MetricError
from engine.metrics.evaluate import evaluate
from engine.metrics.scores import Column, Scores, columns
from engine.queue import Queue
from engine.records import EARLIER, SPLITS
from engine.store import Store
from engine.views import compare, requests
from engine.views import headline as headline_view

ROOT = Path(__file__).resolve().parents[2]
KEYS = list(metrics())
READS = {
    "oracle margins": {"oracle_margins"},
    "unlearned margins": {"unlearned_margins"},
    "oracle predictions": {"oracle_correct"},
    "unlearned predictions": {"unlearned_correct"},
    "clock": {"seconds"},
    "example counts": {"cost", "retrain_cost"},
}
"""What the words on cards stand for."""


class Watched(Evidence):
    """Evidence that notes which of what was measured is looked at."""

    def __getattribute__(self, name):
        if name in set().union(*READS.values()) | {f"{role}_{what}" for role in REFERENCES for what in ARRAYS}:
            object.__getattribute__(self, "__dict__").setdefault("touched", set()).add(name)
        return super().__getattribute__(name)


ARRAYS = ("margins", "correct")


@pytest.mark.parametrize("key", KEYS)
def test_the_card_is_complete(key):
    metric = metrics()[key]
    card = metric.card
    assert card.name
    assert card.summary.endswith(".")
    assert card.family
    assert card.better in ("lower", "higher", "oracle")
    assert bool(card.paper) == bool(card.year)
    assert set(card.reads) <= set(READS), "a word that this test does not know: add what it stands for"
    assert card.reads
    assert len(metric.title()) <= 16, "it is the title of a column"
    assert card.unit in metric.axis()
    assert set(metric.beside) <= set(PARTS[1:])
    assert metric.form in ("number", "percent")


@pytest.mark.parametrize("key", KEYS)
def test_it_reads_all_that_its_card_says_and_nothing_else(key):
    given = evidence()
    watched = Watched(**{f.name: getattr(given, f.name) for f in dataclasses.fields(given)})
    watched.__dict__.get("touched", set()).clear()
    metrics()[key]().read(watched)
    assert watched.__dict__["touched"] == set().union(*(READS[word] for word in metrics()[key].card.reads))


@pytest.mark.parametrize("key", KEYS)
def test_it_reads_every_split_or_the_whole_with_values_in_bounds(key):
    metric, earlier = metrics()[key](), {**POINTS, "retain": POINTS["retain"][2:], EARLIER: POINTS["retain"][:2]}
    for points in (POINTS, earlier):
        given = evidence(points=points)
        assert metric.missing(given) is None
        readings = metric.read(given)
        assert list(readings) == (list(points) if metric.per_split else [WHOLE])
        low, high = metric.bounds
        for reading in readings.values():
            assert (-math.inf if low is None else low) <= reading.value <= (math.inf if high is None else high)
            assert (reading.low is not None, reading.high is not None) == (
                "low" in metric.beside,
                "high" in metric.beside,
            )
            if reading.low is not None:
                assert reading.low <= reading.value <= reading.high


@pytest.mark.parametrize("key", KEYS)
def test_the_oracle_against_itself_is_the_best_there_is(key):
    metric = metrics()[key]
    rows = [row for row in evaluate(evidence()).scores.rows if row["metric"] == key]
    known = [row for row in rows if row["oracle"] is not None]
    assert len(known) == (0 if metric.card.family == "cost" else len(rows)), "only a method has a cost"
    for row in known:
        best = metric.distance(row["oracle"], row["oracle"])
        assert all(best <= metric.distance(row[p], row["oracle"]) for p in ("value", "floor", "original"))


@pytest.mark.parametrize("key", KEYS)
def test_an_ensemble_that_equals_the_second_oracles_scores_the_floor(key):
    given = evidence()
    same = dataclasses.replace(given, unlearned_margins=given.floor_margins, unlearned_correct=given.floor_correct)
    rows = [row for row in evaluate(same).scores.rows if row["metric"] == key and row["floor"] is not None]
    assert rows or metrics()[key].card.family == "cost"
    assert all(row["value"] == row["floor"] for row in rows)


BROKEN = {
    "diverged": {"unlearned_margins": np.full((60, 30), np.nan)},
    "unknown cost": {"retrain_cost": 0.0},
    "no method": {"seconds": None, "cost": None},
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_what_is_missing_is_said_beforehand(key, change):
    metric, given = metrics()[key](), evidence(**change)
    reason = metric.missing(given)
    if reason is None:
        assert all(math.isfinite(reading.value) for reading in metric.read(given).values())
    else:
        with pytest.raises(MetricError, match=reason[:20]):
            metric.read(given)


@pytest.mark.parametrize("key", KEYS)
def test_values_are_written_and_what_was_not_measured_is_a_dash(key):
    metric = metrics()[key]
    assert {metric.written(value) for value in (None, math.nan, np.float64("nan"), math.inf)} == {"-"}
    assert any(c.isdigit() for c in metric.written(0.25))
    assert not metric.written(-0.0).startswith("-")


def test_one_metric_ranks_methods_and_it_is_a_statistic_of_klom():
    assert [key for key, metric in metrics().items() if metric.headline] == [headline().key]
    assert headline().key in statistics()


def test_columns_have_names_and_titles_of_their_own():
    for chosen in (None, *statistics().values()):
        here = columns(chosen)
        assert len({c.name for c in here}) == len(here)
        assert {c.metric for c in here} == set(metrics().values())
        assert all(c.title and c.help.endswith(".") for c in here)
        if chosen is not None:
            assert [c.name for c in here[:2]] == [chosen.key, f"{chosen.key}_low"]
            titles = [c.title for c in here]
            assert len(set(titles)) == len(titles)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    queue = Queue(Store.open(tmp_path_factory.mktemp("store") / "store").queue_path)
    run = queue.submit(demo_recipe().to_json(), session="a")
    queue.claim(run)
    queue.put_result(run, "scrub", 60, {"scores": evaluate(evidence()).scores.to_json()})
    queue.set_status(run, "done")
    return tables.summary(queue.run(run), queue)


@pytest.mark.parametrize("key", KEYS)
def test_every_metric_is_seen_as_measured_wherever_results_are(key, summary):
    """Catches a list of metrics kept anywhere else: a metric is one file."""
    metric, measured = metrics()[key], evaluate(evidence()).scores
    values = {split: measured.value(metric, split) for split in SPLITS}
    assert all(value is not None for value in values.values())
    frames = {
        "headline": headline_view.frame([("scrub", "SCRUB", measured)]),
        "comparison": compare.frame([compare.Entry("A", "scrub", "SCRUB", measured)]),
        "requests": requests.frame([requests.Entry(1, "x", "scrub", "SCRUB", measured)]),
    }
    for frame in frames.values():
        assert dict(zip(frame["split"], frame[key], strict=True)) == pytest.approx(values)
        assert key in frame.to_csv(index=False).splitlines()[0].split(",")
    for row in json.loads(json.dumps(summary))["results"]:
        assert row[key] == values[row["split"]]
    lines = tables.text(summary).splitlines()
    if not metric.extra:
        assert metric.title() in lines[0]
        assert metric.written(values["forget"]) in lines[1]
    if "floor" in metric.beside:
        assert summary["floor"]["forget"][key] == measured.value(metric, "forget", "floor")
    assert key in requests.quantities() or key in statistics()


def test_scores_survive_json_and_a_metric_that_was_not_measured_is_missing():
    measured = evaluate(evidence(retrain_cost=0.0)).scores
    assert Scores.from_json(json.loads(json.dumps(measured.to_json(), allow_nan=False))) == measured
    assert {row["compute"] for row in measured.wide()} == {None}
    table = headline_view.frame([("scrub", "SCRUB", measured), ("late", "Late", None)])
    assert table["compute"].isna().all()
    assert table.loc[table["method"] == "late", headline().key].isna().all()
    assert list(table["split"]) == [*SPLITS, *SPLITS]


def test_another_convention_is_made_from_the_points_and_has_no_intervals():
    klom, floor = np.array([1.0, 5.0, 3.0, 7.0]), np.array([0.1, 0.3, np.nan, 0.2])
    points = {"forget": np.array([0, 1]), "retain": np.array([2, 3])}
    names = [Column(metric, part).name for metric in statistics().values() for part in PARTS]
    rows = [{"split": split, "accuracy": 0.9, **dict.fromkeys(names, 9.0)} for split in points]
    made = scores(*rows).recomputed(klom=klom, floor=floor, points=points, convention="easydub")
    forget, retain = made.wide()
    assert (forget["klom_mean"], forget["klom_median"], forget["klom_mean_floor"]) == (3.0, 3.0, pytest.approx(0.2))
    assert forget["klom_p95"] == pytest.approx(np.quantile([1.0, 5.0], 0.95))
    assert (forget["klom_p95_low"], forget["klom_p95_high"]) == (None, None)
    assert (retain["klom_mean"], retain["klom_p95_floor"]) == (5.0, None), "a floor that is not known is missing"
    assert (made.models, made.convention, forget["accuracy"]) == (100, "easydub", 0.9)
    assert made.value(headline(), "forget", "original") is None


def test_no_other_file_knows_a_metric_by_name():
    """The headline metric is asked for; catches a key written where it would have to be changed too."""
    files = [
        *ROOT.glob("*.py"),
        *(f for folder in ("engine", "pages", "benchmarks", "assets") for f in (ROOT / folder).rglob("*.py")),
    ]
    others = [f for f in files if ROOT / "engine" / "metrics" not in f.parents]
    assert [str(f.relative_to(ROOT)) for f in others if headline().key in f.read_text("utf-8")] == []


def test_an_evaluation_names_the_metrics_it_measured():
    """Catches a metric that, added later, stays unmeasured because an older evaluation has the same name."""
    import dataclasses

    from engine.experiment import resolve
    from engine.metrics import metrics
    from engine.plan import data_job
    from engine.records import Choice, Recipe
    from engine.scope import Scope
    from engine.training import Training

    recipe = resolve(Recipe(Choice("digits"), Choice("mlp"), Training(), Choice("random"), (Choice("do_nothing"),)))
    scope = Scope(recipe.recipe, {"hash": "data"}, data_job(recipe), {}, gone="gone")
    unlearned = recipe.unlearned_spec(scope, recipe.methods[0], "pictures", after=None)
    spec = recipe.evaluation_spec(scope, unlearned, 4)
    assert spec.metrics == tuple(metrics())
    assert dataclasses.replace(spec, metrics=(*spec.metrics, "new")) != spec
    assert type(spec).from_json(spec.plain) == spec
