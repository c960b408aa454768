"""Pages in an empty session and on a store with toy runs; no compute process is started by these tests."""

import functools
import os
import shutil
import sys
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest, local_script_runner
from streamlit.util import calc_hash

from engine import catalog, launch
from engine.data.digits import Digits
from engine.queue import Queue
from engine.store import Store

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import toy  # noqa: E402 - beside this file


@pytest.fixture(scope="session", autouse=True)
def done_once():
    """Do once what a server does once and AppTest at every visit, and wait for no disk.

    The former is half of a visit's time: looking through every installed package for components of Streamlit, compiling
    the pages, reading the digits.
    """
    scan = functools.cache(manifest_scanner.scan_component_manifests)
    compiled = ScriptCache()
    whole = Digits.load
    digits = functools.cache(lambda settings: whole(settings, Path(), lambda _share, _what: None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        patch.setattr(local_script_runner, "ScriptCache", lambda: compiled)
        patch.setattr(Digits, "load", lambda self, _cache, _progress: digits(self))
        patch.setattr(os, "fsync", lambda _file: None)
        yield


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """The real catalogue, read once."""
    return catalog.load(Store.open(tmp_path_factory.mktemp("catalogue")))


@pytest.fixture
def store(tmp_path, monkeypatch, words, started):
    """An empty store that the pages use; ``ensure_compute`` only counts how often it is called."""
    monkeypatch.setenv("FORGETSCOPE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("FORGETSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(catalog, "load", lambda _store: words)
    monkeypatch.setattr(launch, "ensure_compute", lambda store, *, idle_exit: started.append(store.path))
    return Store.open(tmp_path / "store")


@pytest.fixture
def started():
    """The stores a compute process was asked for."""
    return []


@pytest.fixture
def queue(store):
    return Queue(store.queue_path)


@pytest.fixture(scope="session")
def toy_store(tmp_path_factory):
    """A store with a finished, a failed and an unfinished run; copied for each test that changes it."""
    path = tmp_path_factory.mktemp("toy") / "store"
    return path, toy.fill(path, warnings=("KLOM rests on 20 models",)), toy.failed(path), toy.unfinished(path)


@pytest.fixture
def filled(toy_store, store):
    """The pages look at the toy store; returns the ids of its done, failed and running runs."""
    shutil.rmtree(store.path)
    shutil.copytree(toy_store[0], store.path)
    return toy_store[1:]


@pytest.fixture
def visit(store):
    """Open a page by name, as a link would, and return the finished script run."""

    def go(page: str = "start", **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        app._page_hash = "" if page == "start" else calc_hash(page)  # a session's first run is the page of its address
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, [e.value for e in app.exception]
        return app

    return go
