"""The direction of imports, read from every file: the house only stands if nothing points up or round in a circle.

Five tests, each over all files; the message of each lists every file that breaks its rule, not the first alone.
"""

import ast
import graphlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "engine").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])
FAMILIES = ("data", "forget", "models", "unlearners", "metrics", "analyses", "prerequisites")
WORDS = ("knobs", "registry", "records", "cards", "training", "claims", "seeds", "sweep", "leakage", "measurement")
LEARNING = (
    *(
        "ensemble",
        "descent",
        "epochs",
        "augmentation",
        "gradients",
        "curvature",
        "losses",
        "objective",
        "ranks",
        "train",
        "stopping",
        "sharding",
        "streams",
    ),
    *("images", "task", "record", "halves", "memorisation", "isolation", "lesson", "teaching", "pairs", "regression"),
    *("data", "forget", "models", "unlearners", "metrics", "analyses"),
)
RUNNING = (
    *("experiment", "scope", "plan", "planner", "jobs", "analysis_jobs", "specs", "stored", "prerequisites"),
    *("work", "worker", "cluster", "answers", "compute", "launch", "catalog", "demo", "tuning", "ablation"),
    *("store", "queue", "cli", "__main__"),
)
SHOWING = ("views", "theme", "pictures", "rows", "heat")
TORCH_FREE = (
    *(*WORDS, "metrics", "store", "queue", "launch", "demo", "catalog", "tuning", "ablation"),
    *("views", "theme", "pictures", "rows", "heat", "forget"),
)
LEARNING_NEEDS = {"torch", "torchvision", "captum", "numpy", "scipy", "sklearn", "PIL"}
EVERY_FAMILY_KNOWS = {"engine.data", "engine.models", "engine.data.base", "engine.models.base"}
READERS = ("analyses", "prerequisites")
"""Families that look at what the others do, by the base types alone."""
HEAVY = {"torch", "torchvision", "distributed", "dask"}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "torch.load", "numpy.load"}

TREES = {path: ast.parse(path.read_text()) for path in FILES}
ENGINE = [path for path in FILES if ROOT / "engine" in path.parents and path != ROOT / "engine" / "__init__.py"]
PAGES = [path for path in FILES if ROOT / "engine" not in path.parents]


def name(path):
    return str(path.relative_to(ROOT))


def imports(nodes):
    """Return the modules that the import statements among ``nodes`` name; ``from a import b`` names a and a.b."""
    modules = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def run_on_import(body):
    """Yield the statements that run when a file is imported: no function's, and none under ``TYPE_CHECKING``."""
    for node in body:
        yield node
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for block in ("body", "orelse", "finalbody", "handlers"):
            if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler) and not (
                typing_only and block == "body"
            ):
                yield from run_on_import(getattr(node, block, []))


USED = {path: imports(ast.walk(TREES[path])) for path in FILES}
USED_ON_IMPORT = {path: imports(run_on_import(TREES[path].body)) for path in FILES}


def part(path):
    """Return which part of the engine a file belongs to: "data", "store", "jobs" ..."""
    return path.relative_to(ROOT / "engine").parts[0].removesuffix(".py")


def engine_parts(modules):
    return {m.split(".")[1] for m in modules if m.startswith("engine.")}


def roots(modules):
    return {m.split(".")[0] for m in modules}


def circles(graph):
    """Return the circles of a graph (node: set of the nodes it points to) as texts, each cut once it is known."""
    texts = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            first, second, *_ = nodes = error.args[1]
            graph = {**graph, second: graph[second] - {first}}
            texts.append(" <- ".join(nodes))
        else:
            return texts


