"""Small tables of every view, made by its ``frame`` from toy arrays; the contract test draws and checks them."""

import functools
import sys
from pathlib import Path

import known
import numpy as np
from measured import scores

from engine.analyses import analyses
from engine.queue import FramesRow
from engine.records import EARLIER, SPLITS
from engine.views import (
    best,
    compare,
    confidence,
    confusion,
    course,
    curves,
    datamap,
    deletion,
    departure,
    distribution,
    enough,
    margins,
    methods,
    missing,
    onepoint,
    passing,
    points,
    requests,
    sensitivity,
    stopping,
    terms,
    tradeoff,
    trajectory,
    versus,
    views,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "analyses"))

import benches

POINTS = {"forget": np.array([3, 1]), "retain": np.array([0, 2]), "test": np.array([4])}
KLOM = np.array([0.5, 3.0, 1.0, 9.0, 0.2])
OTHER = np.array([0.6, 1.0, 1.0, 10.0, 0.4])
FLOOR = np.array([0.3, 0.4, 0.2, 0.6, 0.1])


def sample(mean, models=20, seed=0):
    return np.random.default_rng(seed).normal(mean, 1, models).astype(np.float32)


def maps():
    return datamap.frame(
        xy=np.random.default_rng(0).uniform(-1, 1, (6, 2)).astype(np.float32),
        labels=np.array([1, 0, 1, 2, 0, 1]),
        classes=("a", "b", "c"),
        chosen=np.array([2, 5]),
        columns={"margin": np.array([0.0, 1, 2, 3, 4, 100])},
    )


def ways():
    tracks = [trajectory.Track(m, m.upper(), np.array([9.0, 4.0]), np.array([0, 10])) for m in ("scrub", "descent")]
    return trajectory.frame(tracks, oracle=sample(2), original=sample(9))


def curved():
    level = {"margin": 8.0, "margin_sd": 0.5, "accuracy": 0.9, "accuracy_sd": 0.01, "loss": 0.2, "loss_sd": 0.1}
    splits = dict.fromkeys(SPLITS, level)
    steps = [{"step": n, "total": 10, "seen": 64 * n, "cost": 300.0 * n, "seconds": 0.5 * n, **splits} for n in (0, 5)]
    oracle = {**splits, "cost": 6000.0, "seconds": 20.0}
    rows = [
        FramesRow("r", "@oracle", "00000-00004", (oracle,)),
        FramesRow("r", "scrub", "00000-00004", tuple(steps)),
    ]
    return curves.frame(rows, {"scrub": "SCRUB"})


def measured(klom, splits=SPLITS, models=20):
    """Return scores whose KLOM grows from split to split."""
    shared = {"klom_p95_floor": 0.6, "accuracy": 0.9, "accuracy_oracle": 0.8, "compute": 0.25, "seconds": 3.0}
    own = ({"klom_p95": klom + i, "klom_p95_low": klom + i - 0.5, "klom_p95_high": klom + i + 0.25} for i in range(4))
    return scores(*({"split": split, **one, **shared} for split, one in zip(splits, own, strict=False)), models=models)


def ranked():
    settings = {"do_nothing": 8.0, "retrain": 0.5, "partial_retrain-1": 4.0, "scrub-1": 3.0, "scrub-2": 2.0}
    return known.table([(method, method.upper(), measured(klom)) for method, klom in settings.items()])


def headlines():
    return known.table([("scrub", "SCRUB", measured(3.0)), ("iau", "IAU", None)])


def bests():
    keys = {method: method.partition("-")[0] for method in ranked()["method"]}
    return best.frame([("random 50", ranked(), keys), ("class 3", ranked(), keys)], {"scrub": "SCRUB"})


def asked():
    splits = (*SPLITS, EARLIER)
    return requests.frame(
        [
            requests.Entry(n, f"class {n}", method, method.upper(), measured(klom, splits[: 2 + n]), kind)
            for n in (1, 2)
            for method, klom, kind in (("do_nothing", 8.0, "do nothing"), ("scrub", 3.0, ""))
        ]
    )


def courses():
    rng = np.random.default_rng(0)
    way = rng.normal(np.array([3.0, 1.0, 0.0])[:, None], 1, (20, 3, 6))  # (M, E, n): each epoch comes nearer
    splits = {"forget": np.arange(2), "retain": np.arange(2, 4), "test": np.arange(4, 6)}
    return course.frame(oracle=rng.normal(0, 1, (20, 6)), course=way, share=np.array([0.2, 0.6, 1.0]), splits=splits)


