"""From a question about networks or data to the jobs of an analysis, and to what must be computed before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.analyses import make_analysis
from engine.analyses.base import Analysis, Subject
from engine.experiment import Experiment, as_choice, resolve
from engine.jobs import Job, part_models
from engine.knobs import BadSetting
from engine.models.sharded import net_for
from engine.plan import Plan, Row, data_info, data_job
from engine.prerequisites import fragments, prerequisites_of
from engine.records import Recipe
from engine.specs import WHOLE, Analysed, Explored
from engine.store import Store

Question = Mapping[str, Any]
"""A question: ``analysis`` (key and settings), ``recipe``, and where they apply ``method``, ``point``, ``models``."""


@dataclass(frozen=True)
class Answerable:
    """The jobs that measure an analysis, and everything they stand on in the order in which it can be done.

    ``models`` is the number of networks they look at, ``info`` what is known of the data set.
    """

    experiment: Experiment
    info: Mapping[str, Any]
    jobs: tuple[Job, ...]
    before: tuple[Job, ...]
    models: int

    def answer(self) -> dict[str, Any]:
        """Return where the measurement is once all jobs are done."""
        first = self.jobs[0]
        parts = [job.part for job in self.jobs]
        return {"kind": first.kind, "spec": first.spec.plain, "parts": parts, "models": self.models}


def answerable(
    question: Question, store: Store, planned: Callable[[Experiment], Plan | None]
) -> Answerable | tuple[Job, ...]:
    """Return the jobs of an analysis, or those that must be done before they can be named.

    ``planned`` returns the plan of a recipe, or None while it is being made: then no job is missing, but look again.

    Raises:
        BadSetting: there is no such analysis, method or point, or nothing to measure on such networks; in one sentence.
    """
    analysis = make_analysis(question["analysis"])
    experiment = resolve(Recipe.from_json(_complete(question["recipe"], analysis)))
    info = data_info(experiment, store)
    if info is None:
        return (data_job(experiment),)
    if analysis.about == "data" and not analysis.roles():
        return _of_data(analysis, experiment, info, None)
    plan = planned(experiment)
    if plan is None:
        return ()
    if analysis.about == "data":
        original = plan.originals()
        return plan.jobs if original is None else _of_data(analysis, experiment, info, original)
    return _of_run(analysis, experiment, info, plan, question) if plan.complete else plan.jobs


def _complete(recipe: Mapping[str, Any], analysis: Analysis) -> dict[str, Any]:
    """Return the recipe; of an analysis of the data with one method whatever it lists, and what is missing as usual."""
    if analysis.about != "data":
        return dict(recipe)
    usual = {"format": 1, "model": {"key": "mlp"}, "forget": {"key": "random"}}
    return usual | {k: v for k, v in recipe.items() if k != "before"} | {"methods": [{"key": "do_nothing"}]}


def _of_data(analysis: Analysis, experiment: Experiment, info: Mapping[str, Any], original: Job | None) -> Answerable:
    """Return the job of an analysis of the data, through the networks of the job ``original`` if there is one."""
    choice, data = as_choice(analysis), data_job(experiment)
    models = 0 if original is None else len(part_models(original.part))
    spec = Explored(choice, info["hash"], *(() if original is None else (original.spec, original.part)))
    job = Job(
        spec,
        inputs={
            "dataset": experiment.recipe.dataset.to_json(),
            "strategy": "stacked",
            "parts": [] if original is None else [original.part],
        },
        needs=((data if original is None else original).id,),
        cost=analysis.planned_cost(_subject(experiment, info, models=models, forget=0)),
        doing=analysis.doing,
    )
    return Answerable(experiment, info, (job,), (data,) if original is None else (data, original), models)


def _of_run(
    analysis: Analysis, experiment: Experiment, info: Mapping[str, Any], plan: Plan, question: Question
) -> Answerable:
    """Return the jobs of an analysis of networks; ``question["models"]`` bounds how many of them, all by default."""
    names = experiment.recipe.methods_ids()
    method = str(question.get("method", "")) if analysis.about != "run" else names[0]
    if method not in names:
        raise BadSetting(f"this recipe has no method {method!r} (methods: {', '.join(names)})")
    point = _point(question, info) if analysis.about == "point" else None
    row, parts = _measured(plan, method, int(question.get("models") or experiment.recipe.ensemble.models))
    if analysis.over == "first chunk":
        parts = parts[:1]
    unlearner = experiment.methods[names.index(method)]
    about = {"forget": len(plan.forget), "method": unlearner.card.name, "exhibits": unlearner.exhibits}
    about["unlearning"] = unlearner.planned_cost(
        forget=len(plan.forget), retain=info["train"] - len(plan.forget), training=experiment.recipe.training
    )
    unlearned = {job.part: job for job in plan.jobs if job.spec == row.spec.unlearned}
    reads = prerequisites_of(analysis)
    jobs: list[Job] = []
    prepared: dict[str, Job] = {}
    for chunk in [[part] for part in parts] if analysis.over == "chunks" else [parts]:
        subject = _subject(experiment, info, models=sum(len(part_models(p)) for p in chunk), **about)
        if why := analysis.misfit(subject):
            raise BadSetting(why)
        spec = Analysed(
            as_choice(analysis),
            row.spec.unlearned.original,
            row.spec.oracle,
            row.spec.floor,
            None if analysis.about == "run" else row.spec.unlearned,
            None if analysis.over == "chunks" else tuple(chunk),
            point,
            fragments(reads, plan.scope),
        )
        models = part_models(chunk[0])
        needed = {one.reads: one.jobs(plan.scope, (models.start, models.stop)) for one in reads}
        prepared |= {job.id: job for group in needed.values() for job in group}
        opened = [spec.ensembles[role] for role in analysis.roles()]
        needs = [job.id for job in plan.jobs if job.part in chunk and job.spec in opened]
        needs += [job.id for group in needed.values() for job in group]
        needs += unlearned[chunk[0]].needs if "method" in analysis.needs() else ()
        jobs.append(
            Job(
                spec,
                chunk[0] if analysis.over == "chunks" else WHOLE,
                inputs={
                    **unlearned[chunk[0]].inputs,
                    "parts": chunk,
                    "reads": {word: tuple(job.part for job in group) for word, group in needed.items()},
                    "method reads": unlearned[chunk[0]].inputs["reads"],
                },
                needs=tuple(dict.fromkeys(needs)),
                cost=analysis.planned_cost(subject),
                doing=analysis.doing,
                method=method,
            )
        )
    models = sum(len(part_models(part)) for part in parts)
    return Answerable(experiment, info, tuple(jobs), _closure((*plan.jobs, *prepared.values()), jobs), models)


def _point(question: Question, info: Mapping[str, Any]) -> int:
    """Return the number of the point that is asked about.

    Raises:
        BadSetting: there is no such point.
    """
    point, points = int(question["point"]), info["train"] + info["test"]
    if not 0 <= point < points:
        raise BadSetting(f"there is no point {point}: the data set has {points:,}, counted from 0")
    return point


def _measured(plan: Plan, method: str, most: int) -> tuple[Row, list[str]]:
    """Return the evaluation of a method with as many networks as there are up to ``most``, and its chunks.

    Raises:
        BadSetting: there is none with so few.
    """
    rows = {job.id: plan.rows[job.id] for job in plan.jobs if job.id in plan.rows and job.method == method}
    fitting = {job_id: row for job_id, row in rows.items() if row.models <= most}
    if not fitting:
        raise BadSetting(f"{method} is not measured with as few as {most} networks")
    job_id = max(fitting, key=lambda key: fitting[key].models)
    evaluation = next(job for job in plan.jobs if job.id == job_id)
    return fitting[job_id], list(evaluation.inputs["parts"])


def _subject(experiment: Experiment, info: Mapping[str, Any], **known: Any) -> Subject:
    recipe = experiment.recipe
    net = net_for(experiment.architecture, tuple(info["shape"]), len(info["classes"]), recipe.training)
    return Subject(train=info["train"], test=info["test"], net=net, noun=info.get("noun", "picture"), **known)


def _closure(known: Sequence[Job], jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Return every job of ``known`` that ``jobs`` stand on, in the order of ``known``."""
    by_id = {job.id: job for job in known}
    needed: set[str] = set()
    left = [need for job in jobs for need in job.needs]
    while left:
        need = left.pop()
        if need in by_id and need not in needed:
            needed.add(need)
            left += by_id[need].needs
    return tuple(job for job in by_id.values() if job.id in needed)
