"""What the server process may hold, and how the app is served."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

VISIT = """
import sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
from engine import launch
launch.ensure_compute = lambda store, *, idle_exit: None
for page in ("start", "klom", "runs"):
    app = AppTest.from_file("app.py", default_timeout=120)
    app.query_params["run"] = sys.argv[1]
    app.run()
    if page != "start":
        app.switch_page(f"pages/{page}/page.py")
        app.query_params["run"] = sys.argv[1]
        app.run()
    assert not app.exception, app.exception
    assert app.title[0].value in ("What does the network still remember?", "KLOM", "Runs")
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "distributed", "torchvision"})))
"""


def test_serving_every_page_imports_neither_torch_nor_the_cluster(toy_store):
    path, done = toy_store[:2]
    env = {**os.environ, "FORGETSCOPE_STORE": str(path)}
    told = subprocess.run(
        [sys.executable, "-c", VISIT, done], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert told.returncode == 0, told.stderr[-2000:]
    assert told.stdout.strip().splitlines()[-1:] in ([], [""]), told.stdout


def test_only_this_machine_is_served_and_nothing_is_told_outside():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert config["server"]["enableXsrfProtection"] is True
    assert config["server"]["fileWatcherType"] == "none"
    assert config["browser"]["gatherUsageStats"] is False
    assert config["runner"]["postScriptGC"] is False
    assert "font" not in config["theme"], "no font is fetched"


def test_no_page_lies_directly_in_pages():
    # Streamlit takes files there for its older kind of app: a link to /klom that is the first thing a fresh server sees
    # would then run that file without the router and its frame. It ignores subfolders.
    assert not list((ROOT / "pages").glob("*.py"))
    assert sorted(p.parent.name for p in (ROOT / "pages").glob("*/page.py")) == ["klom", "runs", "start"]


def test_pages_hold_no_torch_no_work_and_no_state():
    import ast

    for path in [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in ("torch", "distributed", "sklearn"), path
                assert name not in ("engine.compute", "engine.jobs", "engine.plan", "engine.experiment"), path
