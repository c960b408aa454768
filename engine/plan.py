"""What a recipe still needs: a pure function of the recipe and the store, so a restart goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.experiment import Experiment
from engine.jobs import CURVE_POINTS, Job, part_name
from engine.knobs import BadSetting
from engine.prerequisites import prerequisites_of
from engine.scope import Scope, path_bytes
from engine.specs import WHOLE, DataSpec, Evaluation, ForgetSet, Probe, Unlearned
from engine.store import Store
from engine.unlearners.base import Unlearner

EVALUATION_COST = 1.0
"""An evaluation is quick beside training: it counts as one pass, so that progress never stands still."""

PATH_BYTES = 2 * 2**30
"""Most bytes of trajectory (:func:`engine.scope.path_bytes`) in one chunk of originals; more is refused."""

SUPPOSED = 20
"""An estimate before the forget set is known supposes that it is one of so many parts of the training set."""


@dataclass(frozen=True)
class Row:
    """One evaluation of one method: where its numbers are."""

    method: str
    models: int
    spec: Evaluation
    part: str
    final: bool


@dataclass(frozen=True, eq=False)
class Request:
    """One request of a sequence once its pictures are known.

    ``forget`` and ``earlier`` are training indices, (F,) and (E,): its own, and those of all requests before it.
    ``hash`` is the identity of its own pictures, ``gone`` that of both together.
    """

    hash: str
    gone: str
    forget: np.ndarray
    earlier: np.ndarray

    @property
    def removed(self) -> int:
        """Number of pictures removed once this request is carried out."""
        return len(self.forget) + len(self.earlier)


@dataclass(frozen=True)
class Plan:
    """The jobs of a run in the order they should start, as far as they can be known now.

    ``complete`` is False while the data set or the forget set is not in the store yet: their hashes name everything
    that follows. ``rows`` are the evaluations, by job id; ``forget`` the training indices (F,) once they are known, of
    ``train`` examples, and ``earlier`` those that earlier requests of a sequence removed; ``forget_set`` is where both
    are stored; ``scope`` the last request's, in which further jobs on the same networks are named.
    """

    jobs: tuple[Job, ...]
    rows: Mapping[str, Row]
    complete: bool
    forget: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    train: int = 0
    earlier: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    forget_set: ForgetSet | None = None
    scope: Scope | None = None

    def originals(self) -> Job | None:
        """Return the job of the first chunk of originals, ``None`` before it can be named."""
        return next((job for job in self.jobs if job.kind == "trained" and job.spec.role == "original"), None)


def data_job(experiment: Experiment) -> Job:
    """Return the job that decodes the data set and measures its hash.

    A path is read afresh in each process; its decoded copy is keyed by content, so this is quick the second time.
    """
    choice = experiment.recipe.dataset
    return Job(DataSpec(choice), inputs={"dataset": choice.to_json()}, doing="reading the data")


def data_info(experiment: Experiment, store: Store) -> dict[str, Any] | None:
    """Return name, hash, classes, shape and sizes of the data set, or None before its job is done."""
    artefact = data_job(experiment).spec.artefact(store)
    return artefact.read(WHOLE).json("info") if artefact.has(WHOLE) else None


def probe_job(experiment: Experiment, info: Mapping[str, Any], device: str) -> Job:
    """Return the job that times training on this device; its answer is stored per (model, picture shape, device)."""
    recipe = experiment.recipe
    start, stop = recipe.ensemble.chunks()[0]
    spec = Probe(
        recipe.model,
        tuple(info["shape"]),
        len(info["classes"]),
        replace(recipe.training, epochs=1000, trajectory=False, patience=0),
        stop - start,
        device,
    )
    inputs = {"dataset": recipe.dataset.to_json()}
    return Job(spec, inputs=inputs, needs=(data_job(experiment).id,), doing="timing this computer")


def probed(job: Job, store: Store) -> dict[str, Any] | None:
    """Return what a probe measured, or None before it is done."""
    artefact = job.spec.artefact(store)
    return artefact.read(WHOLE).json("probe") if artefact.has(WHOLE) else None


def requests(specs: Sequence[ForgetSet], store: Store) -> list[Request] | None:
    """Return every request's pictures in order, or None before all of them are chosen."""
    chosen: list[Request] = []
    for spec in specs:
        artefact = spec.artefact(store)
        if not artefact.has(WHOLE):
            return None
        part = artefact.read(WHOLE)
        info = part.json("info")
        earlier = part.array("earlier") if spec.after is not None else np.empty(0, np.int64)
        chosen.append(Request(info["hash"], info["gone"], part.array("indices"), earlier))
    return chosen


