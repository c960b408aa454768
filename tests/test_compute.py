"""End to end: recipes through the queue, a real compute process and real workers, on the digits, with tiny models."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.forget.indices import read_numbers
from engine.launch import compute_running
from engine.metrics import headline
from engine.metrics.scores import Scores
from engine.queue import Queue
from engine.records import Recipe, canonical
from engine.store import Store
from engine.store.measurements import answered

ROOT = Path(__file__).resolve().parent.parent
TINY = ("--models", "4", "--chunk", "2", "--epochs", "2", "--model", "mlp:hidden=8")
pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]


def until(condition, what, seconds=240.0):
    """Wait for a condition; fail with ``what`` when it does not come true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


def engine(*arguments, stdin=None, check=0):
    done = subprocess.run(
        [sys.executable, "-m", "engine", *map(str, arguments)], cwd=ROOT, input=stdin, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == check, done.stderr
    return done


def recipe(*arguments):
    """Return a tiny recipe with its strategy named: "auto" asks a clock, and the two agree only to rounding."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["recipe", *TINY, *arguments]) == 0
    made = json.loads(said.getvalue())
    made["ensemble"]["strategy"] = "stacked"
    return made


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A store with a compute process of its own, ended at the end."""
    store = Store.open(tmp_path_factory.mktemp("serving") / "store")
    process = start(store)
    yield store
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def start(store):
    process = subprocess.Popen([sys.executable, "-m", "engine", "compute", "--store", str(store.path)], cwd=ROOT)
    queue = Queue(store.queue_path)
    until(lambda: queue.compute() is not None and queue.compute().alive and compute_running(store), "a heartbeat")
    return process


def finished(queue, run_id, seconds=240.0):
    return until(lambda: queue.run(run_id).over and queue.run(run_id), f"run {run_id}", seconds)


def files(store, pattern):
    return {f.relative_to(store.path): f.read_bytes() for f in sorted((store.path / "artefacts").rglob(pattern))}


def removed(store, payload):
    """Return the training pictures a result's run forgets, and those that earlier requests removed."""
    part = store.artefact("forget", payload["forget"]).read("whole")
    return part.array("indices").tolist(), part.array("earlier").tolist() if "earlier.npy" in part.files else []


def test_the_command_line_gives_the_promised_json_and_repeats_it(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe("--methods", "do_nothing,oracle_matching:epochs=1")))
    first = json.loads(engine("run", path, "--store", tmp_path / "a", "--json").stdout)
    assert {"run", "device", "results", "floor"} <= first.keys()
    assert [(r["method"], r["split"]) for r in first["results"]] == [
        (m, s) for m in ("do_nothing", "oracle_matching") for s in ("forget", "retain", "test")
    ]
    for row in first["results"]:
        assert {"klom_mean", "accuracy", "accuracy_gap", "tow", "seconds", "compute"} <= row.keys()
        assert row["klom_p95_low"] <= row["klom_p95"] <= row["klom_p95_high"]
    assert set(first["floor"]) == {"forget", "retain", "test"}
    assert {r["compute"] for r in first["results"] if r["method"] == "do_nothing"} == {0.0}

    store = Store.open(tmp_path / "a")
    before = {f: f.stat().st_mtime_ns for f in (store.path / "artefacts").rglob("*") if f.is_file()}
    again = json.loads(engine("run", path, "--store", tmp_path / "a", "--json").stdout)
    after = {f: f.stat().st_mtime_ns for f in (store.path / "artefacts").rglob("*") if f.is_file()}
    assert again["results"] == first["results"]
    assert after == before, "what is in the store is never computed again"


def test_two_sessions_share_the_queue(serving):
    queue = Queue(serving.queue_path)
    long = recipe("--methods", "do_nothing,scrub", "--seed", "5", "--models", "12", "--epochs", "15")
    short = recipe("--methods", "do_nothing", "--seed", "6")
    first = queue.submit(long, session="a")
    second = queue.submit(short, session="b")
    assert finished(queue, second).status == "done"
    assert not queue.run(first).over, "a short run of another session must not wait for the whole long one"
    assert finished(queue, first).status == "done"


