"""What is known of a method is said once, on the method: no view and no page keeps a list of keys."""

import ast
from pathlib import Path

import pytest

from engine.cards import REFERENCES
from engine.unlearners import unlearners

ROOT = Path(__file__).resolve().parents[2]
FILES = [*(ROOT / "engine" / "views").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]


def constants(node):
    """Yield the text constants of a file; the examples of a view's columns are no knowledge."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id == "Column":
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
        yield from constants(child)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_view_and_no_page_names_a_method(path):
    """Catches ``startswith(("retrain", ...))``: a list that a new method is missing from."""
    keys = set(unlearners()) - set(REFERENCES)  # a kind of reference is called as its method is
    assert keys & set(constants(ast.parse(path.read_text("utf-8")))) == set()


def test_the_kinds_of_reference_are_those_of_the_methods():
    assert {method.reference for method in unlearners().values()} == set(REFERENCES)
