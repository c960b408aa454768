"""Waiting for a run: starts a compute process when none serves the store, shows progress, passes Ctrl-C on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from engine.launch import compute_running, ensure_compute
from engine.queue import Queue, RunRow
from engine.store import Store, StoreError

POLL = 0.2
STARTS = 3
"""Compute processes started for one run before giving up: a fourth would end like these."""
INTERRUPTED = (
    "stopping; press Ctrl-C again to stop at once",
    "stopping at once; press Ctrl-C again to leave without waiting",
)


def until_over(store: Store, queue: Queue, run_id: str) -> RunRow:
    """Return the run once it is done, failed or cancelled.

    The first Ctrl-C asks the run to stop and goes on waiting, the second stops it at once, the third no longer waits.

    Raises:
        StoreError: the compute process died three times.
        KeyboardInterrupt: the run was cancelled from here.
    """
    started: list[subprocess.Popen[bytes]] = []
    interrupted = 0
    stage = ""
    form = "{percentage:3.0f} %|{bar:24}| {desc}"
    columns, lines = shutil.get_terminal_size()  # 80 x 24 where it is unknown; tqdm would show nothing there
    with tqdm(total=100, disable=not sys.stderr.isatty(), bar_format=form, ncols=columns, nrows=lines) as bar:
        while True:
            try:
                row = queue.run(run_id)
                if row.over:
                    break
                _serve(
                    store,
                    started,
                    f"Run {run_id} stays in the queue: `python -m engine cancel {run_id}` takes it out.",
                )
                stage = _show(bar, row, stage)
                time.sleep(POLL)
            except KeyboardInterrupt:
                if interrupted == len(INTERRUPTED):
                    raise
                queue.request_cancel(run_id)
                bar.write(INTERRUPTED[interrupted], file=sys.stderr)
                interrupted += 1
        if row.status == "done" and not bar.disable:
            bar.n = bar.total
            bar.set_description_str("done")
    for process in started:
        process.poll()
    if interrupted:
        print(f"run {run_id}: {row.status}", file=sys.stderr)
        raise KeyboardInterrupt
    return row


def until_answered(store: Store, queue: Queue, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer to a question; Ctrl-C takes it back.

    Raises:
        StoreError: the compute process died three times.
        KeyboardInterrupt: the question was taken back from here.
    """
    started: list[subprocess.Popen[bytes]] = []
    shown = ""
    question_id = queue.ask(question)
    try:
        while (answer := queue.answer_to(question_id)) is None:
            _serve(store, started, "Ask again to go on where it stopped.")
            doing = str((queue.question_progress(question_id) or {}).get("message", "")).split(":")[0]
            if doing and doing != shown:
                print(doing, file=sys.stderr, flush=True)
                shown = doing
            queue.ask(question, afresh=False)  # a sign that the answer is still awaited
            time.sleep(POLL)
    except KeyboardInterrupt:
        queue.withdraw(question_id)
        raise
    for process in started:
        process.poll()
    return answer


def _serve(store: Store, started: list[subprocess.Popen[bytes]], rest: str) -> None:
    """Start a compute process where none serves the store; those started are noted.

    Raises:
        StoreError: as many died as may; ``rest`` says what can still be done.
    """
    if compute_running(store):
        return
    if len(started) == STARTS:
        raise StoreError(
            f"The compute process died {STARTS} times; the end of {store.path / 'compute.log'} says why. {rest}"
        )
    process = ensure_compute(store, idle_exit=3.0)
    if process is not None:
        started.append(process)
        _settle(process, store)


def _settle(process: subprocess.Popen[bytes], store: Store) -> None:
    """Wait until the new process holds the lock or has ended, so that it is not started twice."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not compute_running(store) and time.monotonic() < deadline:
        time.sleep(POLL / 2)


def _show(bar: tqdm, row: RunRow, printed: str) -> str:
    """Move the bar on a terminal; elsewhere print a line when the work changes."""
    doing = row.progress.get("doing", [])
    share = row.progress.get("share", 0.0)
    seconds_left = row.progress.get("seconds_left")
    if not bar.disable:
        bar.ncols = shutil.get_terminal_size().columns
        bar.n = round(100 * share)
        first = doing[0] if doing else "waiting for its turn" if row.status == "queued" else "planning"
        bar.set_description_str(f"about {seconds_left:.0f} s left: {first}" if seconds_left is not None else first)
        return printed
    stage = ", ".join(sorted({words.split(",")[0].split(":")[0] for words in doing}))
    if stage and stage != printed:
        print(f"{100 * share:3.0f} % {stage}", file=sys.stderr, flush=True)
        return stage
    return printed
