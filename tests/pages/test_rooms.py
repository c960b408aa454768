"""Where a part of a page lies: beside its page, or in pages/ui when three or more pages use it."""

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(f.parent.name for f in (ROOT / "pages").glob("*/page.py"))
SHARED_FROM = 3
"""How many pages use a part before it belongs to none of them."""


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(f): f for f in sorted((ROOT / "pages").rglob("*.py")) if f.name != "__init__.py"}


def imported(path):
    """Return the modules of pages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names & set(MODULES)


IMPORTS = {name: imported(path) for name, path in MODULES.items()}


def reached(start):
    """Return every module of pages that ``start`` imports, directly or through others, and ``start``."""
    modules, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in modules:
            modules.add(name)
            waiting += IMPORTS[name]
    return modules


REACHED = {page: reached(f"pages.{page}.page") for page in PAGES}


def folder(name):
    return name.split(".")[1]


def users(name):
    return [page for page in PAGES if name in REACHED[page]]


def test_ui_holds_only_what_three_or_more_pages_use():
    misplaced = {
        str(MODULES[name].relative_to(ROOT)): f"used by {users(name) or 'no page'}: move it to the page it belongs to"
        for name in MODULES
        if folder(name) == "ui" and len(users(name)) < SHARED_FROM
    }
    assert not misplaced


def test_a_page_holds_its_own_parts_and_none_that_many_pages_use():
    misplaced = {
        str(MODULES[name].relative_to(ROOT)): f"used by {users(name) or 'no page'}"
        for name in MODULES
        if folder(name) in PAGES and (folder(name) not in users(name) or len(users(name)) >= SHARED_FROM)
    }
    assert not misplaced, "a part lies with a page that uses it; from three pages on it lies in pages/ui"


def test_no_circle_between_the_folders_of_pages():
    graph = {}
    for name, targets in IMPORTS.items():
        graph.setdefault(folder(name), set()).update({folder(target) for target in targets} - {folder(name)})
    assert set(graph) == {*PAGES, "ui", "server"}
    assert not graph["ui"], "shared parts know no page"
    assert not graph["server"], "the server knows no page"
    assert graph["unlearn"] >= {"ui", "start"}, "the imports are read"
    graphlib.TopologicalSorter(graph).prepare()
