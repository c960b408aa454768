"""A method taken apart: what its parts are called decides which runs there are, and nothing else changes."""

from types import MappingProxyType

from engine.ablation import apart
from engine.demo import demo_recipe
from engine.records import Choice
from engine.unlearners import unlearners

IDLE = Choice("do_nothing")


def runs(settings=MappingProxyType({}), key="iau"):
    method = unlearners()[key]
    return apart(
        demo_recipe(),
        Choice(key, dict(settings)),
        called=method.called,
        published=method.published.training,
        defaults={field.name: field.default for field in method.fields()},
        idle=IDLE,
    )


def test_iau_is_three_rungs_in_two_trainings():
    plain, restricted = runs({"lr": 0.003})
    assert plain.training.restriction == 0
    assert plain.training.patience == 0
    assert (restricted.training.restriction, restricted.training.patience) == (0.005, 10)
    assert [choice.key for choice in plain.methods] == ["do_nothing", "iau", "iau"]
    assert [choice.settings["correction"] for choice in plain.methods[1:]] == [False, True]
    assert restricted.methods[1:] == plain.methods[2:], "the whole is the last rung on another training"
    assert {choice.settings["lr"] for choice in (*plain.methods[1:], *restricted.methods[1:])} == {0.003}
    assert plain.forget == restricted.forget == demo_recipe().forget


def test_a_part_that_is_switched_off_in_the_form_is_on_in_the_whole():
    plain, restricted = runs({"correction": False})
    assert plain == runs()[0]
    assert restricted == runs()[1]


def test_unsir_is_two_rows_of_one_run():
    (only,) = runs(key="unsir")
    assert [choice.key for choice in only.methods] == ["do_nothing", "unsir", "unsir"]
    after_impairing, repaired = (dict(choice.settings) for choice in only.methods[1:])
    assert (after_impairing.pop("repair_epochs"), repaired.pop("repair_epochs")) == (0, 3)
    assert after_impairing == repaired
    assert only.training == demo_recipe().training
