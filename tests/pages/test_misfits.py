"""A method that cannot work on the networks being set up says so before the press, and what would help is one press."""

import pytest

from engine.experiment import misfits
from engine.records import Choice
from engine.training import Training


def text(app):
    return " ".join(h.value for h in app.html)


def answer(queue):
    """Let the engine itself answer what the page asks about methods; return the training it was asked about."""
    question, request = next((q, r) for q, r in reversed(queue.questions()) if r["kind"] == "misfits")
    training = Training.from_settings(request["training"])
    queue.answer(question, {"misfits": misfits(Choice.from_json(request["model"], "model"), training)})
    return training


def not_picked(app):
    """The methods that the picker says would not run."""
    _, found, rest = text(app).partition("Not for networks trained like these: ")
    return set(rest.split(". Pick one to see why.")[0].split(", ")) if found else set()


def pick(app, *names):
    pills = next(p for p in app.get("button_group") if "SCRUB" in p.options)
    return pills.set_value(list(names)).run()


def test_the_picker_names_them_and_the_card_says_why_and_sets_it_right(visit, queue):
    app = visit("unlearn")
    assert "Not for networks trained like these" not in text(app), "nothing is claimed before the engine has said it"
    assert not answer(queue).sharded
    app.run()
    assert "SISA" in not_picked(app)
    pick(app, "do_nothing", "sisa")
    assert "SISA" not in not_picked(app)
    assert "SISA needs originals trained in shards" in text(app)
    (button,) = [b for b in app.button if b.label == "Set shards to 4"]
    button.click().run()
    assert answer(queue).shards == 4
    app.run()
    assert "SISA needs originals" not in text(app)
    assert not [b for b in app.button if b.label.startswith("Set shards")]
    assert {"Unrolling SGD", "Prune then unlearn"} <= not_picked(app)
    assert "SISA" not in not_picked(app)
    estimate = next(r for _, r in reversed(queue.questions()) if r["kind"] == "estimate")
    assert estimate["recipe"]["training"]["shards"] == 4
    assert [m["key"] for m in estimate["recipe"]["methods"]] == ["do_nothing", "sisa"]


@pytest.mark.parametrize("training", [{}, {"shards": 4}, {"shards": 2, "slices": 3}, {"slices": 2}])
def test_every_remedy_helps(training):
    """Catches a button that changes the training and leaves the method impossible."""
    found = misfits(Choice("mlp"), Training(**training))
    assert ("sisa" in found) == (not training)
    offered = {key for key, said in found.items() if said["remedy"]}
    assert offered <= {"usgd", "synflow"} if training else offered == {"sisa", "deltagrad"}
    for said in found.values():
        assert said["why"].endswith(".")
        if not said["remedy"]:
            continue  # no setting of the training helps, and no button is shown
        changed = Training.from_settings({**Training(**training).settings(), **said["remedy"]})
        again = misfits(Choice("mlp"), changed)
        assert said["why"] not in [other["why"] for other in again.values()]