def test_runs_that_want_the_same_models_train_them_once(serving):
    queue = Queue(serving.queue_path)
    before = files(serving, "margins.npy")
    runs = [
        queue.submit(recipe("--methods", method, "--seed", "8"), session=method)
        for method in ("do_nothing", "gradient_ascent")
    ]
    assert all(finished(queue, run).status == "done" for run in runs)
    # originals, oracles and second oracles once, each in two chunks, and two methods in two chunks.
    assert len(files(serving, "margins.npy")) - len(before) == 3 * 2 + 2 * 2


def test_cancelling_acts_between_steps(serving):
    queue = Queue(serving.queue_path)
    run = queue.submit(recipe("--methods", "do_nothing", "--epochs", "1000", "--seed", "20"), session="a")
    until(lambda: queue.run(run).progress.get("doing"), "work to begin")
    assert queue.request_cancel(run) == 1
    assert finished(queue, run, 20).status == "cancelled"
    short = queue.submit(recipe("--methods", "do_nothing", "--seed", "21"), session="a")
    assert finished(queue, short).status == "done", "the workers must be free again"


def test_a_second_press_kills_a_job_that_does_not_listen(serving):
    queue = Queue(serving.queue_path)
    run = queue.submit(recipe("--methods", "do_nothing", "--epochs", "1000", "--seed", "22"), session="a")
    working = until(lambda: [d for d in queue.run(run).progress.get("doing", []) if "step" in d], "training to begin")
    assert working
    queue.request_cancel(run)
    queue.request_cancel(run)
    assert finished(queue, run, 60).status == "cancelled"
    short = queue.submit(recipe("--methods", "do_nothing", "--seed", "23"), session="a")
    assert finished(queue, short).status == "done", "killed workers must come back"


def test_a_diverging_method_stops_and_the_others_go_on(serving):
    queue = Queue(serving.queue_path)
    methods = "do_nothing,gradient_ascent:lr=1.0:epochs=100:ceiling=0,gradient_descent:epochs=1"
    run = queue.submit(recipe("--methods", methods, "--seed", "30"), session="a")
    row = finished(queue, run)
    assert row.status == "done"
    states = row.progress["methods"]
    assert "diverged at step" in states["gradient_ascent"]["stopped"]
    assert "Lower the learning rate" in states["gradient_ascent"]["stopped"]
    assert {r.method_id for r in queue.results(run)} == {"do_nothing", "gradient_descent"}
    assert queue.frames(run, "gradient_ascent")[0].frames[0]["step"] == 0, "what was measured is kept"
    again = queue.submit(queue.run(run).recipe, session="a")
    assert finished(queue, again).status == "done"


def test_a_bad_data_set_fails_the_run_in_words(serving, tmp_path):
    queue = Queue(serving.queue_path)
    bad = recipe("--methods", "do_nothing")
    bad["dataset"] = {"key": "folder", "path": str(tmp_path / "nowhere")}
    row = finished(queue, queue.submit(bad, session="a"))
    assert row.status == "failed"
    assert "nowhere" in row.error
    assert "Traceback" not in row.error
    unknown = {**recipe("--methods", "do_nothing"), "model": {"key": "transformer"}}
    row = finished(queue, queue.submit(unknown, session="a"))
    assert row.status == "failed"
    assert "unknown model 'transformer'" in row.error


def test_questions_are_answered_before_anything_runs(serving):
    queue = Queue(serving.queue_path)
    question = queue.ask({"kind": "estimate", "recipe": recipe("--models", "50", "--seed", "77")})
    answer = until(lambda: queue.answer_to(question), "an estimate")
    assert answer["seconds"] > 0
    assert answer["bytes"] > 50 * 8 * 64
    assert not answer["cached"]
    refused = queue.ask({"kind": "estimate", "recipe": {**recipe(), "model": {"key": "lenet5"}}})
    assert "pixels" in until(lambda: queue.answer_to(refused), "a refusal")["error"]


def ask(queue, **request):
    question = queue.ask(request)
    return until(lambda: queue.answer_to(question), f"an answer about {request['kind']}")


