"""Discovery: adding a file is all there is to adding a plug-in, and mistakes are named."""

import ast
import importlib
import sys
import textwrap
from pathlib import Path

import pytest

from engine.data import make_dataset
from engine.forget import make_selector
from engine.knobs import BadSetting
from engine.models import make_architecture
from engine.registry import discover, make
from engine.unlearners import make_unlearner

BASE = """
    import abc
    from dataclasses import dataclass
    from typing import Annotated, ClassVar
    from engine.knobs import Configured, Knob

    @dataclass(frozen=True)
    class Fruit(Configured, abc.ABC):
        order: ClassVar[int] = 100

        @abc.abstractmethod
        def taste(self): ...
"""
CLASS = """
    @dataclass(frozen=True)
    class {name}({base}):
        key = "{key}"
        order = {order}
        weight: Annotated[int, Knob("weight", "In grams.", low=1)] = 1

        def taste(self):
            return "{key}"
"""


@pytest.fixture
def orchard(tmp_path, monkeypatch):
    """Return a function that writes modules into a package of its own and names the package."""

    def write(name, **modules):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "base.py").write_text(textwrap.dedent(BASE))
        for module, body in modules.items():
            head = f"from dataclasses import dataclass\nfrom {name}.base import *\nfrom {name}.base import Fruit\n"
            (folder / f"{module}.py").write_text(head + textwrap.dedent(body))
        importlib.invalidate_caches()
        return name

    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield write
    for module in set(sys.modules) - before:
        if module.startswith("orchard"):
            del sys.modules[module]


def fruit(name, key=None, base="Fruit", order=100):
    return CLASS.format(name=name, key=name.lower() if key is None else key, base=base, order=order)


def base_of(package):
    return importlib.import_module(f"{package}.base").Fruit


def test_every_concrete_class_is_found_in_a_stable_order(orchard):
    package = orchard("orchard1", zoo=fruit("Pear") + fruit("Apple"), early=fruit("Quince", order=1))
    found = discover(package, base_of(package))
    assert list(found) == ["quince", "apple", "pear"], "order first, then the key"
    assert found["pear"]().taste() == "pear"


def test_abstract_and_private_and_borrowed_classes_are_left_out(orchard):
    package = orchard(
        "orchard2",
        pears="@dataclass(frozen=True)\nclass Pome(Fruit):\n    pass\n" + textwrap.dedent(fruit("Pear", base="Pome")),
        _hidden=fruit("Secret"),
        other="from orchard2.pears import Pear\n",
    )
    assert list(discover(package, base_of(package))) == ["pear"]


def test_a_class_without_a_key_is_named(orchard):
    package = orchard("orchard3", pears=fruit("Pear", key=""))
    with pytest.raises(TypeError, match="Pear has no key"):
        discover(package, base_of(package))


def test_two_classes_with_one_key_are_refused(orchard):
    """Catches a copied file whose key was not changed: one of the two would silently vanish."""
    package = orchard("orchard4", pears=fruit("Pear"), apples=fruit("Apple", key="pear"))
    with pytest.raises(TypeError, match="share the key 'pear'"):
        discover(package, base_of(package))


def test_a_subclass_that_forgets_its_own_key_is_refused(orchard):
    package = orchard("orchard5", pears=fruit("Pear") + "\n    class Nashi(Pear):\n        pass\n")
    with pytest.raises(TypeError, match="share the key 'pear'"):
        discover(package, base_of(package))


def test_the_registry_cannot_be_changed(orchard):
    package = orchard("orchard6", pears=fruit("Pear"))
    found = discover(package, base_of(package))
    with pytest.raises(TypeError):
        found["apple"] = found["pear"]
    assert discover(package, base_of(package)) is found


def test_make_checks_key_and_settings(orchard):
    package = orchard("orchard7", pears=fruit("Pear"), apples=fruit("Apple"))
    base = base_of(package)
    assert make(package, base, {"key": "pear", "weight": 3}, what="fruit").weight == 3
    with pytest.raises(BadSetting, match=r"unknown fruit 'plum' \(known: apple, pear\)"):
        make(package, base, {"key": "plum"}, what="fruit")
    with pytest.raises(BadSetting, match="pear: weight"):
        make(package, base, {"key": "pear", "weight": 0}, what="fruit")
    with pytest.raises(BadSetting, match="unknown fruit None"):
        make(package, base, {"weight": 3}, what="fruit")


def test_every_family_makes_its_plug_ins_from_a_choice():
    assert make_dataset({"key": "digits"}).key == "digits"
    assert make_architecture({"key": "mlp", "hidden": 7}).hidden == 7
    assert make_selector({"key": "random", "n": 3}).title() == "random 3"
    assert make_unlearner({"key": "scrub", "lr": 1e-3}).lr == 1e-3
    with pytest.raises(BadSetting, match="unknown data set 'nowhere'"):
        make_dataset({"key": "nowhere"})


def test_nothing_else_makes_a_plug_in_by_looking_up_its_class():
    """Catches ``unlearners()[key].from_settings(...)``: a second way, with messages of its own."""
    root = Path(__file__).resolve().parents[2]
    by_hand = [
        str(path.relative_to(root))
        for folder in ("engine", "pages", "benchmarks")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "from_settings" and isinstance(node.value, ast.Subscript)
    ]
    assert by_hand == ["engine/registry.py"]
