"""Connecting to the scheduler of another cluster: what its workers compute on is asked of them."""

import pytest
import torch
from distributed import LocalCluster

from engine import cluster, worker
from engine.cluster import Workers


@pytest.fixture
def scheduler():
    """Return a function that starts a scheduler with threads of this process as workers, and gives its address."""
    started = []

    def start(workers):
        settings = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        started.append(LocalCluster(n_workers=workers, threads_per_worker=1, processes=False, **settings))
        return started[-1].scheduler_address

    yield start
    for one in started:
        one.close()


@pytest.mark.parametrize(("workers", "expected"), [(["cuda", "cuda"], "cuda"), (["cpu", "cuda"], "cpu")])
def test_the_device_is_that_of_the_workers_and_not_of_the_head_node(scheduler, monkeypatch, workers, expected):
    """Catches a head node without a GPU that plans for CPUs, and one GPU among CPUs that decides for all."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0 if expected == "cuda" else 8)
    kinds = {}
    monkeypatch.setattr(
        worker,
        "worker_device",
        lambda: torch.device(kinds.setdefault(worker.get_worker().address, workers[len(kinds) % 2])),
    )
    connected = Workers.start(scheduler=scheduler(2))
    assert connected.device == expected
    assert len(connected) == 2
    connected.close()


def test_a_scheduler_without_workers_is_refused_in_words(scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(OSError, match=r"no worker has joined it within 0\.5 seconds"):
        Workers.start(scheduler=scheduler(0))
