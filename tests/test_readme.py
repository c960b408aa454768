"""The README is true: its example method works as written, its tree lists every file, its pictures exist."""

import importlib
import re
from pathlib import Path

import small

from engine.train import last, train

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_example_method_is_complete_and_moves_the_network(tmp_path, monkeypatch):
    (tmp_path / "shrug_of_the_readme.py").write_text(README.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    method = importlib.import_module("shrug_of_the_readme").Shrug(epochs=2)
    original = last(
        train(
            small.net(),
            small.images(),
            small.training(),
            seed=0,
            role="original",
            ids=range(2),
            strategy="stacked",
        )
    ).ensemble
    final = last(method.unlearn(original, small.task(original.net, small.images(), method.card.reads), seed=0))
    assert not small.same(final.ensemble, original)
    assert final.cost == method.planned_cost(forget=len(small.FORGET), retain=42, training=small.training())


def test_the_tree_lists_every_file():
    tree = README.split("## The tree")[1].split("```")[1]
    named = set(re.findall(r"([\w.]+\.py) ", tree))
    here = [*(ROOT / "engine").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert {f.name for f in here} - {"__init__.py"} <= named


def test_pictures_and_links_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert target.startswith("http") or (ROOT / target).exists(), target
