"""Watching a method run: its time, its frames, whether it diverged; and measuring margins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.descent import Snapshot
from engine.ensemble import Ensemble
from engine.ensemble import margins as margins_of
from engine.images import Images
from engine.jobs import Hooks, Job, summary
from engine.stored import on, settle
from engine.training import MOMENTS

EXPLODED = 1e3
"""A model whose median margin is larger than this has diverged: KLOM clips at 100, trained models stay below."""


class Diverged(ArithmeticError):
    """Weights, losses or margins are no finite numbers any more; the text says when and what to change."""


class Watch:
    """Runs a method: counts its time, reports progress, measures frames along the way, stops it when it diverges."""

    def __init__(
        self,
        hooks: Hooks,
        device: torch.device,
        splits: Mapping[str, Images] | None,
        looks: Mapping[int, Callable[[Ensemble], None]] | None = None,
        moments: int = MOMENTS,
    ) -> None:
        """Watch without frames when ``splits`` is None, else measure ``moments`` frames on those images, and step 0.

        ``looks`` are given the networks as they are after these steps; their time is not the method's.
        """
        self._looks = looks or {}
        self._hooks = hooks
        self._device = device
        self._splits = splits
        self._moments = moments
        self.seconds = 0.0
        self.frames: list[dict[str, Any]] = []
        self.trajectory: list[np.ndarray] = []
        """For each frame the margins of every network on the followed points, float32 (M, n)."""
        self.snapshot: Snapshot | None = None

    def run(self, snapshots: Iterator[Snapshot]) -> Snapshot:
        """Drive the generator to its end; only time inside ``next`` counts as the method's."""
        reported = 0.0
        while True:
            start = time.perf_counter()
            snapshot = next(snapshots, None)
            ended = snapshot is None or snapshot.step >= snapshot.total
            pause = ended or start - reported > 0.2 or (self._splits is not None and self._due(snapshot))
            look = None if snapshot is None else self._looks.get(snapshot.step)
            pause = pause or look is not None
            if pause:  # waiting after every step would leave a GPU idle between steps
                settle(self._device)
            self.seconds += time.perf_counter() - start
            if snapshot is None:
                break
            self.snapshot = snapshot
            if look is not None:
                look(snapshot.ensemble)
            if self._splits is not None and (ended or self._due(snapshot)):
                self._frame(snapshot)
            if pause:
                reported = start
                self._check(snapshot)
                share = snapshot.step / max(1, snapshot.total)
                self._hooks.progress(share, f"step {snapshot.step} of {snapshot.total}")
        if self.snapshot is None:
            raise RuntimeError("the method yielded nothing")
        return self.snapshot

    def meta(self, job: Job, device: torch.device) -> dict[str, Any]:
        """Return what is stored beside the numbers."""
        snapshot = self.snapshot
        return {
            "seconds": self.seconds,
            "seen": snapshot.seen if snapshot else 0,
            "cost": snapshot.cost if snapshot else 0.0,
            "steps": snapshot.step if snapshot else 0,
            "strategy": job.inputs.get("strategy", ""),
            "frames": self.frames,
            **({"epochs": snapshot.epochs.tolist()} if snapshot and snapshot.epochs is not None else {}),
            **on(device),
        }

    def _due(self, snapshot: Snapshot) -> bool:
        return snapshot.step * self._moments // max(1, snapshot.total) >= len(self.frames)

    def _check(self, snapshot: Snapshot) -> None:
        bad = [name for name, loss in snapshot.losses.items() if not bool(torch.isfinite(loss).all())]
        if bad:
            raise Diverged(advice(snapshot, f"the {bad[0]} stopped being a number"))

    def _frame(self, snapshot: Snapshot) -> None:
        self._check(snapshot)
        frame: dict[str, Any] = {
            "step": snapshot.step,
            "total": snapshot.total,
            "seen": snapshot.seen,
            "cost": snapshot.cost,
            "seconds": self.seconds,
            "losses": {name: float(loss.mean()) for name, loss in snapshot.losses.items()},
        }
        here = []
        for split, images in (self._splits or {}).items():
            values, predicted = measure(snapshot.ensemble, images, self._hooks)
            correct = predicted == images.y
            check_margins(values, snapshot)
            frame[split] = summary(margins=values.cpu().numpy(), correct=correct.cpu().numpy())
            here.append(values.cpu().numpy())  # (M, n)
        self.frames.append(frame)
        self.trajectory.append(np.concatenate(here, axis=1))  # (M, followed points)
        self._hooks.frame(frame)


def measure(ensemble: Ensemble, images: Images, hooks: Hooks | None = None) -> tuple[Tensor, Tensor]:
    """Return float32 margins (M, n) and the class of each network's largest logit, int64 (M, n)."""
    values, predicted = [], []
    for span in ensemble.spans(len(images)):
        if hooks is not None:
            hooks.progress(1.0, f"measuring margins, {span.start:,} of {len(images):,} points")
        logits = ensemble.logits_shared(images.pictures(span)).float()  # (M, B, C)
        values.append(margins_of(logits, images.y[span]))
        predicted.append(logits.argmax(-1))
    return torch.cat(values, dim=1), torch.cat(predicted, dim=1)  # (M, n)


def check_margins(values: Tensor, snapshot: Snapshot) -> None:
    """Raise :class:`Diverged` when margins (M, n) are not finite or a model's have exploded."""
    if not bool(torch.isfinite(values).all()):
        raise Diverged(advice(snapshot, "margins stopped being numbers"))
    if float(values.abs().median(dim=1).values.max()) > EXPLODED:
        raise Diverged(advice(snapshot, f"a model's margins grew beyond {EXPLODED:g}"))


def advice(snapshot: Snapshot, what: str) -> str:
    """Return what happened at which step, and what to change."""
    return (
        f"diverged at step {snapshot.step} of {snapshot.total}: {what}. "
        "Lower the learning rate, or give it fewer epochs."
    )
