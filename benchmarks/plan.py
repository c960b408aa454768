"""What does planning cost, and how long is the compute process deaf while a large sweep is in its queue?

    python benchmarks/plan.py [--settings 100] [--chunks 10] [--seconds 300] [--json]

CPU seconds of planning the demo and a sweep on a store that knows data set, probe and forget set: from the recipe to
the list of jobs that are not done, median of ``--repeats`` on nothing but this thread. Then the real compute process,
in this process, with its real workers, whose jobs write small results at once instead of computing: so jobs come back
as fast as the loop can take them. The sweep is run once, and once more when everything is in the store, as after a
restart, while two questions are asked every second: what the sweep takes, and what the demo takes. A block is the time
between two waits of the loop, in which no heartbeat is given, no question answered and no cancel heard. At the end
the sweep is asked for with other settings and cancelled once it is under way. Aims: 0.04 s, 3 s, no block over 1 s.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import hardware
from engine.compute import Compute, flights
from engine.demo import demo_recipe
from engine.experiment import resolve
from engine.jobs import FRAMES, Job, followed, summary
from engine.metrics import metrics
from engine.metrics.base import PARTS
from engine.metrics.scores import Scores
from engine.plan import make_plan
from engine.planner import NAMING, Planner
from engine.queue import Queue
from engine.records import SPLITS, Choice, Recipe
from engine.store import Store
from engine.training import EnsembleSize
from engine.work import run_job

CHUNK = 10
AIMS = {"demo_cpu_s": 0.04, "sweep_cpu_s": 3.0, "longest_block_s": 1.0}


class Silent:
    """Takes what a job says of its progress, and drops it."""

    def progress(self, share: float, message: str) -> None:
        """Drop a share and a message."""

    def frame(self, frame: Mapping[str, Any]) -> None:
        """Drop a frame."""


class Turns(threading.Event):
    """The event that the loop waits for; measures how long the loop was busy between two waits."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[float, float]] = []
        """Wall and CPU seconds of each turn."""
        self._since: tuple[float, float] | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait as an event does; note how long it was until now since the last wait ended."""
        if self._since is not None:
            self.blocks.append((time.perf_counter() - self._since[0], time.thread_time() - self._since[1]))
        answer = super().wait(timeout)
        self._since = (time.perf_counter(), time.thread_time())
        return answer


def sweep(settings: int, chunks: int, *, start: float = 1e-4) -> Recipe:
    """Return the demo with one method at many learning rates, its models cut into ``chunks``."""
    methods = tuple(Choice("gradient_descent", {"lr": start * 1.02**i}) for i in range(settings))
    ensemble = EnsembleSize(models=CHUNK * chunks, chunk=CHUNK)
    return dataclasses.replace(demo_recipe(), methods=methods, ensemble=ensemble)


def prepare(store: Store, recipe: Recipe) -> None:
    """Do the jobs that name what follows: data set, probe and forget set."""
    experiment = resolve(recipe)
    while not (plan := make_plan(experiment, store, "cpu")).complete:
        for job in plan.jobs:
            if job.kind in NAMING and not job.done(store):
                run_job(store, job, Silent(), torch.device("cpu"))


def planning(store: Store, recipe: Recipe) -> int:
    """Plan a recipe as for a new run and return how many jobs are not done."""
    planned = Planner(store, "cpu").plan(resolve(recipe))
    return len(planned.pieces) - len(planned.finished(store))


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Return the median CPU seconds of ``work`` in this thread."""
    taken = []
    for _ in range(repeats):
        begun = time.thread_time()
        work()
        taken.append(time.thread_time() - begun)
    return statistics.median(taken)


