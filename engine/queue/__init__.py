"""The queue of runs, in SQLite: the meeting place of pages, the command line and the compute process. No torch here."""

from engine.queue.queue import Queue
from engine.queue.rows import FINISHED, STATUSES, ComputeRow, FramesRow, ResultRow, RunRow, Status, fair
from engine.queue.shelf import RunNote, SavedSet, Shelf, Upload

__all__ = [
    "FINISHED",
    "STATUSES",
    "ComputeRow",
    "FramesRow",
    "Queue",
    "ResultRow",
    "RunNote",
    "RunRow",
    "SavedSet",
    "Shelf",
    "Status",
    "Upload",
    "fair",
]
