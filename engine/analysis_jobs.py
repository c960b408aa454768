"""From a question about networks or data to the jobs of an analysis, and to what must be computed before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.analyses import make_analysis
from engine.analyses.base import Analysis, Subject
from engine.experiment import Experiment, as_choice, resolve
from engine.jobs import Job, part_models
from engine.knobs import BadSetting
from engine.models.sharded import net_for
from engine.plan import Plan, data_info, data_job, make_plan
from engine.records import Recipe
from engine.store import Store
from engine.store.measurements import ANALYSIS, EXPLORATION, analysis_spec, exploration_spec

Asked = Mapping[str, Any]
"""A question: ``analysis`` (key and settings), ``recipe``, and where they apply ``method``, ``point``, ``models``."""


@dataclass(frozen=True)
class Answerable:
    """The jobs that measure an analysis, and everything they stand on in the order in which it can be done."""

    experiment: Experiment
    info: Mapping[str, Any]
    jobs: tuple[Job, ...]
    before: tuple[Job, ...]
    models: int

    def answer(self) -> dict[str, Any]:
        """Return where the measurement is once all jobs are done."""
        first = self.jobs[0]
        parts = [job.part for job in self.jobs]
        return {"kind": first.kind, "spec": dict(first.spec), "parts": parts, "models": self.models}


def answerable(asked: Asked, store: Store, device: str) -> Answerable | tuple[Job, ...]:
    """Return the jobs of an analysis, or those that must be done before they can be named.

    Raises:
        BadSetting: there is no such analysis, method or point, or nothing to measure on such networks; in one sentence.
    """
    analysis = make_analysis(asked["analysis"])
    experiment = resolve(Recipe.from_json(_complete(asked["recipe"], analysis)))
    info = data_info(experiment, store)
    if info is None:
        return (data_job(experiment),)
    if analysis.about == "data" and not analysis.roles():
        return _of_data(analysis, experiment, info, None)
    plan = make_plan(experiment, store, device)
    if analysis.about == "data":
        original = plan.originals()
        return plan.jobs if original is None else _of_data(analysis, experiment, info, original)
    return _of_run(analysis, experiment, info, plan, asked) if plan.complete else plan.jobs


def _complete(recipe: Mapping[str, Any], analysis: Analysis) -> dict[str, Any]:
    """Return the recipe, of an analysis of the data with one method whatever it lists, and what is missing as usual."""
    if analysis.about != "data":
        return dict(recipe)
    usual = {"format": 1, "model": {"key": "mlp"}, "forget": {"key": "random"}}
    return usual | {k: v for k, v in recipe.items() if k != "before"} | {"methods": [{"key": "do_nothing"}]}


def _of_data(analysis: Analysis, experiment: Experiment, info: Mapping[str, Any], original: Job | None) -> Answerable:
    choice = as_choice(analysis).to_json()
    named = {} if original is None else {"original": original.spec, "part": original.part}
    parts = [] if original is None else [original.part]
    models = len(part_models(original.part)) if original is not None else 0
    job = Job(
        EXPLORATION,
        exploration_spec(choice, info["hash"], **named),
        "whole",
        inputs={
            "dataset": experiment.recipe.dataset.to_json(),
            "data": info["hash"],
            "roles": {} if original is None else {"original": ("trained", original.spec)},
            "parts": parts,
            "seed": 0,
            "doing": analysis.doing,
        },
        needs=(data_job(experiment).id,) if original is None else (original.id,),
        cost=analysis.planned_cost(_subject(experiment, info, models=models, forget=0)),
    )
    return Answerable(experiment, info, (job,), () if original is None else (data_job(experiment), original), models)


def _of_run(
    analysis: Analysis, experiment: Experiment, info: Mapping[str, Any], plan: Plan, asked: Asked
) -> Answerable:
    """Return the jobs of an analysis of networks; ``asked["models"]`` bounds how many of them, all by default."""
    names = experiment.recipe.methods_ids()
    method = str(asked.get("method", "")) if analysis.about != "run" else names[0]
    if method not in names:
        raise BadSetting(f"this recipe has no method {method!r} (methods: {', '.join(names)})")
    points = info["train"] + info["test"]
    point = int(asked["point"]) if analysis.about == "point" else None
    if point is not None and not 0 <= point < points:
        raise BadSetting(f"there is no point {point}: the data set has {points:,}, counted from 0")
    unlearner = experiment.methods[names.index(method)]
    most = int(asked.get("models") or experiment.recipe.ensemble.models)
    rows = [(job_id, row) for job_id, row in plan.rows.items() if row.method == method and row.models <= most]
    if not rows:
        raise BadSetting(f"{method}: no chunk of networks is that small ({most} models)")
    job_id, row = max(rows, key=lambda pair: pair[1].models)
    evaluation = next(job for job in plan.jobs if job.id == job_id)
    parts = list(evaluation.inputs["parts"])[: 1 if analysis.over == "first chunk" else None]
    places = _places(row.spec)
    runs = [job for job in plan.jobs if job.kind == "unlearned" and job.spec == row.spec["unlearned"]]
    first = next(job for job in runs if job.part == parts[0])
    opened = {role: places[role] for role in analysis.roles()}
    about = {"forget": len(plan.forget), "method": unlearner.card.name, "exhibits": unlearner.exhibits}
    jobs = []
    for chunk in [[part] for part in parts] if analysis.over == "chunks" else [parts]:
        subject = _subject(experiment, info, models=sum(len(part_models(p)) for p in chunk), **about)
        if why := analysis.misfit(subject):
            raise BadSetting(why)
        needs = {j.id for j in plan.jobs if j.part in chunk and (j.kind, j.spec) in list(opened.values())}
        if "method" in analysis.needs():
            needs |= set(first.needs)
        jobs.append(
            Job(
                ANALYSIS,
                analysis_spec(
                    as_choice(analysis).to_json(),
                    _of(analysis, row.spec),
                    parts=() if analysis.over == "chunks" else chunk,
                    point=point,
                ),
                chunk[0] if analysis.over == "chunks" else "whole",
                inputs={
                    **first.inputs,
                    "data": info["hash"],
                    "roles": opened,
                    "parts": chunk,
                    "seed": experiment.recipe.seed,
                    "doing": analysis.doing,
                },
                needs=tuple(j.id for j in plan.jobs if j.id in needs),
                cost=analysis.planned_cost(subject),
                method=method,
            )
        )
    models = sum(len(part_models(part)) for part in parts)
    return Answerable(experiment, info, tuple(jobs), _closure(plan, jobs), models)


def _subject(experiment: Experiment, info: Mapping[str, Any], **known: Any) -> Subject:
    recipe = experiment.recipe
    net = net_for(experiment.architecture, tuple(info["shape"]), len(info["classes"]), recipe.training)
    return Subject(train=info["train"], test=info["test"], net=net, noun=info.get("noun", "picture"), **known)


def _places(evaluation: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return kind and spec of the networks of each role."""
    return {
        "original": ("trained", evaluation["unlearned"]["original"]),
        "unlearned": ("unlearned", evaluation["unlearned"]),
        "oracle": ("trained", evaluation["oracle"]),
        "second oracle": ("trained", evaluation["floor"]),
    }


def _of(analysis: Analysis, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an evaluation's spec that an analysis depends on: how KLOM is measured changes nothing."""
    if analysis.about == "run":
        return {"original": evaluation["unlearned"]["original"], **{k: evaluation[k] for k in ("oracle", "floor")}}
    return {k: evaluation[k] for k in ("unlearned", "oracle", "floor")}


def _closure(plan: Plan, jobs: list[Job]) -> tuple[Job, ...]:
    """Return every job of the plan that ``jobs`` stand on, in the plan's order."""
    by_id = {job.id: job for job in plan.jobs}
    needed: set[str] = set()
    left = [need for job in jobs for need in job.needs]
    while left:
        need = left.pop()
        if need in by_id and need not in needed:
            needed.add(need)
            left += by_id[need].needs
    return tuple(job for job in plan.jobs if job.id in needed)
