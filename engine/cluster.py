"""The workers: a local cluster of processes or the scheduler of a bigger one, and what they compute on."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import dask
import torch
from distributed import Client, LocalCluster

from engine.worker import device_type

WORKER_ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What worker processes start with. Dask's own default trims the heap at 64 KiB, which returns every freed tensor to
the operating system and made training here 5 times slower (`benchmarks/LOG.md`)."""
CLUSTER = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",
}
"""Dask's settings: no sampling profiler (it wakes every worker a hundred times a second) and a slow system monitor."""
PATIENCE = 20.0
"""Seconds within which a scheduler answers and a worker of it says what it computes on."""


@dataclass(frozen=True)
class Workers:
    """A connection to workers: how to give them work, what they compute on, and how many threads each job may use.

    ``device`` is "cuda" where every worker has a GPU, else "cpu".
    """

    client: Client
    device: str
    threads: int
    local: LocalCluster | None = None

    @classmethod
    def start(cls, *, scheduler: str | None = None, workers: int | None = None) -> Workers:
        """Connect to ``scheduler``, or start ``workers`` processes on the loopback address: one per GPU, else per core.

        Raises:
            OSError: within 20 seconds no scheduler answers at that address, or no worker has joined it.
        """
        if scheduler is not None:
            client = Client(scheduler, set_as_default=False, timeout=PATIENCE)
            try:
                return cls(client, _device(client), threads=1)
            except BaseException:
                client.close()
                raise
        gpus, cores = torch.cuda.device_count(), os.cpu_count() or 1
        count = workers or gpus or max(1, min(cores, 8))
        with dask.config.set(CLUSTER):
            local = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port; "no dashboard" would insist on 8787
                memory_limit=0,
                silence_logs=logging.ERROR,
            )
        client = Client(local, set_as_default=False)
        return cls(client, "cuda" if gpus else "cpu", max(1, cores // count), local)

    def __len__(self) -> int:
        """Return how many jobs can run at once."""
        return sum(self.client.nthreads().values())

    def close(self) -> None:
        """Close the connection; end the workers if they were started here."""
        self.client.close()
        if self.local is not None:
            self.local.close()


def _device(client: Client) -> str:
    """Ask a scheduler's workers, which may be of another kind than this machine, what they compute on.

    Raises:
        OSError: there is no worker.
    """
    try:
        # A job first: it makes a cluster that grows with its work start a worker.
        client.submit(device_type, pure=False).result(timeout=PATIENCE)
    except TimeoutError:
        raise OSError(f"no worker has joined it within {PATIENCE:g} seconds; start one and try again") from None
    each = [client.submit(device_type, pure=False, workers=[address]) for address in client.nthreads()]
    types = set(client.gather(each))
    return "cuda" if types == {"cuda"} else "cpu"
