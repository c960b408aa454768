"""Storing networks: their margins are measured, checked, and written with their weights as one part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from engine.descent import Snapshot
from engine.ensemble import Ensemble
from engine.images import Images
from engine.jobs import Hooks, Job
from engine.store import Artefact
from engine.work.watching import Diverged, Watch, check_margins, measure


def publish(
    artefact: Artefact,
    job: Job,
    snapshot: Snapshot,
    watch: Watch,
    points: Images,
    hooks: Hooks,
    device: torch.device,
    extra: Mapping[str, np.ndarray] | None = None,
    slices: Sequence[Ensemble] = (),
) -> None:
    """Store the networks of the last snapshot: weights, slices, margins, classes and hits (M, P), extra arrays, meta.

    Of networks that diverged only the meta is stored, and why.
    """
    values, predicted = measure(snapshot.ensemble, points, hooks)
    meta = watch.meta(job, device)
    with artefact.write(job.part) as out:
        try:
            check_margins(values, snapshot)
        except Diverged as error:
            out.json("meta", {**meta, "diverged": str(error)})
            return
        out.tensors("weights", {k: v.cpu().numpy() for k, v in snapshot.ensemble.tensors().items()})
        if slices:
            named = {f"{i}/{k}": v for i, models in enumerate(slices) for k, v in models.tensors().items()}
            out.tensors("slices", {k: v.numpy() for k, v in named.items()})
        out.arrays("margins", values.cpu().numpy())  # (M, P)
        out.arrays("predicted", predicted.cpu().numpy().astype(np.uint16))  # (M, P)
        out.arrays("correct", (predicted == points.y).cpu().numpy())  # (M, P)
        for name, array in (extra or {}).items():
            out.arrays(name, array)
        out.json("meta", meta)
