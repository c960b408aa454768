"""The direction of imports, read from every file: the house only stands if nothing points up."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "engine").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])
FAMILIES = ("data", "forget", "models", "unlearners", "metrics", "analyses")
WORDS = ("knobs", "registry", "records", "claims", "seeds", "sweep", "leakage", "measurement")
LEARNING = (
    *("ensemble", "descent", "gradients", "curvature", "losses", "train", "stopping", "sharding", "task", "streams"),
    *("halves", "memorisation", "isolation", "lesson", *FAMILIES),
)
RUNNING = (
    *("experiment", "plan", "jobs", "work", "worker", "cluster", "answers", "compute", "planner"),
    *("analysis_jobs", "store", "queue", "cli", "__main__", "launch", "catalog", "demo"),
)
SHOWING = ("views", "theme", "pictures", "rows")
TORCH_FREE = (
    *(*WORDS, "metrics", "store", "queue", "launch", "demo", "catalog"),
    *("views", "theme", "pictures", "rows", "forget"),
)
LEARNING_NEEDS = {"torch", "torchvision", "numpy", "scipy", "sklearn", "PIL"}


def imports(path, *, top_only=False):
    """Return the modules a file imports; with ``top_only``, only those imported when it is imported."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if not top_only else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports out in full, so that their direction can be read"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(path):
    """Return which part of the engine a file belongs to: "data", "store", "jobs" ..."""
    relative = path.relative_to(ROOT / "engine")
    return relative.parts[0].removesuffix(".py")


ENGINE = [f for f in FILES if ROOT / "engine" in f.parents and f != ROOT / "engine" / "__init__.py"]
PAGES = [f for f in FILES if f not in ENGINE and ROOT / "engine" not in f.parents]


def engine_parts(modules):
    return {m.split(".")[1] for m in modules if m.startswith("engine.") and len(m.split(".")) > 1}


def test_every_part_of_the_engine_has_a_layer():
    assert {part(f) for f in ENGINE} <= {*WORDS, *LEARNING, *RUNNING, *SHOWING}


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_only_looks_down(path):
    used = imports(path)
    own = part(path)
    outside = {m.split(".")[0] for m in used} - set(sys.stdlib_module_names) - {"engine", "__future__"}
    assert "streamlit" not in outside, "the engine has never heard of Streamlit"
    assert not [m for m in used if m.split(".")[0] in ("pages", "app")]
    below = engine_parts(used) - {own}
    if own in WORDS:
        assert below <= set(WORDS)
        assert outside <= {"numpy"}
    elif own in LEARNING:
        assert below <= {*WORDS, *LEARNING}, "learning knows nothing of running or showing"
        optional = {"umap"} if own == "analyses" else set()
        assert outside <= LEARNING_NEEDS | optional, "level 1 runs where only torch, numpy and scikit-learn are"
        assert own == "data" or not outside & {"torchvision", "PIL"}, "only data sets read picture files"
    elif own in SHOWING:
        assert below <= {*WORDS, *SHOWING, "data", "metrics", "store"}
        assert "torch" not in outside


@pytest.mark.parametrize("path", [f for f in ENGINE if part(f) in FAMILIES], ids=lambda p: str(p.relative_to(ROOT)))
def test_families_do_not_know_each_other(path):
    others = {m for m in imports(path) if m.startswith("engine.") and engine_parts({m}) & set(FAMILIES) - {part(path)}}
    allowed = {"engine.data", "engine.models"}
    bases = {"engine.data.base", "engine.models.base"}
    assert all(m in allowed or any(m == b or m.startswith(f"{b}.") for b in bases) for m in others), others


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_have_never_heard_of_tensors(path):
    used = {m.split(".")[0] for m in imports(path)}
    assert not used & {"torch", "torchvision", "distributed", "dask", "sklearn"}


@pytest.mark.parametrize("path", [f for f in ENGINE if part(f) in TORCH_FREE], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_pages_import_is_free_of_torch(path):
    assert not {m.split(".")[0] for m in imports(path, top_only=True)} & {"torch", "torchvision", "distributed", "dask"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_unpickled(path):
    tree = ast.parse(path.read_text())
    assert not imports(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    assert not imports(path) & {"torch.load", "numpy.load"}, "write np.load(..., allow_pickle=False) in full"
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "__import__")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "numpy.load")
            if called == "np.load":
                assert any(k.arg == "allow_pickle" for k in node.keywords), (
                    "say allow_pickle=False where a file is read"
                )
