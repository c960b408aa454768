"""A recipe that keeps the trajectory: who keeps it, who reads it, what it weighs, and when it is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import plan as plans
from engine.answers import estimate
from engine.experiment import resolve
from engine.knobs import BadSetting
from engine.models import architectures
from engine.plan import data_info, make_plan
from engine.records import Recipe
from engine.scope import path_bytes
from engine.store import Store
from engine.stored import load_data
from engine.training import Training
from engine.unlearners import unlearners
from engine.work import run_job

CPU = torch.device("cpu")


class Quiet:
    def progress(self, share, message):
        pass

    def frame(self, frame):
        pass


def recipe(*methods, **training):
    return Recipe.from_json(
        {
            "format": 1,
            "dataset": {"key": "digits"},
            "model": {"key": "logistic"},
            "training": {"epochs": 2, "batch_size": 512, **training},
            "forget": {"key": "random", "n": 50},
            "methods": [method if isinstance(method, dict) else {"key": method} for method in methods],
            "ensemble": {"models": 3, "chunk": 2, "strategy": "stacked"},
        }
    )


def run(store, recipe):
    """Do every job of a recipe here and now, and return its plan."""
    experiment = resolve(recipe)
    while True:
        plan = make_plan(experiment, store, "cpu")
        left = [job for job in plan.jobs if not job.done(store)]
        if not left:
            return plan
        for job in left:
            run_job(store, job, Quiet(), CPU)


def parts(store, plan, kind, role=None):
    jobs = [j for j in plan.jobs if j.kind == kind and (role is None or j.spec.role == role)]
    return [job.spec.artefact(store).read(job.part) for job in jobs]


def test_originals_keep_their_path_oracles_do_not_and_deltagrad_follows_it(tmp_path):
    store = Store.open(tmp_path)
    plan = run(store, recipe("deltagrad", "do_nothing", trajectory=True))
    kept = parts(store, plan, "trained", "original")
    assert [part.array("gradients").shape for part in kept] == [(6, 2, 650), (6, 1, 650)]
    info = {"shape": [1, 8, 8], "classes": range(10), "train": 1437}
    weighs = path_bytes(recipe("do_nothing", trajectory=True), info, 3)
    assert sum(part.files["gradients.npy"] for part in kept) == pytest.approx(weighs, abs=512)
    for role in ("oracle", "floor"):
        assert all("gradients.npy" not in part.files for part in parts(store, plan, "trained", role))
    assert not list((tmp_path / "unfinished").iterdir())
    made = [job for job in plan.jobs if job.kind == "unlearned" and job.method == "deltagrad"]
    moved = [job.spec.artefact(store).read(job.part) for job in made]
    training = Training(epochs=2, batch_size=512)
    planned = unlearners()["deltagrad"]().planned_cost(forget=50, retain=1387, training=training)
    for part, original in zip(moved, kept, strict=True):
        assert part.json("meta")["cost"] == planned
        for name, weights in part.tensors("weights").items():
            change = np.abs(weights - original.tensors("weights")[name]).max()
            assert 1e-4 < change < 0.2, "near the originals, and not the same"


def test_training_is_the_same_with_and_without(tmp_path):
    """Catches a record that moves what it records; and oracles trained twice for the sake of a switch."""
    store = Store.open(tmp_path)
    with_path, without = (run(store, recipe("do_nothing", trajectory=kept)) for kept in (True, False))
    for one, other in zip(
        parts(store, with_path, "trained", "original"), parts(store, without, "trained", "original"), strict=True
    ):
        assert one.folder != other.folder
        for name, weights in one.tensors("weights").items():
            assert np.array_equal(weights, other.tensors("weights")[name])
    assert [p.folder for p in parts(store, with_path, "trained", "oracle")] == [
        p.folder for p in parts(store, without, "trained", "oracle")
    ]


def test_a_path_that_is_too_long_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    asked = resolve(recipe("do_nothing", trajectory=True))
    assert make_plan(asked, store, "cpu").jobs[0].kind == "data"
    run_job(store, make_plan(asked, store, "cpu").jobs[0], Quiet(), CPU)
    assert path_bytes(asked.recipe, data_info(asked, store), 2) == 4 * 2 * 6 * 650
    monkeypatch.setattr(plans, "PATH_BYTES", 4 * 2 * 6 * 650)
    make_plan(asked, store, "cpu")
    monkeypatch.setattr(plans, "PATH_BYTES", 4 * 2 * 6 * 650 - 1)
    with pytest.raises(BadSetting, match="for each chunk of 2 models"):
        make_plan(asked, store, "cpu")
    make_plan(resolve(recipe("do_nothing")), store, "cpu")


def test_the_estimate_says_what_it_weighs(tmp_path):
    store = Store.open(tmp_path)
    measured = {"seconds_per_pass": 1.0, "parameters": 650, "peak_bytes": 1, "strategy": "stacked", "device": "cpu"}
    sizes = []
    for kept in (False, True):
        asked = resolve(recipe("do_nothing", trajectory=kept))
        run_job(store, make_plan(asked, store, "cpu").jobs[0], Quiet(), CPU)
        found = make_plan(asked, store, "cpu", suppose=True)
        sizes.append(estimate([found], measured, store, workers=1)["bytes"])
    assert sizes[1] - sizes[0] == 4 * 3 * 6 * 650


def test_early_stopping_and_a_trajectory_are_refused_together():
    with pytest.raises(BadSetting, match="patience 0"):
        resolve(recipe("do_nothing", trajectory=True, patience=3))
    with pytest.raises(BadSetting, match="patience under Training to 0"):
        resolve(recipe("usgd", patience=3))
    with pytest.raises(BadSetting, match="keep the trajectory"):
        resolve(recipe("deltagrad"))
    assert unlearners()["usgd"]().misfit(Training(), architectures()["mlp"]()) is None


def test_a_run_with_early_stopping_counts_what_was_trained(tmp_path):
    """Catches a final frame that misses the best weights, and costs of epochs that never were."""
    store = Store.open(tmp_path)
    eager = {"epochs": 60, "patience": 1, "lr": 2.0, "schedule": "constant", "batch_size": 128}
    plan = run(store, recipe("retrain", **eager))
    most = 3 * 1387 * 60
    for part in [*parts(store, plan, "trained", "oracle"), *parts(store, plan, "unlearned")]:
        meta = part.json("meta")
        assert 0 < meta["cost"] < most
    for part in parts(store, plan, "unlearned"):
        frames = part.json("meta")["frames"]
        assert frames[-1]["step"] == frames[-1]["total"], "the frame of the end is there"
        assert part.array("trajectory").shape[0] == len(frames)
    for part in parts(store, plan, "evaluation"):
        rows = part.json("scores")["rows"]
        assert rows


def test_early_stopping_keeps_how_long_each_network_was_trained(tmp_path):
    store = Store.open(tmp_path)
    data = load_data(store, {"key": "digits"}, None, Quiet())
    plan = run(store, recipe("do_nothing", epochs=30, lr=1.0, patience=1))
    for role in ("original", "oracle", "floor"):
        for part in parts(store, plan, "trained", role):
            epochs = part.json("meta")["epochs"]
            assert len(epochs) == len(part.array("margins"))
            right = part.array("predicted") == np.concatenate([data.y_train, data.y_test])
            assert np.array_equal(right, part.array("correct")), "the answers are kept beside the margins"
            assert right.mean() > 0.5
            assert all(1 <= one <= 30 for one in epochs)
    plain = run(Store.open(tmp_path / "plain"), recipe("do_nothing"))
    assert all("epochs" not in part.json("meta") for part in parts(Store.open(tmp_path / "plain"), plain, "trained"))


def test_more_moments_are_looked_at_on_request_and_change_no_network(tmp_path):
    """Catches frames that the spec does not name, so that another run's are shown, and a step looked at twice."""
    store = Store.open(tmp_path)
    made = {}
    for moments in (12, 3, 500):
        base = recipe({"key": "gradient_descent", "epochs": 3, "batch_size": 100})
        wanted = replace(base, measuring=replace(base.measuring, moments=moments))
        plan = run(store, wanted)
        jobs = [job for job in plan.jobs if job.kind == "unlearned"]
        made[moments] = [job.spec.artefact(store).read(job.part) for job in jobs]
    steps = 3 * 14
    for moments, looked in ((12, 13), (3, 4), (500, steps + 1)):
        for part in made[moments]:
            assert len(part.json("meta")["frames"]) == looked, "at most once a step"
            assert part.array("trajectory_margins").shape[1] == looked
    for few, many in zip(made[3], made[500], strict=True):
        for name, weights in few.tensors("weights").items():
            assert np.array_equal(weights, many.tensors("weights")[name])
