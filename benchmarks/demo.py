"""How long does a newcomer wait? The demo's recipe from an empty store, then with its originals and oracles cached.

    python benchmarks/demo.py [--models 100] [--json]

Times run from submitting the recipe, the start of the compute process and its workers included, as for the button on
the Start page. The second run moves every method's settings a little, so that originals and oracles come from the store
and all unlearning is new. Memory is the proportional set size of the server (no page open), the compute process and
its workers, at its highest.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import hardware
from engine.demo import demo_recipe
from engine.launch import ensure_compute
from engine.queue import Queue
from engine.records import Choice, Recipe
from engine.store import Store

ROOT = Path(__file__).resolve().parent.parent


def follow(queue: Queue, recipe: Recipe, started: float, pids: list[int]) -> dict[str, Any]:
    """Wait for a run; return seconds to its first KLOM and to its end, and the most memory seen meanwhile."""
    run = queue.submit(recipe.to_json(), session="benchmark")
    first, most, looked = None, 0.0, 0.0
    while not (row := queue.run(run)).over:
        if first is None and queue.results(run):
            first = time.perf_counter() - started
        if time.perf_counter() - looked > 5.0:  # looking holds up the process that is looked at
            looked = time.perf_counter()
            most = max(most, sum(memory(pid) for pid in family(pids)))
        time.sleep(0.25)
    if row.status != "done":
        raise SystemExit(f"the run {row.status}: {row.error}")
    return {"first_klom": first, "complete": time.perf_counter() - started, "memory_mb": most}


def family(pids: list[int]) -> list[int]:
    """Return the processes and everything they started."""
    found, wave = [], list(pids)
    while wave:
        found += wave
        wave = [
            int(child)
            for pid in wave
            for task in Path(f"/proc/{pid}/task").glob("*/children")
            for child in task.read_text().split()
        ]
    return found


def memory(pid: int) -> float:
    """Return a process's proportional set size in MB, 0 when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def fresh(recipe: Recipe) -> Recipe:
    """Return the recipe with every method's settings moved a little, so that only originals and oracles are cached."""
    moved = {"lr": 1.01, "share": 0.98}
    methods = []
    for choice in recipe.methods:
        settings = dict(choice.settings)
        defaults = {"gradient_descent": 1e-2, "neg_grad_plus": 1e-2, "scrub": 5e-4, "oracle_matching": 5e-3}
        if choice.key in defaults:
            settings["lr"] = defaults[choice.key]
        methods.append(Choice(choice.key, {k: v * moved.get(k, 1) for k, v in settings.items()}))  # type: ignore[operator]
    return dataclasses.replace(recipe, methods=tuple(methods))


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    store = Store.open(folder / "store")
    queue = Queue(store.queue_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "pages.server.serve", "--server.port", str(port)], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    compute = None
    try:
        recipe = demo_recipe(models=arguments.models)
        started = time.perf_counter()
        compute = ensure_compute(store, idle_exit=60)
        if compute is None:
            raise SystemExit("another compute process holds a fresh store; that cannot be")
        cold = follow(queue, recipe, started, [server.pid, compute.pid])
        warm = follow(queue, fresh(recipe), time.perf_counter(), [server.pid, compute.pid])
    finally:
        for process in (server, compute):
            if process is not None:
                process.terminate()
                process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
    found = {"hardware": hardware(), "models": arguments.models, "n": 1, "empty_store": cold, "cached": warm}
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(hardware())
    print("| store | first KLOM (s) | complete (s) | server + compute + workers (MB) |\n|---|---|---|---|")
    for name, row in (("empty", cold), ("originals and oracles cached", warm)):
        print(f"| {name} | {row['first_klom']:.1f} | {row['complete']:.1f} | {row['memory_mb']:.0f} |")


if __name__ == "__main__":
    main()
