"""The catalogue: complete, plain data, and readable without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine import catalog
from engine.data import datasets
from engine.forget import selectors
from engine.metrics import metrics
from engine.models import architectures
from engine.records import Choice, Recipe
from engine.store import Store, StoreError
from engine.training import Training
from engine.unlearners import unlearners

FAMILIES = {
    "datasets": datasets, "models": architectures, "forget": selectors, "methods": unlearners, "metrics": metrics,
}  # fmt: skip


@pytest.fixture(scope="module")
def described():
    return catalog.describe()


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


@pytest.fixture
def asked(monkeypatch):
    """Count how often the engine is asked, and answer for it."""
    calls = []

    def ask():
        calls.append(1)
        return json.dumps({"asked": len(calls)})

    monkeypatch.setattr(catalog, "_run_catalog", ask)
    return calls


@pytest.mark.parametrize("family", FAMILIES)
def test_every_plug_in_is_described_in_full(described, family):
    known = FAMILIES[family]()
    found = {entry["key"]: entry for entry in described[family]}
    assert list(found) == list(known), "all of them, in the order a visitor sees"
    for key, plugin in known.items():
        assert found[key]["card"] == plugin.card.describe()
        assert found[key]["card"]["summary"].endswith(".")
        assert [f["name"] for f in found[key]["fields"]] == [f.name for f in plugin.fields()]
        assert {f["name"]: f["default"] for f in found[key]["fields"]} == plugin().settings()


def test_what_a_form_needs_besides_knobs_is_there(described):
    assert next(d for d in described["datasets"] if d["key"] == "folder")["needs"] == "path"
    assert next(m for m in described["models"] if m["key"] == "cnn")["last_convolution"]
    assert all(isinstance(m["smallest"], int) for m in described["models"])
    assert next(f for f in described["forget"] if f["key"] == "random")["forms"] == ["random:50", "random:5%"]


def test_a_method_says_where_it_starts_and_what_it_is_compared_as(described):
    recipe = Recipe(
        dataset=Choice("digits"),
        model=Choice("mlp"),
        training=Training(),
        forget=Choice("random"),
        methods=(
            *(Choice("do_nothing"), Choice("retrain"), Choice("deltagrad"), Choice("scrub"), Choice("gone")),
            *(Choice("distillation"), Choice("distillation", {"start": "original"})),
        ),
    )
    facts = catalog.method_facts(described, recipe)
    assert list(facts) == list(recipe.methods_ids())
    assert [(one.key, one.starts, one.reference) for one in facts.values()] == [
        ("do_nothing", "original", "do nothing"),
        ("retrain", "fresh", "retrain"),
        ("deltagrad", "fresh", ""),
        ("scrub", "original", ""),
        ("gone", "original", ""),
        ("distillation", "fresh", ""),
        ("distillation", "original", ""),
    ]


def test_settings_of_a_recipe_are_there(described):
    assert [f["name"] for f in described["ensemble"]] == ["models", "chunk", "strategy"]
    assert {"epochs", "lr"} <= {f["name"] for f in described["training"]}
    assert "convention" in {f["name"] for f in described["measuring"]}


def test_it_is_plain_json(described):
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_loading_gives_the_same_without_torch_and_keeps_it(described, store):
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom engine import catalog\nfrom engine.store import Store\n"
        "found = catalog.load(Store(Path(sys.argv[1])))\n"
        "assert not {'torch', 'distributed', 'sklearn'} & set(sys.modules)\nprint(json.dumps(found))"
    )
    line = [sys.executable, "-c", program, str(store.path)]
    done = subprocess.run(line, cwd=catalog.ENGINE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == described
    kept = list(store.path.glob("catalog-*.json"))
    assert [json.loads(path.read_text()) for path in kept] == [described]
    assert list((store.path / "unfinished").iterdir()) == []


def test_it_is_asked_once_and_again_when_the_engine_changes(store, asked, monkeypatch):
    assert catalog.load(store) == catalog.load(store) == {"asked": 1}
    monkeypatch.setattr(catalog, "_fingerprint", lambda: "changed")
    assert catalog.load(store) == {"asked": 2}
    assert [path.name for path in store.path.glob("catalog-*")] == ["catalog-changed.json"], "old ones are removed"
    assert len(asked) == 2


def test_a_changed_file_changes_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "ENGINE", tmp_path)
    seen = {catalog._fingerprint()}
    (tmp_path / "method.py").write_text("a = 1\n")
    seen.add(catalog._fingerprint())
    (tmp_path / "method.py").write_text("a = 12\n")
    seen.add(catalog._fingerprint())
    assert len(seen) == 3
    assert catalog._fingerprint() in seen


def test_a_damaged_copy_is_made_again(store, asked):
    catalog.load(store)
    (path,) = store.path.glob("catalog-*.json")
    path.write_text('{"asked": ')
    assert catalog.load(store) == {"asked": 2}
    assert json.loads(path.read_text()) == {"asked": 2}
    assert len(asked) == 2


def test_a_copy_that_cannot_be_written_is_no_error(store, asked, monkeypatch):
    def full(*_arguments, **_settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(catalog, "replace_file", full)
    assert catalog.load(store) == {"asked": 1}
    assert asked == [1]


def test_an_engine_that_cannot_describe_itself_says_so(store, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(StoreError, match="could not list its methods"):
        catalog.load(store)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho first >&2\necho 'ImportError: no torch' >&2\nexit 1\n")
    Path(broken).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(StoreError, match="ImportError: no torch"):
        catalog.load(store)
    assert not list(store.path.glob("catalog-*"))
