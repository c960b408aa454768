"""Plain words: names of what things are, and docstrings and comments that speak of the program and not of persons."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = {"found", "said", "told", "kept", "wanted", "asked"}
"""Names that say that a value was come by and not what it is: ``margins``, ``jobs`` and ``indices`` do."""
WORDS = re.compile(r"\b(somebody|someone|whoever|nobody|anybody|anyone|the hand that|lets? go|mends?)\b", re.IGNORECASE)
FILES = [
    name
    for folder in ("engine", "pages")
    for name in sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py"))
]


def names(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and name of every variable and argument that is given a value."""
    stored = [(n.lineno, n.id) for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return stored + [(n.lineno, n.arg) for n in ast.walk(tree) if isinstance(n, ast.arg)]


def prose(text: str) -> list[tuple[int, str]]:
    """Return line and text of every comment and of every string that is a statement: a docstring."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [(t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT]
    lone = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Expr)]
    return comments + [(n.lineno, n.value) for n in lone if isinstance(n, ast.Constant) and isinstance(n.value, str)]


@pytest.mark.parametrize("name", FILES)
def test_results_have_the_name_of_what_they_are(name):
    tree = ast.parse((ROOT / name).read_text("utf-8"))
    assert [f"{name}:{line} {word}" for line, word in names(tree) if word.strip("_") in NAMES] == []


@pytest.mark.parametrize("name", FILES)
def test_docstrings_and_comments_are_plain(name):
    matches = [(line, WORDS.search(text)) for line, text in prose((ROOT / name).read_text("utf-8"))]
    assert [f"{name}:{line} {match[0]}" for line, match in matches if match] == []


def test_the_search_sees_what_it_is_for():
    text = (
        '"""For whoever asks."""\nfound, (a, *told) = f()  # nobody said\ndef g(kept): ...\nfor asked in g(x=1): ...\n'
    )
    assert sorted(word for _, word in names(ast.parse(text)) if word in NAMES) == ["asked", "found", "kept", "told"]
    assert [WORDS.search(one)[0] for _, one in prose(text)] == ["nobody", "whoever"]
