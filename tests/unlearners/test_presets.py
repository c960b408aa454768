"""Presets: settings that belong together say where they are from, and no published form is passed over."""

import dataclasses

import pytest

from engine.cards import CLASSES, PAPER, PRESETS, RANDOM
from engine.forget import selectors
from engine.knobs import BadSetting
from engine.unlearners import make_unlearner, unlearners

TRIED = [key for key, method in unlearners().items() if not method.reference]


@pytest.mark.parametrize("key", unlearners())
def test_every_preset_is_a_setting_of_its_method_with_a_source(key):
    for kind, preset in unlearners()[key].presets().items():
        assert kind in PRESETS
        assert preset.source
        made = make_unlearner({"key": key, **preset.settings})
        assert made.settings() == {**make_unlearner({"key": key}).settings(), **preset.settings}


@pytest.mark.parametrize("key", TRIED)
def test_every_method_has_the_settings_of_its_paper_or_says_why_not(key):
    preset = unlearners()[key].published
    assert preset is not None
    assert preset.settings or preset.gap, "what cannot be expressed is a gap, and is said"
    assert not preset.source.endswith(".")
    assert preset.number or preset.gap


@pytest.mark.parametrize("kind", [RANDOM, CLASSES])
def test_the_search_chose_for_every_method_that_can_work_here(kind):
    chosen = {key for key in TRIED if kind in unlearners()[key].presets()}
    unfit = {"sisa", "usgd", "deltagrad", "l2ul"}  # they ask for another training or a smaller network
    assert chosen >= set(TRIED) - unfit


def test_references_have_none():
    assert all(not method.presets() for method in unlearners().values() if method.reference)


def test_every_selector_says_which_presets_fit():
    assert {key: selector.suits for key, selector in selectors().items() if selector.suits == CLASSES}.keys() >= {
        "class",
        "cluster",
    }
    assert all(selector.suits in (RANDOM, CLASSES) for selector in selectors().values())


def test_a_preset_with_a_knob_that_is_not_there_is_refused():
    method = unlearners()["scrub"]
    broken = dataclasses.replace(method.published, settings={"rate": 1.0})
    with pytest.raises(BadSetting):
        make_unlearner({"key": "scrub", **broken.settings})
    assert PAPER in method.presets()