def test_a_map_and_its_columns_are_laid_out_once_and_kept(serving):
    queue = Queue(serving.queue_path)
    digits = {"key": "digits"}
    info = ask(queue, kind="data", dataset=digits)["info"]
    by_pixels = {"key": "map", "layout": "pca"}
    xy = answered(serving, ask(queue, kind="analysis", analysis=by_pixels, recipe={"dataset": digits})).arrays["xy"]
    assert xy.shape == (info["train"], 2)
    assert np.abs(xy).max() == pytest.approx(1)
    seen = {k: v for k, v in recipe("--seed", "60").items() if k != "methods"}
    through = {"analysis": {"key": "columns", "through": "network"}, "recipe": seen}
    answer = ask(queue, kind="analysis", **through)
    found = answered(serving, answer)
    assert found.arrays["neighbours"].shape == found.arrays["distance"].shape == (info["train"], 8)
    of = answer["spec"]
    original = serving.artefact("trained", of["original"]).read(of["part"])
    margin = original.array("margins")[:, : info["train"]].mean(axis=0)
    assert np.allclose(found.arrays["margin"], margin, atol=1e-4)
    assert np.corrcoef(found.arrays["margin"], found.arrays["loss"])[0, 1] < -0.5
    assert (found.arrays["loss"] > 0).all()
    sizes = np.bincount(found.arrays["cluster"])
    assert (np.diff(sizes) <= 0).all(), "cluster 0 is the largest"
    assert found.facts["near"] < found.facts["typical"]
    made = files(serving, "cluster.npy")
    assert ask(queue, kind="analysis", **through) == answer
    assert files(serving, "cluster.npy") == made, "answered from the store"


def test_a_forget_set_can_be_chosen_before_any_run(serving):
    queue = Queue(serving.queue_path)
    said = ask(queue, kind="forget", recipe={**recipe("--forget", "class:3"), "methods": []})
    assert said["name"] == "class 3"
    assert said["size"] == len(read_numbers(said["indices"]))
    assert "error" in ask(queue, kind="forget", recipe=recipe("--forget", "random:1437"))
    spiral = {"key": "map", "layout": "spiral"}
    assert "layout" in ask(queue, kind="analysis", analysis=spiral, recipe={"dataset": {"key": "digits"}})["error"]
    assert "error" in ask(queue, kind="nonsense")
    assert "error" in ask(queue, kind="analysis")


def test_a_question_taken_back_ends_its_work(serving):
    queue = Queue(serving.queue_path)
    by_umap = {"key": "map", "layout": "umap"}
    question = queue.ask({"kind": "analysis", "analysis": by_umap, "recipe": {"dataset": {"key": "digits"}}})
    until(lambda: queue.question_progress(question), "work to begin")
    queue.withdraw(question)
    until(lambda: not queue.withdrawn(), "the work to end")
    assert queue.answer_to(question) is None
    assert ask(queue, kind="data", dataset={"key": "digits"})["info"], "the compute process goes on"


def test_frames_come_while_a_chunk_is_worked_on_and_beside_references(serving):
    queue = Queue(serving.queue_path)
    slow = recipe("--methods", "gradient_descent:epochs=100", "--seed", "61")
    run = queue.submit(slow, session="a")

    def halfway():
        found = [row for row in queue.frames(run) if not row.method_id.startswith("@")]
        return found and found[0].frames[-1]["step"] < found[0].frames[-1]["total"] and found

    until(halfway, "a frame in the middle of a chunk")
    assert not queue.run(run).over
    finished(queue, run)
    rows = queue.frames(run)
    assert {row.method_id.split("-")[0] for row in rows} == {"@original", "@oracle", "gradient_descent"}
    method = next(row for row in rows if not row.method_id.startswith("@"))
    assert [frame["step"] for frame in method.frames] == sorted({frame["step"] for frame in method.frames})
    assert method.frames[-1]["step"] == method.frames[-1]["total"]
    spec = queue.results(run)[0].payload["spec"]
    part = serving.artefact("unlearned", spec["unlearned"]).read(method.chunk)
    points, path = part.array("trajectory_points"), part.array("trajectory")
    assert path.shape == (len(method.frames), len(points))
    assert np.allclose(path[-1], part.array("margins")[:, points].mean(axis=0), atol=1e-4), "it ends at the result"
    oracle = serving.artefact("trained", spec["oracle"]).read(method.chunk)
    payload = queue.results(run)[0].payload
    forget, _ = removed(serving, payload)
    assert len(forget) > 10
    assert canonical(forget)[1:-1] not in canonical(payload), "a sweep would hold the list once per method"
    level = next(r for r in rows if r.method_id == "@oracle" and r.chunk == method.chunk).frames[0]
    assert level["cost"] == oracle.json("meta")["cost"] > 0, "what a retrain takes, to compare with"
    shown = level["forget"]
    assert shown["accuracy"] == pytest.approx(oracle.array("correct")[:, forget].mean())
    assert shown["margin_sd"] == pytest.approx(oracle.array("margins")[:, forget].mean(axis=1).std(), rel=1e-5)


