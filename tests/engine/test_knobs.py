"""Knobs: what is refused, in which words, and that equal settings are equal values."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

import engine
from engine import knobs
from engine.knobs import BadSetting, Configured, Knob


@dataclass(frozen=True)
class Oven(Configured):
    key = "oven"

    heat: Annotated[float, Knob("heat", "How hot.", low=0.5, high=300, scale="log", unit="C")] = 180.0
    trays: Annotated[int, Knob("trays", "How many.", low=1, high=4)] = 2
    fan: Annotated[bool, Knob("fan", "Whether air moves.")] = False
    mode: Annotated[str, Knob("mode", "Where from.", choices=("top", "bottom"), advanced=True)] = "top"
    note: Annotated[str, Knob("note", "Anything.")] = ""


def test_a_setting_left_out_takes_its_default():
    assert Oven.from_settings({"trays": 3}) == Oven(trays=3)
    assert Oven.from_settings({}).settings() == {"heat": 180.0, "trays": 2, "fan": False, "mode": "top", "note": ""}


def test_settings_survive_json():
    oven = Oven(heat=0.1 + 0.7, trays=1, fan=True, mode="bottom", note="crème")
    assert Oven.from_settings(json.loads(json.dumps(oven.settings()))) == oven


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"heat": 0.4}, "heat .* at least 0.5"),
        ({"heat": 301}, "heat .* at most 300"),
        ({"heat": float("nan")}, "heat .* finite"),
        ({"heat": float("inf")}, "heat .* finite"),
        ({"heat": "hot"}, "heat .* number"),
        ({"heat": None}, "heat .* number"),
        ({"heat": True}, "heat .* number"),
        ({"heat": 10**400}, "heat .* out of range"),
        ({"trays": 1.5}, "trays .* whole"),
        ({"trays": 0}, "trays .* at least 1"),
        ({"trays": 10**400}, "trays .* out of range"),
        ({"trays": True}, "trays .* number"),
        ({"fan": 1}, "fan .* true or false"),
        ({"fan": "no"}, "fan .* true or false"),
        ({"mode": "left"}, "mode .* top, bottom"),
        ({"mode": 1}, "mode .* text"),
        ({"note": 1}, "note .* text"),
        ({"doors": 1}, "unknown setting 'doors'.*heat, trays"),
    ],
)
def test_what_is_wrong_is_said_with_the_owner(settings, said):
    """Catches a bound nobody checks, and a message that does not say whose setting it is."""
    with pytest.raises(BadSetting, match=f"^oven: {said}"):
        Oven.from_settings(settings)


def test_bounds_are_inclusive():
    assert Oven(heat=0.5, trays=1).heat == 0.5
    assert Oven(heat=300, trays=4).trays == 4


def test_equal_settings_are_equal_values():
    """Catches two cache keys for one setting: 2 and 2.0 must be one value of the declared type."""
    assert Oven(heat=2, trays=3.0) == Oven(heat=2.0, trays=3)
    assert json.dumps(Oven(heat=2, trays=3.0).settings()) == json.dumps(Oven(heat=2.0, trays=3).settings())
    assert hash(Oven(heat=2)) == hash(Oven(heat=2.0))


def test_the_constructor_checks_too():
    with pytest.raises(BadSetting, match="oven: trays"):
        Oven(trays=9)
    with pytest.raises(BadSetting, match="oven: trays"):
        dataclasses.replace(Oven(), trays=9)


def test_a_configured_value_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Oven().trays = 3


def test_fields_describe_themselves_for_a_form():
    heat, trays, fan, mode, note = Oven.fields()
    assert [f.kind for f in (heat, trays, fan, mode, note)] == ["float", "int", "bool", "str", "str"]
    assert json.loads(json.dumps(mode.describe())) == {
        "name": "mode", "kind": "str", "default": "top", "label": "mode", "help": "Where from.", "low": None,
        "high": None, "scale": "linear", "unit": "", "choices": ["top", "bottom"], "advanced": True,
    }  # fmt: skip
    assert heat.describe()["scale"] == "log"


def test_a_field_without_a_knob_is_a_mistake_of_the_author():
    @dataclass(frozen=True)
    class Bare(Configured):
        size: int = 1

    @dataclass(frozen=True)
    class Odd(Configured):
        size: Annotated[list, Knob("size", "A list.")] = ()

    with pytest.raises(TypeError, match=r"Bare\.size must be Annotated"):
        Bare()
    with pytest.raises(TypeError, match=r"Odd\.size must be int, float, bool or str"):
        Odd()


def test_without_a_key_the_class_names_itself():
    @dataclass(frozen=True)
    class Nameless(Configured):
        size: Annotated[int, Knob("size", "How big.", low=1)] = 1

    with pytest.raises(BadSetting, match=r"^Nameless: size"):
        Nameless(size=0)
    with pytest.raises(BadSetting, match=r"^Nameless: unknown setting 'x'"):
        Nameless.from_settings({"x": 1})


def test_subclasses_inherit_knobs_in_order():
    @dataclass(frozen=True)
    class Big(Oven):
        key = "big"
        doors: Annotated[int, Knob("doors", "How many.", low=1)] = 2

    assert [f.name for f in Big.fields()] == ["heat", "trays", "fan", "mode", "note", "doors"]
    assert Big.from_settings({"doors": 3}).doors == 3


def with_knobs():
    """Return every class of the engine that has knobs and can be made: all plug-ins, and the parts of a recipe."""
    folders = [path.parent for path in Path(engine.__path__[0]).glob("*/base.py")]
    modules = [f"engine.{folder.name}.{info.name}" for folder in folders for info in pkgutil.iter_modules([folder])]
    for module in ("engine.records", *modules):
        importlib.import_module(module)
    classes, new = set(), {Configured}
    while new:
        new = {child for parent in new for child in parent.__subclasses__()} - classes
        classes |= new
    return [c for c in classes if c.__module__.startswith("engine.") and not inspect.isabstract(c) and c.fields()]


def test_every_knob_of_the_engine_keeps_its_bounds():
    """Catches bounds that nobody checks, a default outside of them, and a message that names no owner."""
    classes = with_knobs()
    assert {"Training", "SCRUB", "Cluster", "MLP", "Csv"} <= {c.__name__ for c in classes}
    wrong = []
    for owner in classes:
        label = owner.key or owner.__name__
        owner()
        for field in owner.fields():
            knob = field.knob
            assert knob.help.endswith("."), f"{label}: {field.name}"
            bad = [None, 1] if field.kind == "str" else [None, "nonsense", float("nan")]
            bad += ["nonsense"] if knob.choices else []
            bad += [0.5 + (knob.low or 0)] if field.kind == "int" else []
            bad += [knob.high * 10 + 1] if knob.high is not None else []
            bad += [knob.low - 1] if knob.low is not None else []
            for value in bad:
                try:
                    owner.from_settings({field.name: value})
                except BadSetting as error:
                    wrong += [] if str(error).startswith(f"{label}: {field.name} ") else [f"{label}: {error}"]
                else:
                    wrong.append(f"{label}: {field.name}={value!r} is accepted")
        with pytest.raises(BadSetting, match=f"^{label}: unknown setting 'no_such_knob'"):
            owner.from_settings({"no_such_knob": 1})
    assert not wrong, "\n".join(wrong)


def test_fields_are_worked_out_once_per_class_and_a_mistake_is_raised_each_time(monkeypatch):
    """Type hints are slow to evaluate, and the planner asks for the knobs of every spec."""

    @dataclass(frozen=True)
    class Grill(Configured):
        key = "grill"
        gap: Annotated[int, Knob("gap", "Between bars.")] = 1

    @dataclass(frozen=True)
    class WideGrill(Grill):
        gap: Annotated[int, Knob("wide gap", "Between bars.")] = 3

    @dataclass(frozen=True)
    class Broken(Configured):
        gap: int = 1

    evaluated = []
    hints = knobs.typing.get_type_hints
    monkeypatch.setattr(
        knobs.typing, "get_type_hints", lambda kind, **more: evaluated.append(kind) or hints(kind, **more)
    )
    for _ in range(3):
        assert [field.knob.label for field in Grill.fields()] == ["gap"]
        assert [field.knob.label for field in WideGrill.fields()] == ["wide gap"]
        assert Grill(gap=2).settings() == {"gap": 2}
        assert WideGrill().settings() == {"gap": 3}
        with pytest.raises(TypeError, match=r"Broken\.gap must be Annotated"):
            Broken.fields()
    assert evaluated.count(Grill) == evaluated.count(WideGrill) == 1
