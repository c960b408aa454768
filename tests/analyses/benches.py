"""Toy networks of every role side by side, for analyses."""

from __future__ import annotations

import functools

import numpy as np
import small
import torch

from engine.analyses.base import Analysis, Subject
from engine.analyses.bench import ROLES, Bench
from engine.ensemble import Ensemble, margins
from engine.images import Images
from engine.models import make_architecture
from engine.models.base import Net

FORGET = small.FORGET.numpy()
NET = small.net(make_architecture({"key": "mlp", "hidden": 8, "depth": 2}))
CONVOLUTIONS = small.net(make_architecture({"key": "cnn", "channels": 2}))
"""For an analysis, or a setting of one, that only fits networks with convolutions."""
SUBJECT = Subject(models=3, forget=len(FORGET), train=48, test=12, net=NET, method="Toy", exhibits="noise")


@functools.cache
def ensemble(role: str, strategy: str = "stacked", models: int = 3, net: Net = NET) -> Ensemble:
    """Return fresh networks; roles share nothing but the architecture."""
    about = {"seed": 1, "role": role, "ids": range(models), "device": small.CPU}
    return Ensemble.initial(net, **about, strategy=strategy)


def bench(plugin: Analysis, *, strategy: str = "stacked", **changes: object) -> Bench:
    """Return a bench that opens what ``plugin`` says it reads; ``changes`` replace fields of it."""
    data, net = small.data(), NET if plugin.misfit(SUBJECT) is None else CONVOLUTIONS
    points = Images.of(data, "points", small.CPU)
    splits = {"forget": FORGET, "retain": np.setdiff1d(np.arange(48), FORGET), "test": np.arange(48, 60)}

    def measured(role: str) -> np.ndarray:
        logits = ensemble(role, strategy, net=net).logits_shared(points.pictures(slice(None)))
        return margins(logits, points.y).numpy()

    fields = {
        "reads": plugin.needs(),
        "roles": plugin.roles(),
        "ids": (0, 1, 2),
        "splits": splits if plugin.about != "data" else {},
        "labels": points.y.numpy(),
        "classes": data.classes,
        "train": 48,
        "point": 7 if plugin.about == "point" else None,
        "_data": data,
        "_ensemble": lambda role: ensemble(role, strategy, net=net),
        "_margins": measured,
        "_exhibit": exhibit,
        "_again": again,
    }
    return Bench(**{**fields, **changes})


def exhibit(most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return up to four pictures for each of two classes."""
    made = torch.randn(2, 4, 1, 4, 4, generator=torch.Generator().manual_seed(0))  # (K, n, c, h, w)
    return made[:, :most], torch.tensor([0, 2])


def again(networks: int, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Return margins that differ by network and by run, and whether each is above 0."""
    values = (
        np.random.default_rng(run).normal(size=(8, 60)).astype(np.float32)[:networks] + np.arange(networks)[:, None]
    )
    return values, values > 0


def quiet(share: float, message: str) -> None:
    """Check that progress is a share with a message."""
    assert 0 <= share <= 1
    assert message


__all__ = ["FORGET", "ROLES", "SUBJECT", "bench", "ensemble", "quiet"]
