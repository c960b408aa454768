"""Runs of one sequence find each other by their recipes alone, and are cancelled together."""

import pytest

from engine.queue import Queue
from engine.queue.sequences import cancel, place_of
from engine.records import Choice, Recipe
from engine.store import Store
from engine.training import Training

THREE, FIVE, EIGHT, NINE = (Choice("class", {"classes": c}) for c in "3589")


def recipe(*asked, seed=0):
    return Recipe(
        dataset=Choice("digits"),
        model=Choice("mlp"),
        training=Training(),
        forget=asked[-1],
        methods=(Choice("do_nothing"),),
        seed=seed,
        before=asked[:-1],
    ).to_json()


@pytest.fixture
def queue(tmp_path):
    return Queue(Store.open(tmp_path / "store").queue_path)


def submit(queue, *asked, session="a", **more):
    return queue.submit(recipe(*asked, **more), session=session)


def where(queue, run):
    found = place_of(queue, queue.run(run))
    return None if found is None else (found.number, [row and row.id for row in found.runs])


def test_every_run_of_a_sequence_finds_the_others(queue):
    runs = [submit(queue, *asked) for asked in ((THREE,), (THREE, FIVE), (THREE, FIVE, EIGHT))]
    submit(queue, THREE, FIVE, seed=1)
    submit(queue, EIGHT)
    for number, run in enumerate(runs, start=1):
        assert where(queue, run) == (number, runs)
    assert place_of(queue, queue.run(runs[0])).forget_sets[2] == EIGHT.to_json()


def test_a_single_request_has_no_place(queue):
    alone = submit(queue, THREE)
    submit(queue, FIVE, THREE)
    submit(queue, FIVE)
    submit(queue, THREE, FIVE, seed=1)
    assert where(queue, alone) is None


def test_a_request_that_nobody_ran_leaves_a_gap(queue):
    last = submit(queue, THREE, FIVE, EIGHT)
    assert where(queue, last) == (3, [None, None, last])


def test_the_sequence_that_was_asked_for_last_counts(queue):
    first = submit(queue, THREE)
    long = [submit(queue, THREE, FIVE), submit(queue, THREE, FIVE, EIGHT)]
    assert where(queue, first) == (1, [first, *long])
    short = submit(queue, THREE, NINE)
    assert where(queue, first) == (1, [first, short])
    assert where(queue, long[0]) == (2, [first, *long]), "the other one is still whole from within"


def test_a_run_that_went_well_stands_for_its_request(queue):
    first = submit(queue, THREE)
    good, bad = submit(queue, THREE, FIVE), submit(queue, THREE, FIVE)
    queue.request_cancel(bad)
    assert where(queue, first) == (1, [first, good])
    assert where(queue, bad) == (2, [first, bad]), "but a run that is looked at is itself"


def test_cancelling_a_request_cancels_what_stands_on_it(queue):
    runs = [submit(queue, *asked) for asked in ((THREE,), (THREE, FIVE), (THREE, FIVE, EIGHT))]
    presses, later = cancel(queue, queue.run(runs[1]))
    assert presses == 1
    assert [row.id for row in later] == [runs[2]]
    assert [queue.run(run).status for run in runs] == ["queued", "cancelled", "cancelled"]


def test_what_others_wait_for_is_not_cancelled(queue):
    runs = [submit(queue, THREE), submit(queue, THREE, FIVE, session="b")]
    assert cancel(queue, queue.run(runs[0])) == (1, [])
    assert [queue.run(run).status for run in runs] == ["cancelled", "queued"]
