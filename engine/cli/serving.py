"""The queue from the command line: serve it, look at it, cancel a run."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys

from engine.cli import tables
from engine.cli.common import Refused, open_store
from engine.knobs import BadSetting
from engine.launch import AlreadyRunning, compute_lock, compute_running
from engine.queue import Queue, sequences

MOST_WORKERS = 1024


def compute(arguments: argparse.Namespace) -> int:
    """Serve the queue of a store until a signal, or until idle for ``--idle-exit`` seconds."""
    scheduler = arguments.scheduler or os.environ.get("FORGETSCOPE_SCHEDULER") or None
    workers = arguments.workers if arguments.workers is not None else _workers_setting()
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise BadSetting(f"--workers must be a whole number from 1 to {MOST_WORKERS}, not {workers}")
    if arguments.idle_exit is not None and not (math.isfinite(arguments.idle_exit) and arguments.idle_exit >= 0):
        raise BadSetting(f"--idle-exit must be a number of seconds, not {arguments.idle_exit}")
    store = open_store(arguments)
    try:
        with compute_lock(store, patience=1.0):
            from engine.compute import Compute

            # After the import: where the cluster's library finds a handler, it logs to it, and far too much.
            logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
            try:
                serving = Compute(store, scheduler=scheduler, workers=workers, idle_exit=arguments.idle_exit)
            except (OSError, ValueError) as error:
                if scheduler is None:
                    raise
                raise Refused(f"cannot reach the scheduler {scheduler}: {error}", 1) from error
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: serving.stop())
            print(f"serving {store.path}; Ctrl-C ends", file=sys.stderr)
            serving.serve()
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
    return 0


def runs(arguments: argparse.Namespace) -> int:
    """List the runs of a store."""
    queue = Queue(open_store(arguments).queue_path)
    rows = queue.runs()
    entries = [
        {"run": r.id, "status": r.status, "created": r.created, "share": r.progress.get("share", 0.0), "error": r.error,
         "label": r.label, "recipe": r.recipe}
        for r in rows
    ]  # fmt: skip
    print(json.dumps(entries, indent=1) if arguments.json else tables.runs(rows, queue.compute()))
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Ask a run to stop; the second time its workers are ended."""
    store = open_store(arguments)
    queue = Queue(store.queue_path)
    matching = [row for row in queue.runs(limit=10_000) if arguments.run and row.id.startswith(arguments.run)]
    if len(matching) != 1:
        which = "no run begins" if not matching else f"{len(matching)} runs begin"
        raise BadSetting(f"{which} with {arguments.run!r}; `python -m engine runs` lists them")
    run_id = matching[0].id
    presses, later = sequences.cancel(queue, matching[0])
    if presses and not compute_running(store):
        for stopped in (run_id, *(other.id for other in later)):
            if not queue.run(stopped).over:
                queue.set_status(stopped, "cancelled")  # its compute process died and cannot stop it
    row = queue.run(run_id)
    if presses == 0:
        print(f"run {run_id} is already {row.status}")
    elif row.over:
        print(f"run {run_id} is {row.status}")
    else:
        print(f"run {run_id} {'stops between two steps' if presses == 1 else 'is stopped at once'}")
    for other in later:
        print(f"and with it run {other.id}, a later request of its sequence")
    return 0


def _workers_setting() -> int | None:
    text = os.environ.get("FORGETSCOPE_WORKERS", "")
    if text and not (text.isascii() and text.isdecimal()):
        raise BadSetting(f"FORGETSCOPE_WORKERS must be a whole number, not {text!r}")
    return int(text) if text else None