def measured(forget: np.ndarray, train: int, points: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a finished chunk says of itself, of networks drawn at random, and scores as long as real ones."""
    margins = np.random.default_rng(0).normal(3, 1, (CHUNK, points)).astype(np.float32)  # (M, P)
    ids = followed(forget=forget, train=train, points=points)
    one = {split: summary(margins=margins[:, i], correct=margins[:, i] > 0) for split, i in ids.items()}
    frames = [
        {"step": 30 * i, "total": 30 * FRAMES, "seen": 2000 * i, "cost": 6000.0 * i, "seconds": 0.1 * i, **one}
        for i in range(FRAMES + 1)
    ]
    rows = [
        {"split": split, "metric": key, **{name: 1 / (i + 3) for i, name in enumerate(PARTS)}}
        for key in metrics()
        for split in SPLITS
    ]
    scores = Scores(models=CHUNK, convention="paper", warnings=(), rows=tuple(rows))
    return {"frames": frames, "cost": 6e5, "seconds": 1.0, "device": "cpu"}, scores.to_json()


def pretending(meta: dict[str, Any], scores: dict[str, Any], points: int) -> Callable[..., str]:
    """Return what workers do instead of a job: write what the compute process reads of its result."""

    def work(store_path: str, job: Job, threads: int) -> str:  # noqa: ARG001
        with job.spec.artefact(Store(Path(store_path))).write(job.part) as out:
            if job.kind == "evaluation":
                out.json("scores", scores)
                return job.id
            out.json("meta", meta)
            if job.kind == "trained":
                out.arrays("margins", np.ones((CHUNK, points), np.float32))
                out.arrays("correct", np.ones((CHUNK, points), bool))
        return job.id

    return work


def ask(queue: Queue, recipes: list[Recipe], stop: threading.Event, waits: list[float]) -> None:
    """Ask every second what each recipe takes, and note the seconds until the answer."""
    while not stop.wait(1.0):
        for recipe in recipes:
            begun = time.perf_counter()
            question = queue.ask({"kind": "estimate", "recipe": recipe.to_json()})
            while queue.answer_to(question) is None and not stop.wait(0.05):
                pass
            waits.append(time.perf_counter() - begun)


def served(compute: Compute, queue: Queue, recipe: Recipe, limit: float, *, cancel: bool = False) -> dict[str, Any]:
    """Submit a recipe, wait until it is over, and return what the loop did meanwhile.

    With ``cancel`` it is cancelled when a tenth is done, and ``seconds`` are those from pressing to the end.
    """
    turns: Turns = compute._wake  # type: ignore[assignment]
    before, begun = len(turns.blocks), time.perf_counter()
    run = queue.submit(recipe.to_json(), session="benchmark")
    deadline = begun + limit
    while cancel and not queue.run(run).progress.get("share", 0.0) > 0.1 and time.perf_counter() < deadline:
        time.sleep(0.02)
    if cancel:
        begun = time.perf_counter()
        queue.request_cancel(run)
    while not (row := queue.run(run)).over and time.perf_counter() < deadline:
        time.sleep(0.02)
    seconds = time.perf_counter() - begun
    if row.status == "failed":
        raise SystemExit(f"the run failed: {row.error}")
    if not row.over:
        queue.request_cancel(run)
    begun_turns = len(turns.blocks)
    while len(turns.blocks) < begun_turns + 2 and time.perf_counter() < deadline + limit:  # the turn under way counts
        time.sleep(0.02)
    blocks = turns.blocks[before:]
    worst = max(blocks, default=(0.0, 0.0))
    turns_cpu = max((c for _, c in blocks), default=0.0)
    return {
        "status": row.status, "seconds": seconds, "turns": len(blocks), "longest_block_s": worst[0],
        "longest_block_cpu_s": turns_cpu, "busy_s": sum(b for b, _ in blocks),
    }  # fmt: skip


def watch(store: Store, recipe: Recipe, other: Recipe, limit: float) -> dict[str, Any]:
    """Run the sweep through a real compute process; return a row per phase and how long questions waited."""
    queue = Queue(store.queue_path)
    plan = make_plan(resolve(recipe), store, "cpu")
    points = plan.train + 360
    flights.work = pretending(*measured(plan.forget, plan.train, points), points)
    compute = Compute(store, workers=2)
    compute._wake = Turns()
    serving = threading.Thread(target=compute.serve, daemon=True)
    serving.start()
    stop, waits = threading.Event(), []
    asking = threading.Thread(target=ask, args=(queue, [recipe, demo_recipe()], stop, waits), daemon=True)
    asking.start()
    phases: dict[str, dict[str, Any]] = {}
    try:
        for phase in ("sweep", "all in the store"):
            phases[phase] = served(compute, queue, recipe, limit)
        phases["cancelled"] = served(compute, queue, other, limit, cancel=True)
    finally:
        stop.set()
        asking.join(limit)
        compute.stop()
        serving.join(limit)
    return {"phases": phases, "longest_answer_s": max(waits, default=None), "answers": len(waits)}


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=100)
    parser.add_argument("--chunks", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=300.0, help="most of one phase")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    recipe = sweep(arguments.settings, arguments.chunks)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = Store.open(Path(folder) / "store")
        for one in (demo_recipe(), recipe):
            prepare(store, one)
        figures: dict[str, Any] = {
            "demo_cpu_s": cpu(lambda: planning(store, demo_recipe()), arguments.repeats),
            "sweep_cpu_s": cpu(lambda: planning(store, recipe), arguments.repeats),
        }
        loop = watch(store, recipe, sweep(arguments.settings, arguments.chunks, start=3e-4), arguments.seconds)
    figures["longest_block_s"] = max(phase["longest_block_s"] for phase in loop["phases"].values())
    if arguments.json:
        about = {"hardware": hardware(), "settings": arguments.settings, "chunks": arguments.chunks}
        print(json.dumps({**about, "repeats": arguments.repeats, **figures, **loop}, indent=1))
        return
    print(hardware())
    print(f"| {arguments.settings} settings x {arguments.chunks} chunks | s | aim |\n|---|---|---|")
    for name, aim in AIMS.items():
        print(f"| {name} | {figures[name]:.3f} | {aim:g} |")
    print("\n| phase | ended | s | turns | busy (s) | longest block (s) | most CPU of one (s) |")
    print("|---|---|---|---|---|---|---|")
    for name, row in loop["phases"].items():
        cells = [f"{row[key]:.2f}" for key in ("busy_s", "longest_block_s", "longest_block_cpu_s")]
        print(f"| {name} | {row['status']} | {row['seconds']:.1f} | {row['turns']} | {' | '.join(cells)} |")
    print(f"\nThe longest of {loop['answers']} answers took {loop['longest_answer_s'] or 0:.2f} s.")


if __name__ == "__main__":
    main()
