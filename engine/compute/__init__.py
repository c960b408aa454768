"""The compute process: it owns the queue and the cluster, plans recipes into jobs, and writes progress to the queue."""

from engine.compute.loop import Compute

__all__ = ["Compute"]