def test_the_engine_only_looks_down():
    offenders = []
    for path in ENGINE:
        own, used = part(path), USED[path]
        below = engine_parts(used) - {own}
        outside = roots(used) - set(sys.stdlib_module_names) - {"engine"}
        wrong = {
            "the engine has never heard of pages": roots(used) & {"streamlit", "pages", "app"},
            "give every part of the engine a layer": {own} - {*WORDS, *LEARNING, *RUNNING, *SHOWING},
        }
        if own in WORDS:
            wrong["words know only words"] = below - set(WORDS)
            wrong["words need numpy alone"] = outside - {"numpy"}
        elif own in LEARNING:
            wrong["learning knows nothing of running or showing"] = below - {*WORDS, *LEARNING}
            needs = LEARNING_NEEDS | ({"umap"} if own == "analyses" else set())
            wrong["level 1 runs where only torch, numpy and scikit-learn are"] = outside - needs
            wrong["only data sets read picture files"] = outside & {"torchvision", "PIL"} if own != "data" else ()
        elif own in SHOWING:
            wrong["what shows knows words and results"] = below - {*WORDS, *SHOWING, "data", "metrics", "store"}
            wrong["what shows is free of torch"] = outside & {"torch"}
        offenders += [f"{name(path)}: {rule}: {sorted(modules)}" for rule, modules in wrong.items() if modules]
    offenders += [f"{name(path)}: write imports out in full" for path in FILES if relative(TREES[path])]
    assert not offenders, "\n".join(offenders)


def relative(tree):
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


def test_families_do_not_know_each_other():
    offenders = []
    for path in ENGINE:
        own = part(path)
        if own not in FAMILIES:
            continue
        known = EVERY_FAMILY_KNOWS | ({f"engine.{family}.base" for family in FAMILIES} if own in READERS else set())
        for module in sorted(USED[path]):
            other = engine_parts({module}) & set(FAMILIES) - {own}
            if other and module not in known and not module.startswith(tuple(f"{k}." for k in known if "base" in k)):
                offenders.append(f"{name(path)}: {module}")
    assert not offenders, "\n".join(offenders)


def test_pages_have_never_heard_of_tensors():
    """Nor does anything that they import: torch costs the server two seconds and hundreds of megabytes."""
    offenders = [f"{name(path)}: {heavy}" for path in PAGES if (heavy := roots(USED[path]) & {*HEAVY, "sklearn"})]
    light = [path for path in ENGINE if part(path) in TORCH_FREE]
    offenders += [f"{name(path)}: {heavy}" for path in light if (heavy := roots(USED_ON_IMPORT[path]) & HEAVY)]
    assert not offenders, "\n".join(offenders)


def test_nothing_is_unpickled():
    offenders = []
    for path in FILES:
        wrong = sorted(USED[path] & PICKLES)
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                wrong += ["allow_pickle"] * (ast.unparse(node.value) != "False")
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                wrong += [called] * (called in ("torch.load", "numpy.load", "eval", "exec", "__import__"))
                if called == "np.load" and not any(k.arg == "allow_pickle" for k in node.keywords):
                    wrong.append("np.load without allow_pickle=False")
        offenders += [f"{name(path)}: {what}" for what in wrong]
    assert not offenders, "\n".join(offenders)


def test_imports_run_in_no_circle():
    """Neither between files of the engine and the pages, nor between folders of pages."""
    modules = {name(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in FILES}

    def needs(nodes):
        """Yield the files that statements import: for ``from a import b`` a/b.py, or a itself when b is no file."""
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name in modules)
            elif isinstance(node, ast.ImportFrom) and node.module in modules:
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (one if one in modules else node.module for one in names)

    files = {module: {*needs(run_on_import(TREES[path].body))} - {module} for module, path in modules.items()}
    folders = {}
    for module, path in modules.items():
        if module.startswith("pages."):
            folder = module.split(".")[1]
            others = {other.split(".")[1] for other in needs(ast.walk(TREES[path])) if other.startswith("pages.")}
            folders[folder] = folders.get(folder, set()) | others - {folder}
    offenders = circles(files) + circles(folders)
    assert not offenders, "\n".join(offenders)