def test_a_killed_worker_costs_only_its_chunk(serving):
    queue = Queue(serving.queue_path)
    run = queue.submit(recipe("--methods", "do_nothing", "--epochs", "60", "--seed", "40"), session="a")
    until(lambda: [d for d in queue.run(run).progress.get("doing", []) if "step" in d], "training to begin")
    compute = queue.compute().pid
    workers = [
        int(p.name)
        for p in Path("/proc").iterdir()
        if p.name.isdigit() and _parent(p) == compute and b"spawn_main" in (p / "cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    assert finished(queue, run).status == "done"


def _parent(process):
    try:
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError):
        return -1


def test_a_killed_compute_process_is_replaced_and_the_result_is_identical(tmp_path):
    """From the command line and from the queue, disturbed and not: the same recipe gives the same numbers."""
    wanted = recipe("--methods", "do_nothing,gradient_ascent", "--epochs", "15", "--models", "6")
    calm, rough = Store.open(tmp_path / "calm"), Store.open(tmp_path / "rough")
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(wanted))
    engine("run", path, "--store", calm.path)

    queue = Queue(rough.queue_path)
    run = queue.submit(wanted, session="a")
    process = start(rough)
    until(lambda: len(files(rough, "margins.npy")) >= 2, "two finished chunks")
    process.kill()
    process.wait()
    assert not queue.run(run).over
    kept = files(rough, "margins.npy")
    process = start(rough)
    assert finished(queue, run).status == "done"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    for pattern in ("margins.npy", "weights.safetensors", "klom.npy"):
        assert files(calm, pattern) == files(rough, pattern), "resumed and undisturbed must be the same to the bit"
    assert kept.items() <= files(rough, "margins.npy").items()


def test_only_one_compute_process_serves_a_store(serving):
    done = engine("compute", "--store", serving.path)
    assert "already serves" in done.stderr


def test_stored_margins_are_what_klom_is_made_of(serving, tmp_path):
    queue = Queue(serving.queue_path)
    run = queue.submit(recipe("--methods", "gradient_descent:epochs=1", "--seed", "50"), session="a")
    finished(queue, run)
    payload = queue.results(run)[0].payload
    spec = payload["spec"]
    for name, kind, part in (("b", "unlearned", spec["unlearned"]), ("a", "trained", spec["oracle"])):
        arrays = [serving.artefact(kind, part).read(p).array("margins") for p in payload["parts"]]
        np.save(tmp_path / f"{name}.npy", np.concatenate(arrays))
    found = json.loads(
        engine("klom", "--oracle", tmp_path / "a.npy", "--unlearned", tmp_path / "b.npy", "--json").stdout
    )
    stored = serving.artefact("evaluation", spec).read("whole").array("klom")
    assert np.allclose(found["per_point"], stored)
    p95 = Scores.from_json(payload["scores"]).value(headline(), "test")
    assert np.quantile(stored[payload["train"] :], 0.95) == pytest.approx(p95)


