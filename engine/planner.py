"""A cache of plans: each recipe is planned once per change of the store, and beside the loop that asks for it.

Planning a sweep of 100 settings in 10 chunks takes a fifth of a second of CPU, and both the runs in the queue and every
question that waits ask for plans again and again.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from engine.experiment import Experiment
from engine.jobs import Job
from engine.plan import Plan, data_info, make_plan, probe_job
from engine.store import Piece, Store
from engine.store.artefact import key_of

NAMING = ("data", "probe", "forget")
"""Kinds of job whose results name what follows: a plan holds until one of them is finished or deleted."""
MOST = 32
"""Plans in the cache at most."""
AT_ONCE = 0.02
"""Seconds that :meth:`Planner.soon` waits, which is long enough for all but sweeps."""


@dataclass(frozen=True, eq=False)
class Planned:
    """A plan, and where in the store the part of each job will be, by job id.

    ``naming`` are the parts that name what follows, each with whether it was finished when the plan was made.
    """

    plan: Plan
    pieces: Mapping[str, Piece]
    naming: Mapping[Piece, bool]

    def finished(self, store: Store) -> set[str]:
        """Return the ids of the jobs whose parts are in the store."""
        present = store.present(self.pieces.values())
        return {job_id for job_id, piece in self.pieces.items() if piece in present}

    def holds(self, store: Store) -> bool:
        """Return whether a plan made now would be the same; a look at the disk per part that names others."""
        return all(store.holds(piece) == finished for piece, finished in self.naming.items())


class Planner:
    """Makes plans for one store and device, and keeps the newest; safe to share between threads."""

    def __init__(self, store: Store, device: str, *, ready: Callable[[], None] = lambda: None) -> None:
        """Plan for ``store``; ``ready`` is called, from another thread, when a plan that was under way is made."""
        self.device = device
        self._store = store
        self._ready = ready
        self._plans: OrderedDict[tuple[str, bool], Planned] = OrderedDict()
        self._under_way: dict[tuple[str, bool], Future[Planned]] = {}
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="planner")

    def plan(self, experiment: Experiment, *, suppose: bool = False) -> Planned:
        """Return the plan of a recipe: the one in the cache if it still holds, else a new one.

        Raises:
            BadSetting: as :func:`engine.plan.make_plan`, to which ``suppose`` goes.
        """
        return self._valid((experiment.recipe.hash(), suppose)) or self._make(experiment, suppose)

    def soon(self, experiment: Experiment, *, suppose: bool = False) -> Planned | None:
        """Return the plan of a recipe, or None while another thread works on it: ask again later, from one thread.

        Raises:
            BadSetting: as :func:`engine.plan.make_plan`, to which ``suppose`` goes.
        """
        key = (experiment.recipe.hash(), suppose)
        future = self._under_way.get(key)
        if future is None:
            if planned := self._valid(key):
                return planned
            # Results that were not fetched go: the plan is in the cache anyway, and a refusal is quick to repeat.
            self._under_way = {other: one for other, one in self._under_way.items() if not one.done()}
            future = self._under_way[key] = self._thread.submit(self._make, experiment, suppose)
            future.add_done_callback(lambda _future: self._ready())
        concurrent.futures.wait([future], timeout=AT_ONCE)
        if not future.done():
            return None
        del self._under_way[key]
        return future.result()

    def close(self) -> None:
        """Drop what is under way."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _valid(self, key: tuple[str, bool]) -> Planned | None:
        with self._lock:
            planned = self._plans.get(key)
            if planned is not None:
                self._plans.move_to_end(key)
        return planned if planned is not None and planned.holds(self._store) else None

    def _make(self, experiment: Experiment, suppose: bool) -> Planned:
        plan = make_plan(experiment, self._store, self.device, suppose=suppose)
        pieces = _pieces(plan.jobs)
        names = {pieces[job.id] for job in plan.jobs if job.kind in NAMING}
        info = data_info(experiment, self._store)
        # The size of networks, in every plan's bytes, is the probe's, also where the plan does not wait for it.
        probes = set() if info is None else set(_pieces([probe_job(experiment, info, self.device)]).values())
        planned = Planned(plan, pieces, {piece: self._store.holds(piece) for piece in names | probes})
        if not plan.complete and all(planned.naming[piece] for piece in names):
            return planned  # a result landed while the plan was made that does not know of it
        with self._lock:
            self._plans[experiment.recipe.hash(), suppose] = planned
            while len(self._plans) > MOST:
                self._plans.popitem(last=False)
        return planned


def _pieces(jobs: Iterable[Job]) -> dict[str, Piece]:
    """Return where the part of each job will be, by job id."""
    keys: dict[str, str] = {}  # by spec: its parts share the key
    pieces: dict[str, Piece] = {}
    for job in jobs:
        spec = job.spec.digest
        if spec not in keys:
            keys[spec] = key_of(job.kind, job.spec.plain)
        pieces[job.id] = Piece(job.kind, keys[spec], job.part)
    return pieces
