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


def test_the_guard_answers_to_its_own_names_and_its_own_pages_only():
    from pages.server.guard import Guard

    guard = Guard(None, ["localhost", "127.0.0.1", "::1", "Lab.Example.org."])

    def status(kind="http", method="GET", host="localhost:8501", **headers):
        named = [("host", one) for one in ([host] if isinstance(host, str) else host)]
        more = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return guard.refusal(kind, method, [*named, *more])[0]

    for host in ("localhost", "LOCALHOST:8501", "localhost.", "127.0.0.1:80", "[::1]:8501", "lab.example.org"):
        assert status(host=host) == 0, host
    strangers = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "127.0.0.2", "localhost:x")
    odd = ("localhost@evil.example", "localhost/evil", "[::1]evil", "localhost evil", (), ("localhost", "evil"))
    for host in (*strangers, *odd):
        assert status(host=host) == 421, host
    others = ("http://evil.example", "http://localhost:8502", "http://localhost", "http://127.0.0.1:8501")
    for origin in (*others, "null", "https://", "file://", "http://localhost:8501.evil.example", "http://[", "data:,x"):
        assert status("websocket", origin=origin) == 403, origin
        assert status(method="PUT", origin=origin) == 403, origin
    for kind, method in (("websocket", "GET"), ("http", "PUT"), ("http", "DELETE")):
        assert status(kind, method, origin="http://localhost:8501") == 0
        assert status(kind, method, host="lab.example.org", origin="https://lab.example.org") == 0
    assert status(sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403, "an image on somebody's page"
    assert status(sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 0, "a link on somebody's page"


def test_settings_on_the_command_line_are_read_or_refused():
    import pytest

    from pages.server import serve

    read = serve.settings(["--server.port", "8502", "--server.headless=true", "--server.address", "192.0.2.7"])
    assert read == {"server.port": 8502, "server.headless": True, "server.address": "192.0.2.7"}
    for bad in (["8502"], ["--server.port"], ["--port", "8502"]):
        with pytest.raises(SystemExit, match="settings look like"):
            serve.settings(bad)


def test_a_name_is_answered_to_only_when_it_was_listed(monkeypatch):
    from pages.server import serve

    monkeypatch.setenv("FORGETSCOPE_HOSTS", "lab.example.org, ,other.example")
    assert serve.hosts() == ["localhost", "127.0.0.1", "::1", "lab.example.org", "other.example"]
    monkeypatch.delenv("FORGETSCOPE_HOSTS")
    assert serve.hosts() == ["localhost", "127.0.0.1", "::1"]


def test_the_largest_upload_is_the_same_everywhere():
    from engine.store.uploads import LARGEST

    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] << 20 == LARGEST
    assert config["server"]["allowedHosts"] == ["localhost", "127.0.0.1", "::1"]


def test_no_page_lies_directly_in_pages():
    # Streamlit takes files there for its older kind of app: a link to /klom that is the first thing a fresh server sees
    # would then run that file without the router and its frame. It ignores subfolders.
    assert not list((ROOT / "pages").glob("*.py"))
    found = {p.parent.name for p in (ROOT / "pages").glob("*/page.py")}
    assert found >= {"klom", "runs", "start"}


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