def supposed(count: int, train: int) -> list[Request]:
    """Return requests of a usual size that stand for ``count`` unknown ones, of ``train`` pictures."""
    size = max(1, train // SUPPOSED)
    return [
        Request(f"supposed {i}", f"supposed to {i}", np.arange(size), np.arange(min(i * size, train - size - 1)))
        for i in range(count)
    ]


def chosen_pictures(experiment: Experiment, store: Store, info: Mapping[str, Any]) -> tuple[str, np.ndarray] | None:
    """Return the forget set's hash and training indices (F,), or None before its job is done."""
    chosen = requests(experiment.forget_specs(_scope(experiment, info, None, 0)), store)
    return None if chosen is None else (chosen[-1].hash, chosen[-1].forget)


def make_plan(experiment: Experiment, store: Store, device: str, *, suppose: bool = False) -> Plan:
    """Return every job the recipe needs that can be named now, finished or not.

    Jobs come chunk by chunk (originals, oracles, floor, each method, its evaluation), so that the first KLOM appears
    after the first chunk and sharpens with each further one. What a job needs comes before it. A later request of a
    sequence also lists what its method did at the requests before it, which is in the store when they were run; their
    oracles and evaluations are theirs.

    With ``suppose`` a forget set that is not chosen yet is taken to be of a usual size (:func:`supposed`), so that the
    plan's costs are an estimate of the whole run; such a plan is not complete and must not be run.

    Raises:
        BadSetting: the model cannot take such data, or the trajectory would be too large.
    """
    recipe = experiment.recipe
    data = data_job(experiment)
    info = data_info(experiment, store)
    if info is None:
        return Plan((data,), {}, complete=False)
    if why := experiment.misfit(tuple(info["shape"])):
        raise BadSetting(why)
    _check_path(experiment, info)
    probe = probe_job(experiment, info, device)
    measured = probed(probe, store)
    strategy: str = recipe.ensemble.strategy
    if strategy == "auto":
        if measured is None:
            return Plan((data, probe), {}, complete=False)
        strategy = measured["strategy"]
    scope = _scope(experiment, info, strategy, 0 if measured is None else measured["parameters"])
    choosing = _choosing(experiment, scope)
    specs = [job.spec for job in choosing.values()]
    chosen = requests(specs, store)
    if chosen is None and not suppose:
        before = (data, *_read_by(experiment, scope, choosing), *choosing.values(), *_originals(scope))
        return Plan(tuple({job.id: job for job in before}.values()), {}, complete=False)
    planned = chosen or supposed(len(specs), info["train"])
    scopes = [
        replace(scope, gone=one.gone, removed=one.removed, forget=job.spec, choosing=job)
        for one, job in zip(planned, choosing.values(), strict=True)
    ]
    jobs: dict[str, Job] = {job.id: job for job in (data, *_read_by(experiment, scope, choosing), *choosing.values())}
    rows: dict[str, Row] = {}
    for job, row in _chunks(experiment, scopes, planned):
        jobs.setdefault(job.id, job)
        if row is not None:
            rows[job.id] = row
    here = planned[-1]
    return Plan(
        tuple(jobs.values()),
        rows if chosen is not None else {},
        complete=chosen is not None,
        forget=here.forget,
        train=info["train"],
        earlier=here.earlier,
        forget_set=specs[-1],
        scope=scopes[-1],
    )


def _scope(experiment: Experiment, info: Mapping[str, Any], strategy: str | None, parameters: int) -> Scope:
    inputs = {"dataset": experiment.recipe.dataset.to_json(), "strategy": strategy}
    return Scope(experiment.recipe, info, data_job(experiment), inputs, parameters=parameters)


def _originals(scope: Scope) -> list[Job]:
    return [scope.training("original", chunk) for chunk in scope.chunks]


def _choosing(experiment: Experiment, scope: Scope) -> dict[str, Job]:
    """Return the jobs that choose each request's pictures, by id; each needs the one before it."""
    first = scope.training("original", scope.chunks[0])
    jobs: dict[str, Job] = {}
    for spec, selector in zip(experiment.forget_specs(scope), experiment.selectors, strict=True):
        reads = {one.reads: one.jobs(scope, scope.chunks[0]) for one in prerequisites_of(selector)}
        needs = [job.id for group in reads.values() for job in group]
        needs += [first.id] if spec.original is not None else []
        job = Job(
            spec,
            inputs={
                "dataset": scope.inputs["dataset"],
                "original_part": first.part,
                "reads": {word: tuple(job.part for job in group) for word, group in reads.items()},
            },
            needs=(scope.data.id, *needs, *list(jobs)[-1:]),
            doing="choosing the forget set",
        )
        jobs[job.id] = job
    return jobs


def _read_by(experiment: Experiment, scope: Scope, choosing: Mapping[str, Job]) -> list[Job]:
    """Return the jobs that the choosing of a forget set reads, besides the data."""
    jobs = []
    for job, selector in zip(choosing.values(), experiment.selectors, strict=True):
        if job.spec.original is not None:
            jobs.append(scope.training("original", scope.chunks[0]))
        jobs += [needed for one in prerequisites_of(selector) for needed in one.jobs(scope, scope.chunks[0])]
    return jobs


def _chunks(
    experiment: Experiment, scopes: Sequence[Scope], requests: Sequence[Request]
) -> Iterator[tuple[Job, Row | None]]:
    """Yield the jobs of every chunk of models in turn, an evaluation with its row; some more than once."""
    here, recipe = scopes[-1], experiment.recipe
    methods = dict(zip(recipe.methods_ids(), experiment.methods, strict=True))
    reads = {name: prerequisites_of(method) for name, method in methods.items()}
    specs = {name: _specs(experiment, scopes, requests, method) for name, method in methods.items()}
    jobs: dict[str, list[Job]] = {role: [] for role in ("original", "oracle", "floor", *methods)}
    for number, chunk in enumerate(here.chunks):
        for role in ("original", "oracle", "floor"):
            jobs[role].append(here.training(role, chunk))
            yield jobs[role][-1], None
        for name, method in methods.items():
            before: Job = jobs["original"][-1]
            for i, (scope, request) in enumerate(zip(scopes, requests, strict=True)):
                needed = {one.reads: one.jobs(scope, chunk) for one in reads[name]}
                for job in (job for group in needed.values() for job in group):
                    yield job, None
                before = _unlearning(scope, method, name, chunk, request, specs[name][i], before, needed,
                                     last=scope is here)  # fmt: skip
                yield before, None
            jobs[name].append(before)
            if chunk[1] < 2:
                continue  # one model has no distribution
            spec = experiment.evaluation_spec(here, specs[name][-1], chunk[1])
            evaluation = Job(
                spec,
                inputs={
                    "parts": [job.part for job in jobs["original"]],
                    "train": here.info["train"],
                    "forget": here.forget,
                },
                needs=tuple(j.id for group in ("original", "oracle", "floor", name) for j in jobs[group]),
                cost=EVALUATION_COST,
                doing=f"measuring {name}",
                method=name,
            )
            yield evaluation, Row(name, chunk[1], spec, evaluation.part, number == len(here.chunks) - 1)


def _specs(
    experiment: Experiment, scopes: Sequence[Scope], requests: Sequence[Request], method: Unlearner
) -> list[Unlearned]:
    """Return what a method's result depends on, at each request in order."""
    specs: list[Unlearned] = []
    for scope, request in zip(scopes, requests, strict=True):
        after = specs[-1] if specs else None
        specs.append(experiment.unlearned_spec(scope, method, request.hash, after=after))
    return specs


def _unlearning(
    scope: Scope,
    method: Unlearner,
    name: str,
    chunk: tuple[int, int],
    request: Request,
    spec: Unlearned,
    before: Job,
    reads: Mapping[str, Sequence[Job]],
    *,
    last: bool,
) -> Job:
    """Return the job that carries out a request on a chunk of networks; only the curves of the ``last`` are shown."""
    retained, models = scope.info["train"] - request.removed, chunk[1] - chunk[0]
    looked_at = sum(min(n, CURVE_POINTS) for n in (len(request.forget), retained, scope.info["test"]))
    curves = scope.recipe.measuring.moments * looked_at
    training = scope.recipe.training
    planned = method.planned_cost(forget=len(request.forget), retain=retained, training=training)
    return Job(
        spec,
        part_name(chunk),
        inputs={
            **scope.inputs,
            "forget": scope.forget,
            "reads": {word: tuple(job.part for job in group) for word, group in reads.items()},
        },
        needs=(before.id, *(job.id for group in reads.values() for job in group)),
        cost=(planned + curves + scope.points) * models,
        bytes=scope.ensemble_bytes(models) + 2 * models * (scope.recipe.measuring.moments + 1) * looked_at,
        doing=f"unlearning with {name}",
        method=name,
        earlier=not last,
    )


def _check_path(experiment: Experiment, info: Mapping[str, Any]) -> None:
    size = experiment.recipe.ensemble.chunks()[0][1]
    needed = path_bytes(experiment.recipe, info, size)
    if needed > PATH_BYTES:
        raise BadSetting(
            f"Keeping the trajectory takes {needed / 2**30:,.1f} GiB for each chunk of {size} models, and at most "
            f"{PATH_BYTES / 2**30:g} are allowed: take smaller chunks, larger batches, fewer epochs or a smaller "
            "model, or keep no trajectory."
        )
