"""Timing: how fast a chunk of networks trains on this device, stacked and looped, and how much memory it takes."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import torch

from engine.ensemble import Strategy
from engine.images import Images
from engine.jobs import Hooks, Job
from engine.specs import Probe
from engine.store import Artefact, Store
from engine.stored import load_data, net_of, on, settle
from engine.train import train

PROBE_SECONDS = 0.5
"""How long each strategy is timed."""
CLEARLY = 1.25
"""How many times faster the loop must be to be chosen. Both strategies agree only to rounding, so a choice that flips
with the noise of a clock would make two runs of one recipe differ in their last digits."""


def probe(store: Store, artefact: Artefact, job: Job, hooks: Hooks, device: torch.device) -> None:
    """Time a few training steps of a chunk, stacked and looped; store which is faster, how fast, and its memory."""
    spec = job.about(Probe)
    data = load_data(store, job.inputs["dataset"], None, hooks)
    net = net_of(spec.model, spec.training, data)
    training = spec.training
    images = Images.of(data, "train", device)
    count = spec.models
    seconds: dict[str, float] = {}
    peaks: dict[str, int] = {}
    for strategy in ("stacked", "looped"):
        # One model is enough for the loop: its time is proportional to the number of models by construction.
        models = count if strategy == "stacked" else 1
        _reset_peak(device)
        snapshots = train(
            net, images, training, seed=0, role="probe", ids=range(models), strategy=strategy, subset=None
        )
        next(snapshots)
        next(snapshots)
        hooks.progress(0.5, f"timing the {strategy} strategy")
        start, examples, steps = time.perf_counter(), 0, 0
        begun = next(snapshots)
        first, ensemble = begun.seen, begun.ensemble
        while time.perf_counter() - start < PROBE_SECONDS and steps < 200:
            snapshot = next(snapshots, None)
            if snapshot is None:
                break
            settle(device)
            examples, steps, ensemble = snapshot.seen - first, steps + 1, snapshot.ensemble
        seconds[strategy] = (time.perf_counter() - start) / max(1, examples * models)
        ensemble.logits_shared(images.pictures(next(ensemble.spans(len(images)))))  # measuring takes memory too
        peaks[strategy] = _peak(device)
    faster: Strategy = "looped" if seconds["looped"] * CLEARLY < seconds["stacked"] else "stacked"
    with artefact.write(job.part) as out:
        out.json(
            "probe",
            {
                "strategy": faster,
                "seconds_per_pass": seconds[faster] / training.passes,
                "seconds_per_example": seconds,
                "peak_bytes": peaks[faster],
                "parameters": sum(p.numel() for p in net.initial(0).parameters()),
                **on(device),
            },
        )


def _reset_peak(device: torch.device) -> None:
    """Begin to measure peak memory afresh; where the system cannot, peaks count from the process's start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    """Return the most bytes held at once: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    import resource  # not on Windows, which has no such number

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
