"""What every prerequisite keeps, whatever it is; each test names the mutation it catches."""

import dataclasses
import json

import pytest

from engine.experiment import resolve
from engine.forget import selectors
from engine.jobs import Job
from engine.plan import data_info, data_job, make_plan
from engine.prerequisites import fragments, once, prerequisites, prerequisites_of
from engine.records import Recipe
from engine.scope import Scope
from engine.specs import WHOLE, ForgetSet
from engine.store import Store
from engine.unlearners import unlearners

SEEN = {"forget", "retain"}
"""What a task holds by itself."""
LOOKED_AT = {"features", "margins"}
"""What a selector sees through a network, without a prerequisite."""
TRAINING = {"deltagrad": {"trajectory": True}, "sisa": {"shards": 2}}
"""The training without which a method refuses to work."""


def experiment(*methods, forget=None, **training):
    return resolve(
        Recipe.from_json(
            {
                "format": 1,
                "dataset": {"key": "digits"},
                "model": {"key": "logistic"},
                "training": {"epochs": 1, "batch_size": 512, **training},
                "forget": forget or {"key": "random", "n": 12},
                "ensemble": {"models": 4, "chunk": 2, "strategy": "stacked"},
                "methods": list(methods or [{"key": "do_nothing"}]),
            }
        )
    )


def scope(of=None, **changes):
    """Return a scope in the plan of a request whose pictures are known, on data that need not be there."""
    of = of or experiment()
    forget = ForgetSet("data", of.recipe.forget, 0)
    info = {"hash": "data", "train": 40, "test": 8, "shape": [1, 8, 8], "classes": list("0123456789")}
    inputs = {"dataset": {"key": "digits"}, "strategy": "stacked"}
    return Scope(of.recipe, **{"info": info, "data": data_job(of), "inputs": inputs, "gone": "gone", "removed": 3,
                        "forget": forget, "choosing": Job(forget), **changes})  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store that knows the digits and no forget set."""
    opened = Store.open(tmp_path_factory.mktemp("prerequisites") / "store")
    of = experiment()
    info = {"name": "digits", "hash": "data", "classes": list("0123456789"), "shape": [1, 8, 8], "train": 1437,
            "test": 360, "top": 16}  # fmt: skip
    with data_job(of).spec.artefact(opened).write(WHOLE) as out:
        out.json("info", info)
    return opened


def test_every_word_on_a_card_is_a_prerequisite_and_every_prerequisite_has_a_word_of_its_own():
    """Catches a card that promises what nothing provides, and two providers of one word."""
    words = [kind.reads for kind in prerequisites().values()]
    assert len(words) == len(set(words))
    read = {word for method in unlearners().values() for word in method.card.reads}
    read |= {word for selector in selectors().values() for word in selector.card.reads}
    assert read - SEEN - LOOKED_AT == set(words), "one nobody reads is dead, one that is missing stops its reader"


@pytest.mark.parametrize("key", prerequisites())
def test_the_card_and_the_words_are_complete(key):
    kind = prerequisites()[key]
    assert kind.card.name
    assert kind.card.summary.endswith(".")
    assert kind.card.cost
    assert kind.__doc__
    assert kind.reads not in SEEN | LOOKED_AT


@pytest.mark.parametrize("key", prerequisites())
def test_the_fragment_is_plain_and_depends_on_every_setting(key):
    """Catches a setting that changes what is read and not the reader's name: a stale result would be reused."""
    kind = prerequisites()[key]
    usual = kind()
    fragment = usual.fragment(scope())
    assert json.loads(json.dumps(fragment)) == fragment
    assert usual.fragment(scope()) == fragment, "the same scope, the same name"
    for field in kind.fields():
        changed = dataclasses.replace(usual, **{field.name: other(field)})
        jobs = [job.id for job in changed.jobs(scope(), (0, 2))], [job.id for job in usual.jobs(scope(), (0, 2))]
        assert changed.fragment(scope()) != fragment, field.name
        assert jobs[0] != jobs[1] or not jobs[0], field.name


def other(field):
    """Return another value than the default that the knob allows."""
    if field.kind == "bool":
        return not field.default
    if field.knob.choices:
        return next(choice for choice in field.knob.choices if choice != field.default)
    near = field.default + (1 if field.kind == "int" else 0.01)
    return near if near <= field.knob.high else field.default - (1 if field.kind == "int" else 0.01)


@pytest.mark.parametrize("key", prerequisites())
def test_jobs_cost_something_are_shared_and_say_what_they_do(key):
    """Catches work that the price leaves out, and the same work under two names for two readers."""
    prerequisite = prerequisites()[key]()
    for chunk in ((0, 2), (2, 4)):
        jobs = prerequisite.jobs(scope(parameters=650), chunk)
        assert [job.id for job in jobs] == [job.id for job in prerequisite.jobs(scope(parameters=650), chunk)]
        for job in jobs:
            assert job.cost > 0
            assert job.doing
            assert job.spec.owned, "freed with the last run that uses it"
            assert job.needs


@pytest.mark.parametrize("key", [key for key, method in unlearners().items() if set(method.card.reads) - SEEN])
def test_a_reader_waits_for_what_it_reads_and_names_it(key, store):
    """Catches a method that starts before what it reads is there, or whose result does not name what it read."""
    of = experiment({"key": key}, **TRAINING.get(key, {}))
    method = of.methods[0]
    reads = prerequisites_of(method)
    assert {one.reads for one in reads} == set(method.card.reads) - SEEN
    plan = make_plan(of, store, "cpu", suppose=True)
    assert not plan.complete
    order = [job.id for job in plan.jobs]
    assert len(order) == len(set(order))
    readers = [job for job in plan.jobs if job.kind == "unlearned"]
    assert len(readers) == 2
    for job in plan.jobs:
        assert all(order.index(need) < order.index(job.id) for need in job.needs), "what a job needs comes before it"
    for job in readers:
        assert set(job.spec.reads) == set(fragments(reads, scope(of)))
        assert set(job.inputs["reads"]) == {one.reads for one in reads}
        chunk = (int(job.part[:5]), int(job.part[6:]))
        for one in reads:
            jobs = one.jobs(dataclasses.replace(scope(of), info=data_info(of, store)), chunk)
            assert job.inputs["reads"][one.reads] == tuple(needed.part for needed in jobs)
            assert {needed.kind for needed in jobs} <= {need.split("-")[0] for need in job.needs}


def test_a_method_that_reads_what_only_speaks_of_originals_works_once():
    """Catches a second request answered from what was computed before the first."""
    for key, method in unlearners().items():
        made = method()
        alone = {kind.reads for kind in prerequisites().values() if kind.once} & set(method.card.reads)
        assert (once(made) is not None) == bool(alone and not method.goes_on), key
        if once(made):
            assert any(word in once(made) for word in alone)