def test_what_a_method_makes_on_its_way_can_be_asked_for(serving):
    queue = Queue(serving.queue_path)
    asked = recipe("--forget", "class:3,5", "--methods", "do_nothing,unsir:noise=8:noise_steps=3")
    about = {"kind": "analysis", "analysis": {"key": "exhibit"}, "recipe": asked}
    found = answered(serving, ask(queue, **about, method="unsir"))
    assert found.arrays["pictures"].shape == (2, 8, 1, 8, 8), "8 of each of 2 classes"
    assert found.arrays["classes"].tolist() == [3, 5]
    assert found.facts == {"names": ["3", "5"], "classes": 2}
    assert ((found.arrays["sure"] >= 0) & (found.arrays["sure"] <= 1)).all()
    assert "no method" in ask(queue, **about, method="scrub")["error"]
    assert "makes no pictures" in ask(queue, **about, method="do_nothing")["error"]


def sequence(*methods, seed):
    """Return one recipe for each of three requests in a row."""
    asked = ("--forget", "class:3", "--then", "class:5", "--then", "random:40")
    last = recipe(*asked, "--methods", ",".join(methods), "--seed", seed)
    return [one.to_json() for one in Recipe.from_json(last).sequence()]


def test_the_requests_of_a_sequence_are_done_once_and_each_has_its_own_curves(serving):
    """All three are in the queue at once, so what one works on is an earlier request of the next."""
    queue = Queue(serving.queue_path)
    before = files(serving, "margins.npy")
    wanted = sequence("do_nothing", "gradient_descent:epochs=2", seed="91")
    runs = [queue.submit(one, session="a") for one in wanted]
    assert [finished(queue, run).status for run in runs] == ["done"] * 3
    # Originals once; oracles and second oracles of each request; two methods at each request; all in two chunks.
    assert len(files(serving, "margins.npy")) - len(before) == 2 * (1 + 3 * 2 + 3 * 2)
    gone: set[int] = set()
    for run in runs:
        result = next(row for row in queue.results(run) if row.method_id == "gradient_descent")
        forget, earlier = removed(serving, result.payload)
        assert set(earlier) == gone
        assert not gone & set(forget)
        gone |= set(forget)
        for row in queue.frames(run, "gradient_descent"):
            part = serving.artefact("unlearned", result.payload["spec"]["unlearned"]).read(row.chunk)
            shown = row.frames[-1]["forget"]["margin"]
            assert shown == pytest.approx(part.array("margins")[:, forget].mean(), abs=1e-4), "its own request's"
            assert row.frames[-1]["step"] == row.frames[-1]["total"]


def test_a_method_that_diverges_at_a_request_has_no_later_ones(serving):
    queue = Queue(serving.queue_path)
    wanted = sequence("do_nothing", "gradient_ascent:lr=1.0:epochs=100:ceiling=0", seed="92")
    first, last = (queue.submit(one, session="a") for one in (wanted[0], wanted[2]))
    assert [finished(queue, run).status for run in (first, last)] == ["done"] * 2
    said = [queue.run(run).progress["methods"]["gradient_ascent"]["stopped"] for run in (first, last)]
    assert said[0].startswith("diverged at step")
    assert said[1].startswith("stopped at request 1, so there is nothing to go on from: diverged at step")
    assert {row.method_id for row in queue.results(last)} == {"do_nothing"}
    assert queue.frames(first, "gradient_ascent")
    assert queue.frames(last, "gradient_ascent") == [], "what it did at the first request is not this run's curve"


def test_a_request_for_what_is_gone_fails_in_words_and_its_price_is_asked_before(serving):
    queue = Queue(serving.queue_path)
    wanted = recipe("--forget", "class:3,5", "--then", "class:5", "--methods", "do_nothing", "--seed", "93")
    row = finished(queue, queue.submit(wanted, session="a"))
    assert row.status == "failed"
    assert "request 2 asks for class 5, of which request 1 already removed the last picture" in row.error
    whole = sequence("do_nothing", seed="94")[-1]
    prices = [ask(queue, kind="estimate", recipe=whole, **more) for more in ({}, {"sequence": True})]
    assert 0 < prices[0]["seconds"] < prices[1]["seconds"]
    said = ask(queue, kind="forget", recipe=whole)
    assert (said["size"], said["name"]) == (40, "random 40")