def sizes():
    rng = np.random.default_rng(0)
    sides = {side: rng.normal(mean, 1, (20, 6)) for side, mean in (("oracle", 0), ("second", 0), ("unlearned", 3))}
    return enough.frame(**sides, splits={"forget": np.arange(2), "retain": np.arange(2, 4), "test": np.arange(4, 6)})


def finished():
    about = {"name": "SCRUB, epochs 3", "data": "Digits", "model": "MLP", "forget": "random 50"}
    return methods.frame(
        [{"run": run, "method": "scrub", "key": "scrub", **about, "scores": measured(3.0)} for run in ("a", "b")]
    )


def one_point():
    measured = [
        onepoint.Measured("scrub", "SCRUB", 2.0, 0.5, sample(5), sample(0)),
        onepoint.Measured("do_nothing", "Do nothing", 9.0, 0.5, sample(8, models=1), sample(0), "do nothing"),
    ]
    return onepoint.frame(measured)


FRAMES = {
    "along": courses,
    "best": bests,
    "course": courses,
    "compare": lambda: compare.frame([compare.Entry(run, "scrub", "SCRUB", measured(3.0)) for run in "AB"]),
    "curves": curved,
    "datamap": maps,
    "distribution": lambda: distribution.frame(klom=KLOM, floor=FLOOR, points=POINTS),
    "enough": sizes,
    "headline": headlines,
    "margins": lambda: margins.frame(original=sample(8), unlearned=sample(3), oracle=sample(2)),
    "methods": finished,
    "missing": missing.example,
    "onepoint": one_point,
    "passing": lambda: passing.frame(missing.example()),
    "points": lambda: points.frame(klom=KLOM, floor=FLOOR, points=np.arange(5), labels=None, most=3),
    "requests": asked,
    "sensitivity": lambda: sensitivity.frame("rate", [(0.1, measured(3.0)), (0.001, measured(8.0))]),
    "stopping": lambda: stopping.frame(missing.example()),
    "terms": lambda: terms.frame(oracle=sample(2), unlearned=sample(3)),
    "tradeoff": lambda: tradeoff.frame(ranked()),
    "trajectory": ways,
    "versus": lambda: versus.frame(first=KLOM, second=OTHER, floor=FLOOR, points=POINTS),
}
"""A table of each view whose ``frame`` takes arrays or rows; views of an analysis have theirs from its toy networks."""


def analysed(key):
    """Return the table of what an analysis measures on toy networks."""
    plugin = analyses()[key](**({"steps": 4} if key == "inversion" else {}))
    return views()[key].frame(plugin.measure(benches.bench(plugin), seed=0, progress=benches.quiet))


FRAMES |= {key: functools.partial(analysed, key) for key in analyses()}
"""A view of an analysis has the table of its toy networks."""


def answers(view, key="predictions"):
    """Return a further view's table of what an analysis measures on toy networks."""
    plugin = analyses()[key]()
    return view.frame(plugin.measure(benches.bench(plugin), seed=0, progress=benches.quiet))


FRAMES |= {name: functools.partial(answers, view) for name, view in (
    ("confidence", confidence), ("confusion", confusion), ("departure", departure)
)}  # fmt: skip
FRAMES["deletion"] = functools.partial(answers, deletion, "attention")

OPTIONS = {
    "along": [{"mark": 0.5}],
    "confusion": [{"split": "retain"}],
    "missing": [{"log": True}, {"mark": 0.5, "point": 9}],
    "passing": [{"mark": 0.5}],
    "curves": [{"quantities": ("margin", "accuracy", "loss"), "axis": axis} for axis in ("share", "seconds")],
    "datamap": [{"by": "chosen", "layout": "umap"}],
    "distribution": [{"shape": shape, "point": 3} for shape in distribution.SHAPES[1:]],
    "headline": [{"statistic": "klom_mean", "chosen": "scrub"}],
    "onepoint": [{"chosen": "scrub"}],
    "requests": [{"quantity": key, "total": 3} for key in ("accuracy", "tow", "compute")],
    "tradeoff": [{"chosen": "scrub"}],
    "trajectory": [{"chosen": "scrub"}],
    "versus": [{"point": 3}],
}
"""Further ways to draw a view, each a set of options of its ``figure``."""
